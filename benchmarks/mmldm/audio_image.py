"""What sound loses as MM-LDM's audio image: the error of its mel spectrogram after greys alone, and after the whole way.

    python -m benchmarks mmldm.audio_image [--count 16] [--worlds bounces+hits+landscape]

Mean absolute error in decibels against levels within the picture's range, over all mel places of 1.6 s of held-out scenes at
44.1 kHz, as the released code takes them.
"""

import argparse

import torch

from benchmarks.readers import scenes
from sonovid.codecs.audio_image import DECIBELS, AudioImage, released_mel, resize
from sonovid.core.geometry import Geometry

HELD_OUT_SEED = 90_000_000
SAMPLES = 70_560


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--worlds", default="bounces+hits+landscape")
    options = parser.parse_args()
    torch.set_num_threads(1)
    geometry = Geometry(fps=10, num_frames=16, height=64, width=64, sample_rate=44_100)
    image, mel = AudioImage(), released_mel()
    for world in options.worlds.split("+"):
        held = scenes([world], options.count, HELD_OUT_SEED, geometry)
        sound = torch.stack([torch.as_tensor(clip.waveform).float()[:SAMPLES] for clip in held])
        frames = mel(sound)
        picture = image.encode(frames)
        ways = {
            "8-bit greys alone": image.dequantise(image.quantise(frames).float()),
            "the whole way": image.decode(picture, *frames.shape[1:]),
            "the picture resized back": image.dequantise(resize(127.5 * (picture[:, :1] + 1), *frames.shape[1:])[:, 0]),
        }
        # What is cut off is told apart: scenes fall to digital silence, twenty decibels below the picture's black.
        heard = frames.clamp(image.low / DECIBELS, image.high / DECIBELS)
        told = ", ".join(f"{name} {float((found - heard).abs().mean()) * DECIBELS:.2f} dB" for name, found in ways.items())
        beyond = ((frames * DECIBELS < image.low) | (frames * DECIBELS > image.high)).float().mean()
        cut = float((heard - frames).abs().mean()) * DECIBELS
        print(f"{world}: {told}; {float(beyond):.0%} of places beyond the range, where {cut:.2f} dB of the mean are cut off")


if __name__ == "__main__":
    main()
