"""Several generations of a whole test set, each clip's one stream from its other, as folders that sonovid evaluate reads.

    python -m benchmarks cmmd.conditional_sets OUT --model DIR --data SPEC --task audio_to_video [--generations 5] [--frames 36]
        [--most 50] [--steps N] [--reconstruction-scale L]

leaves OUT/reference and OUT/generation-0 ... -4, all with the same names, which is what a pairwise evaluation needs (CMMD,
section 4.2: FVD and KVD of each of five generations against the test set, the mean of five taken):

    for i in 0 1 2 3 4; do
        sonovid evaluate OUT/generation-$i OUT/reference --metrics fvd_i3d400,kvd_i3d400 --json OUT/fvd-$i.json
    done
    python -m benchmarks cmmd.conditional_sets OUT --mean

SPEC is anything that trains: a folder, a dataset such as aist:FOLDER:split=test, or scenes:bounces:50:seed=90000000. --frames
runs the network itself on clips of another length than it was trained on; 36 is twice CMMD's. What is there is kept, so an
interrupted call is finished by calling again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from sonovid import media
from sonovid.data import clips, manifest
from sonovid.metrics import results
from sonovid.pipelines.pipeline import SoundingVideoPipeline


def make(options: argparse.Namespace) -> None:
    """Write the reference and the generations."""
    pipe = SoundingVideoPipeline.from_pretrained(options.model)
    pipe.set_progress_bar_config(disable=True)
    if options.frames:
        pipe.geometry = replace(pipe.geometry, num_frames=options.frames)
    windows = clips.find_windows(manifest.read(options.data), pipe.geometry)[: options.most]
    how = {"num_inference_steps": options.steps}
    if options.reconstruction_scale is not None:
        how["reconstruction_scale"] = options.reconstruction_scale
    for number, window in enumerate(windows):
        clip = clips.load_clip(window, pipe.geometry)
        name = f"{number:05d}.mp4"
        (options.out / "reference").mkdir(parents=True, exist_ok=True)
        media.write(options.out / "reference" / name, clip, overwrite=True)
        for generation in range(options.generations):
            path = options.out / f"generation-{generation}" / name
            if path.is_file():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            given = replace(clip, **({"frames": None} if options.task == "audio_to_video" else {"waveform": None}))
            stream = {"audio" if options.task == "audio_to_video" else "video": given}
            made = pipe(clip.caption if pipe.accepts_text else None, generator=1_000_000 * generation + number, **stream, **how)
            media.write(path, made.clips[0])
        print(f"{number + 1} of {len(windows)}", flush=True)


def mean(out: Path) -> None:
    """The mean and spread over generations of every number in OUT/NAME-I.json."""
    found: dict[str, list[float]] = {}
    for path in sorted(out.glob("*-[0-9]*.json")):
        for result in results.load(path).results:
            found.setdefault(result.name, []).append(float(result.value))
    for name, values in found.items():
        print(f"{name}: mean {np.mean(values):.4g} of {len(values)} generations, from {min(values):.4g} to {max(values):.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--mean", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--task", choices=("audio_to_video", "video_to_audio"), default="audio_to_video")
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--most", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--reconstruction-scale", type=float)
    options = parser.parse_args()
    if options.mean:
        mean(options.out)
    elif options.data is None:
        parser.error("--data is needed: what to generate from")
    else:
        make(options)


if __name__ == "__main__":
    main()
