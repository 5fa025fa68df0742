"""Config values: parsing by type, near misses in error messages, and conversion to plain values."""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import pytest

from sonovid import recipes
from sonovid.recipes import config_values


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
def test_values_are_parsed_by_the_type_of_their_key(key, text, read):
    assert read(config_values.override(Config(), {key: text}))


@pytest.mark.parametrize(
    ("key", "text", "message"),
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
def test_errors_name_the_nearest_key_or_value(key, text, message):
    with pytest.raises(ValueError, match=message):
        config_values.override(Config(), {key: text})


def test_pairs_of_a_command_line_are_parsed():
    assert config_values.parse_pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(ValueError, match="expected key=value"):
        config_values.parse_pairs(["steps"])
    with pytest.raises(ValueError, match="given twice"):
        config_values.parse_pairs(["a=1", "a=2"])


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_survives_a_round_trip_through_text(name):
    recipe = recipes.get(name)
    assert json.loads(json.dumps(config_values.to_plain(recipe))) == config_values.to_plain(recipe)
    changed = {}
    for key in config_values.list_keys(recipe):
        value = recipe
        for part in key.split("."):
            value = getattr(value, part)
        changed[key] = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert recipes.get(name, changed) == recipe


def test_every_recipe_has_a_one_line_description():
    assert all(line.endswith(".") and len(line) < 120 for line in recipes.names().values())
    with pytest.raises(ValueError, match=r"did you mean 'uniform\.scenes'"):
        recipes.get("unifrom.scenes")


def test_abbreviated_keys_prefer_the_training():
    recipe = recipes.get("uniform.scenes", ["data=clips", "out=run", "steps=7", "resume=latest"])
    assert (recipe.data.path, recipe.out, recipe.training.steps, recipe.resume) == ("clips", "run", 7, "latest")


def test_a_run_needs_an_output_folder_and_data(tmp_path):
    with pytest.raises(ValueError, match="out=FOLDER is needed"):
        recipes.run("uniform.tiny")
    with pytest.raises(ValueError, match="data=FOLDER_OR_MANIFEST is needed"):
        recipes.run("uniform.tiny", {"out": str(tmp_path), "data": ""})
