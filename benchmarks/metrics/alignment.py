"""How far the network-free offsets are off, and what AV-Align answers to, on scenes whose sound is moved by a known time.

    python -m benchmarks metrics.alignment [--count 24] [--rates 8 25] [--seconds 2 4] [--seed 7000000] [--json FILE]

Per world, length and rate: the median error over all movements (bias), the median distance from it (spread), both in ms, and the
share of clips within 100 ms of the truth; only clips that hold an event count. Then the mean AV-Align of each movement and with
the next clip's sound. The curves of the pictures and of the sound are those that `sonovid evaluate` extracts.
"""

import argparse
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import scenes
from sonovid.media.audio import resample_audio
from sonovid.metrics import synchrony
from sonovid.metrics.av_align import sony
from sonovid.metrics.base import Arrays, Sample
from sonovid.metrics.extractors.peaks import MotionPeaks, OnsetCurve, Onsets

WORLDS = ("hits", "bounces", "kitchen", "landscape", "dance")
MOVES = (-320, -160, -80, -40, 0, 40, 80, 160, 320)
# Sound and pictures are cut out of longer clips from here on, so that nothing is wrapped or filled in.
START = 1.5
CURVES = {"impacts": synchrony.impacts, "change between frames": synchrony.motion}


def arrays(world: str, seed: int, rate: int, seconds: int) -> tuple[Arrays, dict[int, tuple[Arrays, Arrays]], bool]:
    """What is extracted from a clip's pictures and, for each movement, from its sound; and whether an event lies well inside."""
    whole = scenes.render(world, seed, Geometry((seconds + 3) * rate, Fraction(rate), 64, 64, 16000))
    first = round(START * rate)
    pictures = MotionPeaks().prepare(Sample(replace(whole, frames=whole.frames[first : first + seconds * rate], waveform=None)))
    sounds = {}
    for move in MOVES:
        begin = round((START - move / 1000) * whole.sample_rate)
        wave = whole.waveform[:, begin : begin + seconds * whole.sample_rate]
        heard = Clip(None, wave, whole.fps, whole.sample_rate)
        again = Clip(None, np.clip(resample_audio(wave, 16000, 22050), -1, 1).astype(np.float32), whole.fps, 22050)
        sounds[move] = OnsetCurve().prepare(Sample(heard)), Onsets().prepare(Sample(again))
    return pictures, sounds, any(START + 0.1 < t < START + seconds - 0.1 for t in whole.events)


def measure(world: str, count: int, seed: int, rate: int, seconds: int) -> dict:
    """The figures of one world, rate and length."""
    clips = [arrays(world, seed + i, rate, seconds) for i in range(count)]
    found: dict = {"world": world, "rate": rate, "seconds": seconds, "clips": count}
    for name, curve in CURVES.items():
        errors = np.array(
            [synchrony.milliseconds(s[move][0], p, curve=curve) - move for p, s, eventful in clips if eventful for move in MOVES]
        )
        errors = errors[np.isfinite(errors)]
        if len(errors):
            bias = float(np.median(errors))
            found[name] = [bias, float(np.median(abs(errors - bias))), float((abs(errors) <= 100).mean())]
    scores = {move: [sony(s[move][1]["times"], p["times"], rate) for p, s, _ in clips] for move in MOVES}
    scores["swapped"] = [sony(clips[(i + 1) % count][1][0][1]["times"], p["times"], rate) for i, (p, _, _) in enumerate(clips)]
    found["av_align_sony"] = {str(move): float(np.nanmean(values)) for move, values in scores.items()}
    return found


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--rates", type=int, nargs="+", default=[8, 25])
    parser.add_argument("--seconds", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--worlds", nargs="+", default=WORLDS, choices=WORLDS)
    parser.add_argument("--seed", type=int, default=7_000_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = []
    for rate in args.rates:
        for seconds in args.seconds:
            for world in args.worlds:
                results.append(one := measure(world, args.count, args.seed, rate, seconds))
                offsets = "; ".join(
                    "{}: bias {:+.0f} ms, spread {:.0f} ms, near {:.2f}".format(n, *one[n]) for n in CURVES if n in one
                )
                print(f"{world:10} {rate:2} fps {seconds} s  {offsets}")
                print("           AV-Align " + ", ".join(f"{k} {v:.3f}" for k, v in one["av_align_sony"].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
