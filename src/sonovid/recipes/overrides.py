"""Recipes as nested frozen dataclasses: changed by "key=value", with near misses named, and written down as JSON."""

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypeVar

from sonovid.core.geometry import as_rate

Config = TypeVar("Config")
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_pairs(words: Sequence[str]) -> dict[str, str]:
    """Words "key=value" of a command line as a mapping.

    Raises:
        ValueError: a word without "=", or a key given twice.
    """
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ValueError(f"{word!r}: expected key=value, such as data=clips or training.steps=1000")
        if key in pairs:
            raise ValueError(f"{key} is given twice, as {pairs[key]!r} and {value!r}")
        pairs[key] = value
    return pairs


def keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """All dotted keys of a recipe with their types, in order."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(type(config))
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            found |= keys(value, f"{prefix}{item.name}.")
        else:
            found[prefix + item.name] = hints[item.name]
    return found


def override(config: Config, pairs: Mapping[str, str]) -> Config:
    """A recipe with some of its values replaced.

    pairs: from a dotted key, or its last part where only one key ends so, those of training first ("steps" for "training.steps"),
    to the value as text.

    Raises:
        ValueError: no such key, with the nearest one, or a value of another kind than the key's.
    """
    known = keys(config)
    for given, text in pairs.items():
        key = _full(given, known)
        config = _replaced(config, key.split("."), parse(given, text, known[key]))
    return config


def _full(given: str, known: Mapping[str, Any]) -> str:
    """The whole key that is meant."""
    if given in known:
        return given
    ends = [key for key in known if key.endswith("." + given)]
    # What is common to all recipes is meant first: steps are those of the training, not of sampling.
    ends = [key for key in ends if key.startswith("training.")] or ends
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ValueError(f"{given}: could be {' or '.join(ends)}; write one of them")
    words = {word for key in known for word in (key, key.split(".")[-1], key.split(".")[0])}
    near = difflib.get_close_matches(given, sorted(words), 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"the recipe's keys are {', '.join(known)}"
    raise ValueError(f"no key {given!r} in this recipe; {hint}")


def _replaced(config: Any, path: Sequence[str], value: Any) -> Any:
    if len(path) > 1:
        value = _replaced(getattr(config, path[0]), path[1:], value)
    return replace(config, **{path[0]: value})


def parse(key: str, text: str, kind: Any) -> Any:
    """A value from text, by the type of its field.

    Raises:
        ValueError: the text does not say one.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "null", "") and type(None) in arguments:
            return None
        kind = next(argument for argument in arguments if argument is not type(None))
        return parse(key, text, kind)
    if origin is Literal:
        return _choice(key, text, arguments)
    if origin is tuple:
        parts = [part for part in text.strip("()[] ").replace(",", " ").split() if part]
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        if not many and len(parts) != len(arguments):
            raise ValueError(f"{key}={text}: expected {len(arguments)} values with commas between")
        each = [arguments[0]] * len(parts) if many else arguments
        return tuple(parse(key, part, one) for part, one in zip(parts, each, strict=True))
    if kind is bool:
        if text.lower() not in YES + NO:
            raise ValueError(f"{key}={text}: expected true or false")
        return text.lower() in YES
    if kind is Fraction:
        return as_rate(text)
    if kind in (int, float):
        try:
            return _whole(text) if kind is int else float(text)
        except ValueError:
            raise ValueError(f"{key}={text}: expected a {'whole ' if kind is int else ''}number") from None
    assert kind is str, f"{key}: recipes hold plain values, not {kind}"
    return text


def _whole(text: str) -> int:
    """A whole number, also as 1e6 or 10_000."""
    value = float(text)
    if value != int(value):
        raise ValueError
    return int(text) if text.lstrip("+-").replace("_", "").isdigit() else int(value)


def _choice(key: str, text: str, allowed: Sequence[Any]) -> Any:
    for value in allowed:
        if str(value) == text:
            return value
    near = difflib.get_close_matches(text, [str(value) for value in allowed], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{key}={text}: expected one of {', '.join(map(str, allowed))}{hint}")


def plain(config: Any) -> Any:
    """A recipe as plain values for JSON; fractions as text."""
    if is_dataclass(config) and not isinstance(config, type):
        return {item.name: plain(getattr(config, item.name)) for item in fields(config)}
    if isinstance(config, Fraction):
        return str(config)
    if isinstance(config, Mapping):
        return {str(key): plain(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [plain(value) for value in config]
    return config
