"""What the packaged codecs lose on held-out scenes: PSNR of frames, error of mel levels, spectral distance and onsets of sound.

    python -m benchmarks packaged.codecs [--model DIR] [--count 64] [--worlds bounces+hits]

The vocoder stands beside 32 iterations of Griffin and Lim on the same mel frames, the yardstick that nothing was trained for.
"""

import argparse
import time

import numpy as np
import torch

from benchmarks.readers import scenes, to_frames
from sonovid.codecs.vocoder import GriffinLim
from sonovid.metrics.alignment import agreement, sound_onsets
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.training.reconstruction import multi_resolution_stft_loss, psnr

HELD_OUT_SEED = 90_000_000


def onset_figures(made: torch.Tensor, true: torch.Tensor, rate: int) -> tuple[float, float]:
    """F1 of onsets within 50 ms, and the median distance in ms of those that match within 100 ms."""
    pairs = [(sound_onsets(a.numpy(), rate), sound_onsets(b.numpy(), rate)) for a, b in zip(made, true, strict=True)]
    distances = [np.abs(found - onset).min() for found, onsets in pairs if len(found) for onset in onsets]
    near = [d for d in distances if d < 0.1]
    return agreement(pairs, 0.05).f1, 1000 * float(np.median(near)) if near else float("nan")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--worlds", default="bounces+hits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipe = SoundingVideoPipeline.from_pretrained(options.model)
    held = scenes(options.worlds.split("+"), options.count, HELD_OUT_SEED, pipe.geometry)
    values = []
    for scene in held:
        frames = to_frames([scene.frames])
        values.append(psnr(pipe.video_codec.decode(pipe.video_codec.encode(frames)), frames).item())
    print(f"frames: PSNR {np.mean(values):.2f} dB (worst clip {min(values):.2f}, best {max(values):.2f})")
    codec, true = pipe.audio_codec, torch.from_numpy(np.stack([s.waveform for s in held]))
    mel = codec.mel(true)
    rebuilt = codec.autoencoder.decode(codec.autoencoder.encode(mel))
    spread = (mel - mel.mean((0, 2), keepdim=True)).abs().mean()
    error = (rebuilt - mel).abs().mean()
    print(f"mel autoencoder: levels off by {error:.3f} nats on average (their mean deviation is {spread:.3f})")
    seconds = true.shape[1] / codec.sample_rate * len(true)
    for name, vocode in (("vocoder", codec.vocoder), ("Griffin-Lim", GriffinLim(codec.log_mel, 32))):
        for kind, source in (("true", mel), ("rebuilt", rebuilt)):
            began = time.perf_counter()
            made = vocode(source)
            speed = seconds / (time.perf_counter() - began)
            f1, off = onset_figures(made, true, codec.sample_rate)
            print(
                f"{name:12s} on {kind:8s} mel: mel error {(codec.mel(made) - mel).abs().mean():.3f} nats, spectral distance "
                f"{multi_resolution_stft_loss(made, true).mean():.3f}, onsets F1 {f1:.3f} within 50 ms, median {off:.1f} ms off, "
                f"{speed:.0f} times real time on one core"
            )


if __name__ == "__main__":
    main()
