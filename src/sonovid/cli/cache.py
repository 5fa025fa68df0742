"""sonovid cache: the latents that a recipe trains on, encoded before it trains, and cleared of what it no longer uses."""

import argparse
import shutil
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Encode the clips that a recipe would train on, and stop before training. What is encoded already is left as it is.

  sonovid cache uniform.scenes data=clips out=run            what `sonovid train` with the same values finds done
  sonovid cache uniform.scenes data=clips out=run --ray      on the machines of a Ray cluster (RAY_ADDRESS), or on this one
  sonovid cache uniform.scenes data=clips out=run --prune    remove clips that are no longer in the data

Each clip has a key of its own, so clips that are added are encoded alone. An interrupted call is finished by calling again.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "cache",
        help="encode the clips that a recipe trains on, or remove those that it no longer uses",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("recipe", metavar="RECIPE", help="see sonovid recipes")
    parser.add_argument("values", nargs="*", metavar="key=value", help="values that differ from the recipe's")
    parser.add_argument("--ray", action="store_true", help="encode by Ray Data: pip install 'sonovid[ray]'")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="remove clips that are not in the data, and caches of an earlier version; other codecs' stores are left and named",
    )


def run(args: argparse.Namespace) -> None:
    """Encode, prune, and say what there is."""
    from sonovid import recipes

    done, folders = recipes.cache(args.recipe, args.values, ray=args.ray, prune=args.prune)
    print(f"{done.clips} clips cached, {done.encoded} of them encoded now")
    if args.prune:
        print(f"{done.pruned} clips and probes removed")
    for root in folders:
        _told(root, done.stores, prune=args.prune)


def _told(root: Path, used: "set[Path]", *, prune: bool) -> None:
    """What lies in a cache's folder besides what is used; caches of the first version go where that is asked for."""
    from sonovid.data import migration

    for folder in migration.earlier(root):
        if prune:
            size = size_of(folder)
            shutil.rmtree(folder)
            print(f"{folder}: cache of an earlier version removed, {size}")
        else:
            print(f"{folder}: cache of an earlier version, {size_of(folder)}; --prune removes it")
    for folder in sorted(root.glob("store-*")):
        whose = "" if folder in used else ", of another codec or geometry; delete the folder if no recipe uses it"
        print(f"{folder}: {size_of(folder)}{whose}")


def size_of(folder: Path) -> str:
    """How much a folder's files take."""
    size = float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
