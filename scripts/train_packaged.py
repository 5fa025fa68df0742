"""Train the models inside the package, stage by stage, by their recipes.

    python scripts/train_packaged.py packaged OUT [key=value ...]     96x96 at 16 frames per second, three worlds
    python scripts/train_packaged.py uniform OUT [key=value ...]      64x64 at 8 frames per second, two worlds

Each stage is one `sonovid train`, which this script prints; OUT/STAGE is its run. A stage that is interrupted continues, and
values after OUT, such as steps=100, are passed to all stages. OUT/model is the model in half precision, as it is in the package.
docs/training-log.md tells how the packaged weights were trained.
"""

import argparse
from pathlib import Path

from sonovid import recipes
from sonovid.core.allocator import keep_freed_memory
from sonovid.pipelines.pipeline import SoundingVideoPipeline

# Stages of each model: name of the run, recipe, values. {out} is the folder of all runs. The last one trains the network.
STAGES = {
    "packaged": (
        ("video", "codec.video", []),
        ("decoder", "codec.video.decoder", ["initial={out}/video/model"]),
        ("mel", "codec.mel.fine", []),
        (
            "network",
            "uniform.packaged",
            ["codecs.video={out}/decoder/model", "codecs.audio={out}/mel/model", "codecs.vocoder=griffin-lim"],
        ),
    ),
    "uniform": (
        ("frames", "codec.frames", []),
        ("mel", "codec.mel", []),
        ("vocoder", "codec.vocoder", ["through={out}/mel/model"]),
        (
            "network",
            "uniform.scenes",
            ["codecs.video={out}/frames/model", "codecs.audio={out}/vocoder/model/audio_codec"],
        ),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=STAGES)
    parser.add_argument("out", type=Path)
    parser.add_argument("values", nargs="*", metavar="key=value", help="values for all stages")
    options = parser.parse_args()
    keep_freed_memory()
    trained = None
    for name, recipe, own in STAGES[options.model]:
        out = options.out / name
        values = [f"out={out}", *(value.format(out=options.out) for value in own), *options.values]
        values += ["resume=latest"] if (out / "recipe.json").is_file() else []
        print("sonovid train", recipe, *values, flush=True)
        trained = recipes.run(recipe, values)
    pipe = SoundingVideoPipeline.from_pretrained(trained)
    for component in (pipe.denoiser, pipe.video_codec, pipe.audio_codec):
        component.half()
    pipe.save_pretrained(options.out / "model")
    print(options.out / "model")


if __name__ == "__main__":
    main()
