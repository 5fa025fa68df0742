"""sonovid info: what a media file holds, or what a model makes."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("info", help="what a media file holds, or what a model makes", allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("what", nargs="?", metavar="FILE_OR_MODEL", help="default: the packaged model")


def run(args: argparse.Namespace) -> None:
    """Say it, one fact to a line."""
    facts = media_facts(args.what) if args.what and Path(args.what).is_file() else model_facts(args.what)
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:{width}}  {value}")


def media_facts(path: str) -> dict[str, Any]:
    """A media file's facts."""
    from sonovid import media

    info = media.probe(path)
    facts: dict[str, Any] = {"length": f"{float(info.duration):.3f} s"}
    if info.has_video and info.size is not None:
        facts["pictures"] = f"{info.size[1]}x{info.size[0]}, {info.fps} per second, {info.num_frames} in all"
    if info.has_audio:
        facts["sound"] = f"{info.sample_rate} Hz, {info.channels} channel{'s' if info.channels > 1 else ''}"
    return facts


def model_facts(model: str | None) -> dict[str, Any]:
    """A model's facts, from its index and the headers of its weights: nothing is loaded."""
    from sonovid import folders
    from sonovid.geometry import Geometry

    folder = folders.locate(model)
    index = folders.read_index(folder)
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
