"""Contact sheet of the packaged model: the first clip, seed 0, of 24 prompts. Nothing is chosen by hand.

    python -m benchmarks packaged.contact_sheet docs/images/prompts.jpg [--model DIR] [--clips FOLDER]

Each strip has eight frames of the two seconds. --clips also writes the clips, and frames above spectrograms.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.media.preview import preview
from sonovid.pipelines.pipeline import SoundingVideoPipeline

PROMPTS = (
    "a wooden stick hits a metal can",
    "a wooden stick hits a metal can twice",
    "a wooden stick hits a glass bottle",
    "a wooden stick hits a wooden box three times",
    "a wooden stick hits a drum",
    "a wooden stick hits a pile of leaves",
    "a wooden stick hits a ceramic pot twice",
    "a wooden stick hits water",
    "a red rubber ball bounces on a wooden floor",
    "a blue rubber ball bounces on a stone floor",
    "a green wooden ball bounces on a metal floor",
    "a yellow plastic ball bounces on a wooden floor",
    "a metal ball bounces on a stone floor",
    "a glass ball bounces on a metal floor",
    "a white plastic ball bounces on a carpet",
    "two rubber balls bounce on a wooden floor",
    "heavy waves crash on the shore",
    "heavy rain under a grey sky",
    "a waterfall in the evening",
    "a camp fire crackling at night",
    "at night, thunder follows lightning",
    "a green boot squishes in a puddle",
    "a stick hits a can",
    "a ball",
)
FRAMES, SIDE, COLUMNS, GAP = 8, 72, 2, 8
LABEL = 14


def strip(clip: Clip, prompt: str) -> Image.Image:
    """Frames of a clip, evenly spaced, under its prompt."""
    assert clip.frames is not None
    chosen = clip.frames[np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int)]
    image = Image.new("RGB", (FRAMES * SIDE, LABEL + SIDE), "white")
    ImageDraw.Draw(image).text((2, 1), prompt, fill="black")
    for i, frame in enumerate(chosen):
        image.paste(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (i * SIDE, LABEL))
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the image")
    parser.add_argument("--model")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="also write the clips and their previews there")
    options = parser.parse_args()
    pipe = SoundingVideoPipeline.from_pretrained(options.model)
    clips = pipe(list(PROMPTS), generator=[0] * len(PROMPTS)).clips
    strips = [strip(clip, prompt) for clip, prompt in zip(clips, PROMPTS, strict=True)]
    rows = -(-len(strips) // COLUMNS)
    width, height = strips[0].width + GAP, strips[0].height + GAP
    sheet = Image.new("RGB", (COLUMNS * width - GAP, rows * height - GAP), "white")
    for i, one in enumerate(strips):
        sheet.paste(one, (i // rows * width, i % rows * height))
    sheet.save(options.out, quality=88)
    for i, clip in enumerate(clips if options.clips else ()):
        options.clips.mkdir(parents=True, exist_ok=True)
        media.write(options.clips / f"{i:02d}.mp4", clip)
        preview(clip).save(options.clips / f"{i:02d}.png")


if __name__ == "__main__":
    main()
