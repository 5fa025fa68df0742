"""Requests: parsing, and validation against the model and the server's limits before they are queued."""

import secrets
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sonovid.app.errors import RequestError
from sonovid.app.models import ModelCard
from sonovid.app.settings import Settings
from sonovid.core.geometry import as_rate, count, duration

SOURCES = ("source_video", "source_audio")
MAX_SEED = 2**53 - 1  # The largest integer that JavaScript represents exactly.


def _fraction(value: Any) -> Any:
    """Convert a number to an exact fraction in text. Other types are left for the schema to reject."""
    if value is None or isinstance(value, bool):
        return value
    try:
        exact = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    except (ValueError, ZeroDivisionError, TypeError):
        raise ValueError(f"{value!r} is not a number such as 2, 2.5 or 5/2") from None
    if not 0 < exact < 10**6:
        raise ValueError(f"{value!r}: expected a number above zero")
    return str(exact)


def _rate(value: Any) -> Any:
    """Convert a frame rate to an exact fraction in text."""
    return value if value is None or isinstance(value, bool) else str(as_rate(value))


def _blank(value: Any) -> Any:
    """Convert an empty form field to None."""
    return None if isinstance(value, str) and not value.strip() else value


FractionText = Annotated[str | None, BeforeValidator(_fraction), BeforeValidator(_blank)]
RateText = Annotated[str | None, BeforeValidator(_rate), BeforeValidator(_blank)]
Integer = Annotated[int | None, BeforeValidator(_blank)]
Number = Annotated[float | None, BeforeValidator(_blank)]
Text = Annotated[str | None, BeforeValidator(_blank)]


class VideoRequest(BaseModel):
    """What to generate. Unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    prompt: Text = Field(None, max_length=2000, description="text that describes what is seen and heard")
    negative_prompt: Text = Field(None, max_length=2000, description="negative prompt")
    model: Text = Field(None, description="a model of /v1/models; default: the first")
    seconds: FractionText = Field(None, description="duration in seconds, a number or a fraction", examples=["2", "5/2"])
    size: Text = Field(None, description="WIDTHxHEIGHT in pixels; must be the model's own", examples=["64x64"])
    fps: RateText = Field(None, description="frames per second; must be the model's own", examples=["8", "30000/1001"])
    num_frames: Integer = Field(None, ge=1, le=10**6, description="duration in frames, instead of seconds")
    num_inference_steps: Integer = Field(None, ge=1, description="sampling steps; default: the model's own")
    guidance_scale: Number = Field(
        None, ge=0, le=100, description="classifier-free guidance scale of the video, 1 for none; default: the model's own"
    )
    audio_guidance_scale: Number = Field(
        None, ge=0, le=100, description="classifier-free guidance scale of the audio; default: that of the video"
    )
    seed: Integer = Field(None, ge=0, le=MAX_SEED, description="clip i has seed + i; default: random")
    n: Integer = Field(None, ge=1, description="number of clips; default: 1")
    label: Text = Field(None, max_length=200, description="class, for class-conditional models")

    @property
    def count(self) -> int:
        """The number of clips."""
        return self.n or 1

    @property
    def length(self) -> Fraction | None:
        """The requested duration in seconds, or None."""
        return None if self.seconds is None else Fraction(self.seconds)


def parse_request(fields: dict[str, Any]) -> VideoRequest:
    """Parse the fields of a request.

    Raises:
        RequestError: an unknown field or an invalid value; one line for the first fault.
    """
    try:
        return VideoRequest(**fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        name = str(fault["loc"][0]) if fault["loc"] else "request"
        if fault["type"] == "extra_forbidden":
            known = ", ".join([*VideoRequest.model_fields, *SOURCES])
            raise RequestError(f"{name}: unknown field; expected some of {known}", param=name) from None
        given = repr(fault["input"])
        said = fault["msg"].removeprefix("Value error, ")
        raise RequestError(f"{name}={given[:80]}: {said[:1].lower()}{said[1:]}", param=name) from None


def validate_request(request: VideoRequest, card: ModelCard, settings: Settings, given: str | None) -> VideoRequest:
    """Validate a request and fill in what was left open: model, seed, and the duration of num_frames.

    Args:
        request: The parsed request.
        card: The card of its model.
        settings: The server's limits.
        given: The field of the source file, "source_video" or "source_audio", or None.

    Raises:
        RequestError: the model or the limits do not allow it.
    """
    if request.size is not None and request.size.lower() != card.size:
        raise RequestError(f"size={request.size}: model {card.id} generates frames of {card.size}", param="size")
    if request.fps is not None and Fraction(request.fps) != card.fps:
        raise RequestError(f"fps={request.fps}: model {card.id} generates {card.fps} frames per second", param="fps")
    if (request.num_inference_steps or 0) > settings.max_steps:
        raise RequestError(
            f"num_inference_steps={request.num_inference_steps}: the limit is {settings.max_steps}", param="num_inference_steps"
        )
    if request.count > settings.max_clips:
        raise RequestError(f"n={request.n}: the limit is {settings.max_clips}", param="n")
    _check_inputs(request, card, given)
    seconds = _duration(request, card, settings, given)
    seed = secrets.randbits(31) if request.seed is None else request.seed
    return request.model_copy(update={"model": card.id, "seconds": None if seconds is None else str(seconds), "seed": seed})


def _check_inputs(request: VideoRequest, card: ModelCard, given: str | None) -> None:
    """Check that there is something to generate from, and nothing that the model does not accept."""
    if not card.accepts_prompt and (request.prompt or request.negative_prompt):
        raise RequestError(f"prompt: model {card.id} does not accept a prompt", param="prompt")
    if request.label is not None and request.label not in card.labels:
        known = ", ".join(card.labels[:20]) or "none"
        raise RequestError(f"label={request.label!r}: model {card.id} knows {known}", param="label")
    if given is not None and not card.accepts_sources:
        raise RequestError(f"{given}: model {card.id} generates a single stream and accepts no source", param=given)
    if card.accepts_prompt and not (request.prompt or request.label or given):
        raise RequestError("nothing to generate from: give a prompt, source_video or source_audio", param="prompt")


def _duration(request: VideoRequest, card: ModelCard, settings: Settings, given: str | None) -> Fraction | None:
    """The requested duration in seconds. None: the model's window, or that of the source file."""
    seconds = request.length
    if request.num_frames is not None:
        of_frames = duration(request.num_frames, card.fps)
        if seconds is not None and count(seconds, card.fps) != request.num_frames:
            raise RequestError(
                f"num_frames={request.num_frames} last {float(of_frames):g} s at {card.fps} frames per second, and "
                f"seconds={float(seconds):g}: give one of the two",
                param="num_frames",
            )
        seconds = of_frames if seconds is None else seconds
    if seconds is None:
        return None
    if given is not None:
        raise RequestError(
            f"seconds: {given} is kept unchanged, and so is its duration; leave seconds and num_frames out", param="seconds"
        )
    if seconds > settings.max_seconds:
        raise RequestError(f"seconds={float(seconds):g}: the limit is {float(settings.max_seconds):g}", param="seconds")
    if seconds > card.seconds and not card.can_extend:
        raise RequestError(
            f"seconds={float(seconds):g}: model {card.id} generates at most {float(card.seconds):g} s", param="seconds"
        )
    if seconds > card.seconds and request.count > 1:
        raise RequestError("n: only one clip at a time if it is longer than the model's window", param="n")
    return seconds
