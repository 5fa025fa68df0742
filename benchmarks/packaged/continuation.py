"""What long videos of the packaged model rest on: how far windows of real scenes lie apart, and how well it holds known frames.

python -m benchmarks packaged.continuation --allowed 24  scenes of each world, 8 s: the drift report's limits (drift.ALLOWED)
python -m benchmarks packaged.continuation --known 4     scenes of each world, 4 s: the second half from the end of the first
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from sonovid import SoundingVideoPipeline
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.data.scenes import render
from sonovid.pipelines.continuation import ContinuationSettings, extend
from sonovid.pipelines.continuation.drift import calibrate_thresholds

WORLDS, SEED = ("hits", "bounces"), 90_000_000
# Parts of a window that are known, and ways in which they are given: None is clean, at time zero.
SHARES, SCALES = (4, 2), (None, 0.0, 1.0, 2.0)


def scenes(number: int, own, windows: int) -> Iterator[Clip]:
    """Scenes that the model has never seen, of some windows each."""
    for world in WORLDS:
        for seed in range(SEED, SEED + number):
            yield render(world, seed, replace(own, num_frames=windows * own.num_frames))


def allowed(number: int, own) -> None:
    """How far windows lie from the first of their own scene."""
    clips = list(scenes(number, own, 4))
    for share in (0.5, 0.95):
        found = calibrate_thresholds(clips, own, share)
        print(f"{share:.0%} of {3 * len(clips)} windows: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def known(number: int, pipe, steps: int) -> None:
    """The step into the first made picture, and how far the pictures are from what came before, beside the truth."""
    own = pipe.geometry
    clips = list(scenes(number, own, 2))
    for overlap in (own.num_frames // share for share in SHARES):
        for scale in SCALES:
            found = [held(pipe, clip, overlap, scale, steps, seed) for seed, clip in enumerate(clips)]
            step, true, change, was = np.mean(found, axis=0)
            how = "clean" if scale is None else f"guidance {scale:g}"
            print(
                f"overlap {overlap}, {how}: step {step:.4f} (true {true:.4f}), change {change:.4f} (true {was:.4f})", flush=True
            )


@torch.no_grad()
def held(pipe, clip: Clip, overlap: int, scale: float | None, steps: int, seed: int) -> tuple[float, float, float, float]:
    """Of one scene, both made and true: the step into the new pictures, and the mean change from the known ones to them.

    All through the codec, so that its own error counts on both sides alike.
    """
    own, codec = pipe.geometry, pipe.codec
    first = replace(clip, frames=clip.frames[: own.num_frames], waveform=clip.waveform[:, : own.num_samples])
    settings = ContinuationSettings(prompt=clip.caption, overlap=overlap, reconstruction_scale=scale, num_inference_steps=steps)
    seconds = (2 * own.num_frames - overlap) / own.fps
    made = list(extend(pipe, first, seconds=seconds, settings=settings, generator=seed))[-1].latents
    begin = own.num_frames - overlap
    x = torch.from_numpy(clip.frames[begin : begin + own.num_frames].copy()).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    true = codec.whiten(codec.encode(x, None))
    result = []
    for latents in (made, true):
        frames = codec.decode(codec.unwhiten(AV(latents.video, None)), own.num_samples).video[0].clamp(-1, 1).movedim(1, 0) / 2
        step = (frames[overlap] - frames[overlap - 1]).abs().mean()
        change = (frames[overlap:].mean(0) - frames[:overlap].mean(0)).abs().mean()
        result.append((float(step), float(change)))
    return result[0][0], result[1][0], result[0][1], result[1][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--allowed", type=int, metavar="N")
    parser.add_argument("--known", type=int, metavar="N")
    parser.add_argument("--steps", type=int, default=15)
    args = parser.parse_args()
    pipe = SoundingVideoPipeline.from_pretrained()
    if args.allowed:
        allowed(args.allowed, pipe.geometry)
    if args.known:
        known(args.known, pipe, args.steps)


if __name__ == "__main__":
    main()
