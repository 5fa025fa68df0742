"""AV-Align's detectors tuned to annotated hits, as the SVG baseline's authors tuned theirs (Sec. IV-A1), unpublished.

    python -m benchmarks metrics.av_align_tuning greatest-hits:FOLDER [--count 200] [--fps 8] [--json FILE]

Every clip of the source that has annotated events is looked at by optical flow (OpenCV, Farneback) and listened to for onsets
(librosa), under a grid of settings. The score is the F1 of peaks against events within one frame, micro-averaged over clips; the
settings of the released programs stand first. Clips are halved by turns: settings are chosen on one half and scored on the other,
so that the figure printed for the best is not that of its own choice.
"""

import argparse
import json
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import cv2
import librosa
import numpy as np
from tqdm.auto import tqdm

from sonovid import media
from sonovid.core.geometry import Geometry
from sonovid.data import clips, manifest
from sonovid.metrics.alignment import agreement
from sonovid.metrics.extractors.peaks import FARNEBACK, SAMPLE_RATE

SOUND = list(product((0.07, 0.04, 0.1, 0.15, 0.25), (0.03, 0.06, 0.12)))
PICTURES = list(product((15, 9, 25, 35), (0.0, 0.05, 0.1, 0.2)))


def onsets(wave: np.ndarray, rate: int, delta: float, wait: float) -> list[float]:
    """Onsets by librosa. delta: by how much they exceed the mean around. wait: seconds between two of them."""
    options = {"delta": delta, "wait": round(wait * rate / 512)}
    return librosa.onset.onset_detect(y=wave, sr=rate, units="time", **options).tolist()


def flow(frames: np.ndarray, window: int) -> np.ndarray:
    """Mean length of the flow into each frame, in pixels; the first has the second's."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    options = {**FARNEBACK, "winsize": window}
    lengths = [np.linalg.norm(cv2.calcOpticalFlowFarneback(*pair, None, **options), axis=-1).mean() for pair in pairwise(grey)]
    return np.array([lengths[0], *lengths])


def maxima(lengths: np.ndarray, fps: float, contrast: float) -> list[float]:
    """Times of strict local maxima that exceed both neighbours by a share of the mean."""
    inner, least = lengths[1:-1], contrast * lengths.mean()
    peaks = np.flatnonzero((inner > lengths[:-2] + least) & (inner > lengths[2:] + least)) + 1
    return (peaks / fps).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--fps", type=Fraction, default=Fraction(8))
    parser.add_argument("--seconds", type=Fraction, default=Fraction(4))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    geometry = Geometry(1, args.fps, args.size, args.size, SAMPLE_RATE).with_duration(args.seconds)
    entries = [entry for entry in manifest.read(args.data) if entry.events or entry.scene][: args.count]
    found: dict[str, dict] = {"sound": {key: [] for key in SOUND}, "pictures": {key: [] for key in PICTURES}}
    for entry in tqdm(entries, desc="clips"):
        try:
            clip = clips.load_clip(clips.Window(entry, entry.start), geometry)
        except media.MediaError as error:
            print(f"left out: {error}")
            continue
        for key in SOUND:
            found["sound"][key].append((onsets(clip.waveform.mean(0), SAMPLE_RATE, *key), clip.events))
        curves = {window: flow(clip.frames, window) for window in dict.fromkeys(window for window, _ in PICTURES)}
        for key in PICTURES:
            found["pictures"][key].append((maxima(curves[key[0]], float(args.fps), key[1]), clip.events))
    tolerance, result = float(1 / args.fps), {}
    for what, by_key in found.items():
        scores = {key: [agreement(pairs[half::2], tolerance).f1 for half in (0, 1)] for key, pairs in by_key.items()}
        released = next(iter(scores))
        chosen = [max(scores, key=lambda key, half=half: scores[key][half]) for half in (0, 1)]
        held_out = np.mean([scores[chosen[half]][1 - half] for half in (0, 1)])
        print(
            f"{what}: released {released} F1 {np.mean(scores[released]):.3f}; chosen {chosen} F1 {held_out:.3f} on the other half"
        )
        result[what] = {str(key): value for key, value in scores.items()} | {"chosen": [str(key) for key in chosen]}
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
