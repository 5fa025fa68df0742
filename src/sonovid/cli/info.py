"""sonovid info: facts of a media file, clips, a training run or a model."""

import argparse
from pathlib import Path
from typing import Any

from sonovid.cli import dataset_info, diffusers_models


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("info", allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="a media file, a folder of clips, a manifest, a run or a model; default: the packaged model",
    )
    parser.add_argument(
        "--model", metavar="DIR_OR_ID", help="a model folder or Hub repository, of which no weights are downloaded"
    )


def run(args: argparse.Namespace) -> None:
    """Print the facts, one per line."""
    if args.what and args.model:
        raise ValueError("WHAT and --model are both given: give one of them")
    facts = describe(args.what, args.model)
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")


def describe(what: str | None, model: str | None) -> dict[str, Any]:
    """Facts by name: of clips or a run, of a media file, or of a model."""
    listed = what is not None and Path(what).suffix.lower() in dataset_info.MANIFEST_SUFFIXES
    if what and (listed or not is_media_path(what)) and (found := dataset_info.describe_source(what)) is not None:
        return found
    return describe_media(what) if what and is_media_path(what) else describe_model(model or what)


def is_media_path(what: str) -> bool:
    """Whether a name stands for a media file, existing or not. Such a name is never looked up on the Hub."""
    from sonovid.media.source import IMAGE_SUFFIXES, is_image_sequence
    from sonovid.metrics.sets import SUFFIXES

    path = Path(what)
    numbered = not (path / "model_index.json").exists() and is_image_sequence(path)
    return path.is_file() or numbered or path.suffix.lower() in {*SUFFIXES, *IMAGE_SUFFIXES}


def describe_media(path: str) -> dict[str, Any]:
    """Facts of a media file. Frames are counted by their packets.

    Raises:
        MediaError: not readable, or above the limits of `media.Limits`.
    """
    from fractions import Fraction

    from sonovid import media
    from sonovid.media.frames import read_timeline
    from sonovid.media.source import is_image_sequence

    if is_image_sequence(path):
        info = media.probe(media.Source(path, fps=Fraction(1)))
        assert info.size is not None
        what = f"{info.size[1]}x{info.size[0]}, {info.num_frames} numbered files; their rate is named with --fps"
        return {"pictures": what}
    info = media.probe(path)
    media.Limits().check_seconds(Path(path), info.duration)
    facts: dict[str, Any] = {"length": f"{float(info.duration):.3f} s"}
    if info.has_video and info.size is not None:
        line = read_timeline(path)
        line.check_plausible(path)
        facts["length"] = f"{float(line.seconds):.3f} s"
        rate = f"{line.rate} per second" if line.constant else f"{float(line.rate):.4g} per second on average, at varying times"
        facts["pictures"] = f"{info.size[1]}x{info.size[0]}, {rate}, {line.num_frames} in all"
        held = line.seconds - line.last
        if held > Fraction(3, 2) / line.rate and line.constant:
            facts["pictures"] += f", the last held for {float(held):.2f} s"
    if info.has_audio:
        facts["sound"] = f"{info.sample_rate} Hz, {info.channels} channel{'s' if info.channels > 1 else ''}"
    return facts


def describe_model(model: str | None) -> dict[str, Any]:
    """Facts of a model from its index and the headers of its weight files, without loading it."""
    from sonovid.core.geometry import Geometry
    from sonovid.pipelines import loading, packaged
    from sonovid.pipelines.foreign import is_foreign_model

    folder = loading.locate(model, weights=False)
    index = loading.read_index(folder)
    if is_foreign_model(index):
        return diffusers_models.describe_model(folder, index)
    facts: dict[str, Any] = {"folder": folder, "system": index.get("system", "unknown")}
    if "geometry" in index:
        own = Geometry.from_config(index["geometry"])
        facts["makes"] = (
            f"{float(own.seconds):g} s, {own.width}x{own.height} at {own.fps} frames per second, {own.sample_rate} Hz"
        )
    for name in ("predict", "step", "options"):
        if name in index:
            facts[name] = index[name]
    for name, entry in index.items():
        place = packaged.component_folder(folder, name)
        if isinstance(entry, list) and len(entry) == 2 and place.is_dir():
            shapes = [shape for inner in [place, *place.rglob("*/")] for shape in loading.tensor_shapes(inner).values()]
            facts[name] = f"{entry[1]}, {loading.count_values(shapes):,} values"
    return facts
