"""sonovid info: what a media file holds, or what a model makes."""

import argparse
from pathlib import Path
from typing import Any

from sonovid.cli import data_facts, foreign_models


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info", help="what a media file, a folder of clips or a run holds, or what a model makes", allow_abbrev=False
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "what", nargs="?", metavar="WHAT", help="a file, clips, a manifest, a run or a model; default: the packaged model"
    )
    parser.add_argument("--model", metavar="DIR_OR_ID", help="what a model makes; of the Hub's, no weights are fetched")


def run(args: argparse.Namespace) -> None:
    """Say it, one fact to a line."""
    if args.what and args.model:
        raise ValueError("FILE_OR_MODEL and --model are both given: give one of them")
    facts = facts_of(args.what, args.model)
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")


def facts_of(what: str | None, model: str | None) -> dict[str, Any]:
    """Facts of clips or of a run, of a media file, or of a model."""
    listed = what is not None and Path(what).suffix.lower() in data_facts.LISTS
    if what and (listed or not is_media(what)) and (found := data_facts.facts(what)) is not None:
        return found
    return media_facts(what) if what and is_media(what) else model_facts(model or what)


def is_media(what: str) -> bool:
    """Whether a name is meant as a media file, there or not: such a name is never looked up on the Hub."""
    from sonovid.media.source import STILLS, is_numbered
    from sonovid.metrics.sets import SUFFIXES

    path = Path(what)
    numbered = not (path / "model_index.json").exists() and is_numbered(path)
    return path.is_file() or numbered or path.suffix.lower() in {*SUFFIXES, *STILLS}


def media_facts(path: str) -> dict[str, Any]:
    """A media file's facts. The pictures are counted, by their packets.

    Raises:
        MediaError: not readable, or above the limits of `media.Limits`.
    """
    from fractions import Fraction

    from sonovid import media
    from sonovid.media.pictures import scan
    from sonovid.media.source import is_numbered

    if is_numbered(path):
        info = media.probe(media.Source(path, fps=Fraction(1)))
        assert info.size is not None
        what = f"{info.size[1]}x{info.size[0]}, {info.num_frames} numbered files; their rate is named with --fps"
        return {"pictures": what}
    info = media.probe(path)
    media.Limits().check_seconds(Path(path), info.duration)
    facts: dict[str, Any] = {"length": f"{float(info.duration):.3f} s"}
    if info.has_video and info.size is not None:
        line = scan(path)
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


def model_facts(model: str | None) -> dict[str, Any]:
    """A model's facts, from its index and the headers of its weights: nothing is loaded."""
    from sonovid.core.geometry import Geometry
    from sonovid.pipelines import loading as folders
    from sonovid.pipelines.foreign import reads

    folder = folders.locate(model, weights=False)
    index = folders.read_index(folder)
    if reads(index):
        return foreign_models.facts(folder, index)
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
        if isinstance(entry, list) and len(entry) == 2 and (folder / name).is_dir():
            shapes = [
                shape for inner in [folder / name, *(folder / name).rglob("*/")] for shape in folders.headers(inner).values()
            ]
            facts[name] = f"{entry[1]}, {folders.num_values(shapes):,} values"
    return facts
