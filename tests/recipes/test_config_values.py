"""Recipes changed by key=value: kinds of values, near misses, and what is written down."""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import pytest

from sonovid import recipes
from sonovid.recipes import overrides as base


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    decay: Literal["constant", "cosine"] = "cosine"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.9, 0.99)
    minutes: float | None = None


@dataclass(frozen=True)
class Other:
    rate: float = 0.5


@dataclass(frozen=True)
class Config:
    name: str = "x"
    fps: Fraction = Fraction(25)
    count: int = 3
    fast: bool = False
    training: Inner = field(default_factory=Inner)
    other: Other = field(default_factory=Other)


@pytest.mark.parametrize(
    ("key", "text", "read"),
    [
        ("name", "a=b c", lambda c: c.name == "a=b c"),
        ("fps", "29.97", lambda c: c.fps == Fraction(30000, 1001)),
        ("count", "1e3", lambda c: c.count == 1000 and isinstance(c.count, int)),
        ("count", "-10_000", lambda c: c.count == -10000),
        ("fast", "yes", lambda c: c.fast is True),
        ("training.decay", "constant", lambda c: c.training.decay == "constant"),
        ("sizes", "4,5,6", lambda c: c.training.sizes == (4, 5, 6)),
        ("pair", "(0.8, 0.9)", lambda c: c.training.pair == (0.8, 0.9)),
        ("minutes", "2.5", lambda c: c.training.minutes == 2.5),
        ("minutes", "none", lambda c: c.training.minutes is None),
        ("other.rate", "2", lambda c: c.other.rate == 2.0),
        ("rate", "3", lambda c: c.training.rate == 3.0 and c.other.rate == 0.5),
    ],
)
def test_values_are_read_by_the_type_of_their_key(key, text, read):
    assert read(base.override(Config(), {key: text}))


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("cuont", "1", "did you mean 'count'"),
        ("training.rat", "1", "did you mean 'training.rate'"),
        ("zzz", "1", "keys are name, fps"),
        ("count", "2.5", "expected a whole number"),
        ("count", "many", "expected a whole number"),
        ("rate", "fast", "expected a number"),
        ("fast", "maybe", "expected true or false"),
        ("decay", "cosin", "did you mean 'cosine'"),
        ("pair", "1", "expected 2 values"),
        ("fps", "0", "frame rate"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_nearest_thing(key, text, said):
    with pytest.raises(ValueError, match=said):
        base.override(Config(), {key: text})


def test_pairs_of_a_command_line():
    assert base.parse_pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(ValueError, match="expected key=value"):
        base.parse_pairs(["steps"])
    with pytest.raises(ValueError, match="given twice"):
        base.parse_pairs(["a=1", "a=2"])


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_is_written_down_and_read_back_key_by_key(name):
    recipe = recipes.get(name)
    assert json.loads(json.dumps(base.plain(recipe))) == base.plain(recipe)
    changed = {}
    for key in base.keys(recipe):
        value = recipe
        for part in key.split("."):
            value = getattr(value, part)
        changed[key] = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert recipes.get(name, changed) == recipe


def test_names_tell_what_each_recipe_is():
    assert all(line.endswith(".") and len(line) < 120 for line in recipes.names().values())
    with pytest.raises(ValueError, match=r"did you mean 'uniform\.scenes'"):
        recipes.get("unifrom.scenes")


def test_short_keys_mean_what_everyone_means():
    recipe = recipes.get("uniform.scenes", ["data=clips", "out=run", "steps=7", "resume=latest"])
    assert (recipe.data.path, recipe.out, recipe.training.steps, recipe.resume) == ("clips", "run", 7, "latest")


def test_a_run_says_what_it_needs(tmp_path):
    with pytest.raises(ValueError, match="out=FOLDER is needed"):
        recipes.run("uniform.tiny")
    with pytest.raises(ValueError, match="data=FOLDER_OR_MANIFEST is needed"):
        recipes.run("uniform.tiny", {"out": str(tmp_path), "data": ""})
