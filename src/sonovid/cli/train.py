"""sonovid train and sonovid recipes: a named configuration, changed by key=value, run; and what there is."""

import argparse
from typing import Any

DESCRIPTION = """\
Train what a recipe describes, with some of its values changed.

  sonovid train uniform.scenes data=FOLDER_OR_MANIFEST out=DIR steps=20000
  sonovid train uniform.scenes out=DIR resume=latest
  accelerate launch --multi_gpu --num_processes 2 -m sonovid.cli train uniform.scenes data=FOLDER out=DIR

sonovid recipes lists the recipes, sonovid recipes NAME the values of one, and sonovid recipes NAME --needs what it takes from
elsewhere: files, sizes, licences, and whether they are here.
"""


def add(commands: Any) -> None:
    """Add both commands to the parser."""
    parser = commands.add_parser(
        "train",
        help="train a model or a codec by a recipe",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("recipe", metavar="RECIPE", help="see sonovid recipes")
    parser.add_argument("values", nargs="*", metavar="key=value", help="values that differ from the recipe's")
    parser = commands.add_parser("recipes", help="list recipes, or the values of one", allow_abbrev=False)
    parser.set_defaults(run=show)
    parser.add_argument("recipe", nargs="?", metavar="RECIPE")
    parser.add_argument("values", nargs="*", metavar="key=value", help="values that differ from the recipe's")
    parser.add_argument("--needs", action="store_true", help="released parts that it takes: files, sizes, licences, what is here")


def run(args: argparse.Namespace) -> None:
    """Train."""
    from sonovid import recipes

    print(recipes.run(args.recipe, args.values))


def show(args: argparse.Namespace) -> None:
    """Name the recipes, or say what one holds, or what it needs."""
    from sonovid import recipes
    from sonovid.recipes import base

    if args.recipe is None:
        if args.needs:
            raise ValueError("recipes --needs: of which recipe? sonovid recipes NAME --needs")
        width = max(map(len, recipes.names()))
        for name, what in recipes.names().items():
            print(f"{name:{width}}  {what}")
        return
    recipe = recipes.get(args.recipe, args.values)
    if args.needs:
        show_needs(args.recipe, recipe)
        return
    for key, value in flat(base.plain(recipe)).items():
        print(f"{key}={value}")


def show_needs(name: str, recipe: Any) -> None:
    """What a recipe takes from elsewhere, a line to a source."""
    from sonovid.recipes.needs import needs

    found = needs(recipe)
    if not found:
        print(f"{name}: needs nothing from elsewhere")
    for need in found:
        state = need.fault or ("here" if need.here else "not here yet; the Hub has it")
        print(f"{need.key}={need.source}\n    {need.what}\n    {state}")
    if missing := [need for need in found if not need.here and need.is_repository]:
        total = sum(need.gigabytes or 0 for need in missing)
        print(f"to fetch: {total:.2f} GB" + (" and what is of unknown size" if any(n.gigabytes is None for n in missing) else ""))


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key, lists as they are written on the command line."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = ",".join(map(str, value)) if isinstance(value, list) else value
    return found
