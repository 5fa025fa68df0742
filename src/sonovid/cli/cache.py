"""sonovid cache: encodes the latents that a recipe trains on, and removes unused ones."""

import argparse
import shutil
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Encode the clips that a recipe trains on into latents, without training. Clips that are encoded already are skipped.

  sonovid cache uniform.scenes data=clips out=run            the latents that `sonovid train` with the same values uses
  sonovid cache uniform.scenes data=clips out=run --ray      on a Ray cluster (RAY_ADDRESS), or on this machine
  sonovid cache uniform.scenes data=clips out=run --prune    remove the latents of clips that are no longer in the data

Every clip is cached under its own key, so that only added clips are encoded. An interrupted run is resumed by the same command.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "cache",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe (see sonovid recipes)")
    parser.add_argument("values", nargs="*", metavar="key=value", help="values that override those of the recipe")
    parser.add_argument("--ray", action="store_true", help="encode with Ray Data (pip install 'sonovid[ray]')")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove latents of clips that are not in the data and caches of an earlier version; stores of other codecs "
        "are kept and listed",
    )


def run(args: argparse.Namespace) -> None:
    """Encode, prune, and print a summary."""
    from sonovid import recipes

    done, folders = recipes.cache(args.recipe, args.values, ray=args.ray, prune=args.prune)
    print(f"{done.clips} clips cached, {done.encoded} of them encoded now")
    if args.prune:
        print(f"{done.pruned} clips and probes removed")
    for root in folders:
        _print_stores(root, done.stores, prune=args.prune)


def _print_stores(root: Path, used: "set[Path]", *, prune: bool) -> None:
    """Print the stores in a cache folder that are not in use. With `prune`, remove caches of the first format."""
    from sonovid.data import migration

    for folder in migration.find_v1_caches(root):
        if prune:
            size = folder_size(folder)
            shutil.rmtree(folder)
            print(f"{folder}: cache of an earlier version removed, {size}")
        else:
            print(f"{folder}: cache of an earlier version, {folder_size(folder)}; --prune removes it")
    for folder in sorted(root.glob("store-*")):
        note = "" if folder in used else ", of another codec or geometry; delete the folder if no recipe uses it"
        print(f"{folder}: {folder_size(folder)}{note}")


def folder_size(folder: Path) -> str:
    """The total size of a folder's files, with its unit."""
    size = float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
