"""Tables I to III of the SVG baseline, by one command: clips for a data set's captions, and how they compare with its own.

    python -m benchmarks svg.paper OUT --data greatest-hits:FOLDER:split=test --model cmc_pe=DIR --model cross_attention=DIR
        [--gammas 1 1.5] [--ways joint audio_first video_first] [--count N] [--metrics ...] [--weights DIR] [--device cuda]

The reference is exported first (OUT/reference), at the models' rate and size, with its captions. Every set is then generated into
a folder of its own, clip by clip under the reference's names; what is there is not made again. Ways: joint; audio_first, a sound
by the audio base model alone, then pictures for it (text -> audio -> video); video_first the other way round. The metrics are
the paper's by default: Table I FVD, FAD and AV-Align, Tables II and III ImageBind as well. Those whose weights are not at hand
are skipped and named. OUT/table.json and OUT/table.md hold the table. Landscape and VGGSound: --data landscape:FOLDER:split=test
or vggsound:FOLDER:split=test, with models trained by svg.paper.landscape and svg.paper.vggsound.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from sonovid import media
from sonovid.cli import main as sonovid
from sonovid.cli.clip_files import export_clips, name_entries
from sonovid.data import manifest
from sonovid.pipelines.pipeline import SoundingVideoPipeline

METRICS = "fvd_i3d400_styleganv,fad_vggish_audioldm,av_align_sony,imagebind"
WAYS = ("joint", "audio_first", "video_first")


def generate(pipe: SoundingVideoPipeline, words: str, seed: int, way: str, gamma: float):
    """One clip for some words."""
    if way == "joint":
        return pipe(words, generator=seed, gamma=gamma).clips[0]
    # The base models by themselves: connectors and joins are left out.
    pipe.denoiser.bases_only = True
    alone = pipe(words, generator=seed, gamma=1.0).clips[0]
    pipe.denoiser.bases_only = False
    if way == "audio_first":
        return pipe(words, audio=replace(alone, frames=None), generator=seed, gamma=gamma).clips[0]
    return pipe(words, video=replace(alone, waveform=None), generator=seed, gamma=gamma).clips[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--gammas", type=float, nargs="+", default=[1.0, 1.5])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["joint"])
    parser.add_argument("--count", type=int)
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--weights")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    pipes = {name: SoundingVideoPipeline.from_pretrained(folder) for name, folder in (pair.split("=", 1) for pair in args.model)}
    geometry = next(iter(pipes.values())).geometry
    entries = export_clips(name_entries(manifest.read(args.data))[: args.count], args.out / "reference", geometry=geometry)
    jobs = [(f"{name}-{way}-{g:g}", pipe, way, g) for name, pipe in pipes.items() for way in args.ways for g in args.gammas]
    for title, pipe, way, gamma in jobs:
        pipe.to(args.device)
        pipe.set_progress_bar_config(disable=True)
        for seed, entry in enumerate(tqdm(entries, desc=title)):
            path = args.out / title / Path(entry.path).relative_to(args.out / "reference")
            if path.is_file():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            media.write(path, generate(pipe, entry.caption, seed, way, gamma))
            path.with_suffix(".txt").write_text(entry.caption + "\n")
    sets = [str(args.out / title) for title, *_ in jobs]
    reference, files = str(args.out / "reference"), ["--json", "table.json", "--markdown", "table.md"]
    files = [str(args.out / word) if "." in word else word for word in files]
    options = ["--metrics", args.metrics, "--overwrite", *files, *(["--weights", args.weights] if args.weights else [])]
    command = ["evaluate", *sets, reference] if len(sets) == 1 else ["compare", *sets, "--reference", reference]
    raise SystemExit(sonovid([*command, *options]))


if __name__ == "__main__":
    main()
