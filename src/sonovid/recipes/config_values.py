"""Values of configs, which are nested frozen dataclasses: list keys, override by key=value, convert to plain values for JSON."""

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypeVar

from sonovid.core.geometry import as_rate

Config = TypeVar("Config")
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_pairs(arguments: Sequence[str]) -> dict[str, str]:
    """Parse "key=value" arguments of a command line into a mapping.

    Raises:
        ValueError: an argument without "=", or a key given twice.
    """
    pairs: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise ValueError(f"{argument!r}: expected key=value, such as data=clips or training.steps=1000")
        if key in pairs:
            raise ValueError(f"{key} is given twice, as {pairs[key]!r} and {value!r}")
        pairs[key] = value
    return pairs


def list_keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """List all dotted keys of a config with their types, in the order of the fields."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(type(config))
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            found |= list_keys(value, f"{prefix}{item.name}.")
        else:
            found[prefix + item.name] = hints[item.name]
    return found


def override(config: Config, pairs: Mapping[str, str]) -> Config:
    """Replace some values of a config.

    Args:
        config: the config, which is not changed.
        pairs: maps a dotted key to a value as text. The last part of a key is enough if only one key ends with it; a key of
            `training` takes precedence, so that "steps" is "training.steps".

    Returns:
        The changed config.

    Raises:
        ValueError: no such key (the message names the nearest one), or a value of another type than the key's.
    """
    types_of_keys = list_keys(config)
    for name, text in pairs.items():
        key = _resolve_key(name, types_of_keys)
        config = _replace(config, key.split("."), parse_value(name, text, types_of_keys[key]))
    return config


def _resolve_key(name: str, known: Mapping[str, Any]) -> str:
    """The full key that an abbreviated one stands for."""
    if name in known:
        return name
    matches = [key for key in known if key.endswith("." + name)]
    # Keys of the training take precedence: "steps" are training steps, not inference steps.
    matches = [key for key in matches if key.startswith("training.")] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(f"{name}: could be {' or '.join(matches)}; write one of them")
    words = {word for key in known for word in (key, key.split(".")[-1], key.split(".")[0])}
    near = difflib.get_close_matches(name, sorted(words), 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"the recipe's keys are {', '.join(known)}"
    raise ValueError(f"no key {name!r} in this recipe; {hint}")


def _replace(config: Any, path: Sequence[str], value: Any) -> Any:
    if len(path) > 1:
        value = _replace(getattr(config, path[0]), path[1:], value)
    return replace(config, **{path[0]: value})


def parse_value(key: str, text: str, kind: Any) -> Any:
    """Parse a value by the type of its field.

    Args:
        key: the key, for error messages.
        text: the value as text. Tuples are separated by commas; "none" is None where the type allows it.
        kind: the type of the field.

    Raises:
        ValueError: the text is no value of this type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "null", "") and type(None) in arguments:
            return None
        kind = next(argument for argument in arguments if argument is not type(None))
        return parse_value(key, text, kind)
    if origin is Literal:
        return _parse_choice(key, text, arguments)
    if origin is tuple:
        parts = [part for part in text.strip("()[] ").replace(",", " ").split() if part]
        any_length = len(arguments) == 2 and arguments[1] is Ellipsis
        if not any_length and len(parts) != len(arguments):
            raise ValueError(f"{key}={text}: expected {len(arguments)} values separated by commas")
        kinds = [arguments[0]] * len(parts) if any_length else arguments
        return tuple(parse_value(key, part, one) for part, one in zip(parts, kinds, strict=True))
    if kind is bool:
        if text.lower() not in TRUE + FALSE:
            raise ValueError(f"{key}={text}: expected true or false")
        return text.lower() in TRUE
    if kind is Fraction:
        return as_rate(text)
    if kind in (int, float):
        try:
            return _parse_integer(text) if kind is int else float(text)
        except ValueError:
            raise ValueError(f"{key}={text}: expected a {'whole ' if kind is int else ''}number") from None
    assert kind is str, f"{key}: configs hold plain values, not {kind}"
    return text


def _parse_integer(text: str) -> int:
    """An integer, also one written as 1e6 or 10_000."""
    value = float(text)
    if value != int(value):
        raise ValueError
    return int(text) if text.lstrip("+-").replace("_", "").isdigit() else int(value)


def _parse_choice(key: str, text: str, allowed: Sequence[Any]) -> Any:
    for value in allowed:
        if str(value) == text:
            return value
    near = difflib.get_close_matches(text, [str(value) for value in allowed], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{key}={text}: expected one of {', '.join(map(str, allowed))}{hint}")


def to_plain(config: Any) -> Any:
    """Convert a config to plain values for JSON: dataclasses to dicts, tuples to lists, fractions to text."""
    if is_dataclass(config) and not isinstance(config, type):
        return {item.name: to_plain(getattr(config, item.name)) for item in fields(config)}
    if isinstance(config, Fraction):
        return str(config)
    if isinstance(config, Mapping):
        return {str(key): to_plain(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_plain(value) for value in config]
    return config
