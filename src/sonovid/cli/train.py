"""sonovid train and sonovid recipes: trains by a recipe, lists recipes and shows their values."""

import argparse
from typing import Any

DESCRIPTION = """\
Train a model or a codec by a recipe, with some of its values overridden.

  sonovid train uniform.scenes data=FOLDER_OR_MANIFEST out=DIR steps=20000
  sonovid train uniform.scenes out=DIR resume=latest
  accelerate launch --multi_gpu --num_processes 2 -m sonovid.cli train uniform.scenes data=FOLDER out=DIR

sonovid recipes lists the recipes, sonovid recipes NAME shows the values of one, and sonovid recipes NAME --needs the pretrained
parts that it uses: files, sizes, licences, and whether they are available.
"""


def add_parser(commands: Any) -> None:
    """Add both commands to the parser."""
    parser = commands.add_parser(
        "train",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe (see sonovid recipes)")
    parser.add_argument("values", nargs="*", metavar="key=value", help="values that override those of the recipe")
    parser = commands.add_parser("recipes", allow_abbrev=False)
    parser.set_defaults(run=show_recipe)
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="name of a recipe (see sonovid recipes)")
    parser.add_argument("values", nargs="*", metavar="key=value", help="values that override those of the recipe")
    parser.add_argument(
        "--needs",
        action="store_true",
        help="list the pretrained parts that the recipe uses: files, sizes, licences, availability",
    )


def run(args: argparse.Namespace) -> None:
    """Train."""
    from sonovid.core.allocator import keep_freed_memory

    keep_freed_memory()
    from sonovid import recipes

    print(recipes.run(args.recipe, args.values))


def show_recipe(args: argparse.Namespace) -> None:
    """List the recipes, or show the values or the needs of one."""
    from sonovid import recipes
    from sonovid.recipes import config_values

    if args.recipe is None:
        if args.needs:
            raise ValueError("recipes --needs: name a recipe: sonovid recipes NAME --needs")
        width = max(map(len, recipes.names()))
        for name, what in recipes.names().items():
            print(f"{name:{width}}  {what}")
        return
    recipe = recipes.get(args.recipe, args.values)
    if args.needs:
        show_needs(args.recipe, recipe)
        return
    for key, value in flatten(config_values.to_plain(recipe)).items():
        print(f"{key}={value}")


def show_needs(name: str, recipe: Any) -> None:
    """Print the pretrained parts that a recipe uses."""
    from sonovid.recipes.requirements import find_requirements

    found = find_requirements(recipe)
    if not found:
        print(f"{name}: needs no pretrained parts")
    for need in found:
        state = need.problem or ("available" if need.is_local else "to be downloaded from the Hub")
        print(f"{need.key}={need.source}\n    {need.description}\n    {state}")
    if missing := [need for need in found if not need.is_local and need.is_repository]:
        total = sum(need.gigabytes or 0 for need in missing)
        print(
            f"to download: {total:.2f} GB" + (" and parts of unknown size" if any(n.gigabytes is None for n in missing) else "")
        )


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key, with lists as on the command line."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = ",".join(map(str, value)) if isinstance(value, list) else value
    return found
