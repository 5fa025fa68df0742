"""Parsing and validation of requests."""

from fractions import Fraction
from pathlib import Path

import pytest

pytest.importorskip("pydantic")
from sonovid.app.errors import RequestError
from sonovid.app.models import ModelCard
from sonovid.app.request import parse_request, validate_request
from sonovid.app.settings import Settings

CARD = ModelCard("m", "uniform", Fraction(2), Fraction(8), 16, 64, 48, 16000, 25, 3.0, 3.0)
SETTINGS = Settings(folder=Path("x"), max_steps=100, max_clips=4)


def ask(given=None, card=CARD, **fields):
    return validate_request(parse_request({"prompt": "a stick", **fields}), card, SETTINGS, given)


@pytest.mark.parametrize(
    ("given", "exact"), [("1.5", "3/2"), (1.5, "3/2"), ("3/2", "3/2"), (1, "1"), (" 2 ", "2"), ("0.1", "1/10"), (0.1, "1/10")]
)
def test_seconds_are_exact_fractions_from_text_and_numbers(given, exact):
    assert ask(seconds=given).seconds == exact


def test_forms_bring_text_and_leave_fields_empty():
    asked = ask(seed="7", n="2", guidance_scale="2.5", num_inference_steps="10", fps="8", size="64X48", seconds="", label=" ")
    assert (asked.seed, asked.n, asked.guidance_scale, asked.num_inference_steps) == (7, 2, 2.5, 10)
    assert asked.seconds is None
    assert asked.label is None


def test_what_is_left_open_is_filled_in():
    asked = ask()
    assert asked.model == "m"
    assert asked.seed is not None
    assert asked.count == 1
    assert ask(num_frames=12).seconds == "3/2"
    assert ask(num_frames=12, seconds="3/2").seconds == "3/2"


@pytest.mark.parametrize(
    ("fields", "param", "why"),
    [
        ({"sede": 1}, "sede", "unknown field"),
        ({"output_path": "/tmp/x"}, "output_path", "unknown field"),
        ({"seconds": "abc"}, "seconds", "not a number"),
        ({"seconds": -1}, "seconds", "above zero"),
        ({"seconds": "1/0"}, "seconds", "not a number"),
        ({"seconds": "nan"}, "seconds", "not a number"),
        ({"seconds": "inf"}, "seconds", "not a number"),
        ({"seconds": True}, "seconds", "string"),
        ({"seconds": [1]}, "seconds", "not a number"),
        ({"seconds": 2.5}, "seconds", "at most 2 s"),
        ({"seconds": "2", "num_frames": 8}, "num_frames", "one of the two"),
        ({"fps": 25}, "fps", "8 frames per second"),
        ({"fps": "0"}, "fps", "above zero"),
        ({"size": "128x128"}, "size", "64x48"),
        ({"n": 5}, "n", "limit is 4"),
        ({"n": 0}, "n", "greater than"),
        ({"seed": -1}, "seed", "greater than"),
        ({"seed": 2**60}, "seed", "less than"),
        ({"seed": 1.5}, "seed", "integer"),
        ({"num_inference_steps": 101}, "num_inference_steps", "limit is 100"),
        ({"guidance_scale": 101}, "guidance_scale", "less than"),
        ({"guidance_scale": "nan"}, "guidance_scale", "finite"),
        ({"prompt": "x" * 2001}, "prompt", "at most 2000"),
        ({"prompt": 3}, "prompt", "string"),
        ({"prompt": " "}, "prompt", "nothing to generate from"),
        ({"label": "dog"}, "label", "knows none"),
    ],
)
def test_what_is_not_accepted_is_told_in_one_line(fields, param, why):
    with pytest.raises(RequestError) as told:
        ask(**fields)
    assert told.value.param == param
    assert why in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300
    assert told.value.status == 400


def test_a_source_is_kept_whole_and_needs_no_words():
    assert ask("source_video", prompt=None).seconds is None
    with pytest.raises(RequestError, match="kept unchanged"):
        ask("source_video", seconds=1)


def test_models_say_what_they_take():
    from dataclasses import replace

    with pytest.raises(RequestError, match="does not accept a prompt"):
        ask(card=replace(CARD, accepts_prompt=False))
    assert ask(card=replace(CARD, accepts_prompt=False, labels=("rain",)), prompt=None, label="rain").label == "rain"
    with pytest.raises(RequestError, match="a single stream"):
        ask("source_audio", card=replace(CARD, accepts_sources=False))
    long = replace(CARD, can_extend=True)
    assert ask(card=long, seconds=30).seconds == "30"
    with pytest.raises(RequestError, match="the limit is 60"):
        ask(card=long, seconds=61)
    with pytest.raises(RequestError, match="one clip at a time"):
        ask(card=long, seconds=30, n=2)
