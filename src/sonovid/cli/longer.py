"""sonovid generate for what is longer than a window: written as it is made, with a report of its joins and of its drift."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli import given_media
from sonovid.cli.foreign_models import is_foreign


def is_meant(args: argparse.Namespace, pipe: Any) -> bool:
    """Whether a clip is to be gone on with, or words are to last longer than a window."""
    if args.clip:
        return True
    if is_foreign(pipe):
        return False
    return not args.video and not args.audio and args.seconds is not None and args.seconds > pipe.geometry.seconds


def check_inputs(args: argparse.Namespace) -> None:
    """Look at the clip that is gone on with before the model is loaded.

    Raises:
        ValueError: it lacks what is kept of it, it is not shorter than what is asked for, or the length is not told.
    """
    from sonovid import media

    info = media.probe(args.clip, limits=given_media.limits(args))
    name = f"--continue {args.clip}"
    if args.keep != "both" and (args.video or args.audio):
        raise ValueError(
            f"--keep {args.keep}: with --{'video' if args.video else 'audio'} only the other stream goes on; leave it out"
        )
    wanted = {"video": info.has_video, "audio": info.has_audio}
    for stream, what in (("video", "pictures"), ("audio", "sound")):
        goes_on = args.audio if stream == "video" else args.video
        if (args.keep == stream or goes_on) and not wanted[stream]:
            raise ValueError(f"{name}: no {what} in it to go on with")
    if args.video and args.seconds is not None:
        raise ValueError(f"--seconds {float(args.seconds):g}: the sound goes on to the end of --video; leave --seconds out")
    if args.seconds is None and not args.video and not args.audio:
        raise ValueError(
            f"{name}: how long is the whole to be? Give --seconds, more than the clip's {float(info.duration):.2f} s"
        )
    if args.seconds is not None and args.seconds <= info.duration:
        raise ValueError(
            f"--seconds {float(args.seconds):g}: {args.clip} lasts {float(info.duration):.2f} s already; give the length of the "
            "whole, the clip included"
        )


def check_report(path: Path, *, overwrite: bool) -> None:
    """Whether a report can be written, before any work is done.

    Raises:
        ValueError: a folder that is missing, a name that does not end in .json, or a file that exists.
    """
    if path.suffix.lower() != ".json":
        raise ValueError(f"--drift {path}: expected a name that ends in .json")
    if not path.parent.is_dir():
        raise ValueError(f"--drift {path}: the folder {path.parent} does not exist; create it first")
    if path.exists() and not overwrite:
        raise ValueError(f"--drift {path}: it exists already; --overwrite replaces it")


def make(args: argparse.Namespace, pipe: Any, path: Path, drift: Path | None, seed: int, record: Any) -> Any:
    """Write one long clip as it is made, and its report where one is asked for; gives the `Drift` of it.

    Raises:
        ValueError: what `continuation.go_on` refuses.
    """
    from sonovid.core import atomic
    from sonovid.pipelines.continuation import Drift, Manner, go_on

    manner = Manner(
        prompt=args.prompt,
        negative_prompt=args.negative,
        label=args.label,
        num_inference_steps=args.steps,
        guidance_scale=args.guidance,
        audio_guidance_scale=args.audio_guidance,
        guidance_against=args.guidance_against,
        hand_off=args.hand_off,
    )
    given = {name: path and given_media.source(args, path) for name, path in (("video", args.video), ("audio", args.audio))}
    seconds = args.seconds or _length(given["video"] or given["audio"], pipe.geometry)
    steps: list[Any] = []
    walk = go_on(
        pipe,
        args.clip,
        seconds=seconds,
        **given,
        keep=args.keep,
        manner=manner,
        generator=seed,
        after_step=lambda: steps[0].update(),
    )
    report = Drift(pipe.geometry)
    with pipe.progress_bar(total=walk.num_windows * walk.num_steps) as bar, writing(args, pipe, path, record) as write:
        steps.append(bar)
        for window in walk:
            write(window.clip)
            report.add(window.clip)
            if window.join is not None:
                report.joins.append(window.join.to_config())
    if drift is not None:
        atomic.write_text(drift, json.dumps(report.to_config(), indent=1) + "\n")
    return report


@contextmanager
def writing(args: argparse.Namespace, pipe: Any, path: Path, record: Any) -> Iterator[Any]:
    """What clips are written with, one after another, to a file that is signed last; see `unsigned`."""
    from sonovid.provenance import Credentials, signed

    sealed = {"given": args.clip or args.video or args.audio, "credentials": Credentials(args.credentials)}
    with (
        signed(path, record, overwrite=args.overwrite, **sealed) as aside,
        unsigned(args, pipe, aside, record.to_metadata()) as write,
    ):
        yield write


@contextmanager
def unsigned(args: argparse.Namespace, pipe: Any, path: Path, metadata: dict[str, str]) -> Iterator[Any]:
    """What clips are written with, one after another: to a file, or, for the pictures of --video, as the sound beside them."""
    import numpy as np

    from sonovid import media
    from sonovid.core.clip import Clip
    from sonovid.media.loudness import with_channels

    own, options = pipe.geometry, {"overwrite": args.overwrite, "metadata": metadata}
    if args.video and path.suffix.lower() not in (".wav", ".flac"):
        sounds: list[Any] = []
        yield lambda clip: sounds.append(clip.waveform)
        made = Clip(None, np.concatenate(sounds, axis=1), sample_rate=own.sample_rate)
        made = given_media.beside_own_sound(args, made, path.name)
        kept = {"own_sound": args.keep_audio == "second-track", "tone_map": args.tone_map}
        given = given_media.source(args, args.video)
        media.mux(given, made.waveform, made.sample_rate, path, **options, **kept)
        return
    heard = media.read(given_media.source(args, args.audio), video=False) if args.audio else None
    sound = None if heard is None else heard.waveform
    if sound is not None and len(sound) not in (1, 2, 6):
        sound = sound[:2]
    rate, channels = (own.sample_rate, 1) if heard is None or sound is None else (heard.sample_rate, len(sound))
    size, written = (own.height, own.width), args.channels or channels
    level = Level(args, own.sample_rate)
    options |= {"sample_rate": rate, "channels": written, "written_rate": args.sample_rate}
    with media.streaming(path, fps=own.fps, size=size, **options) as pieces:
        if sound is not None:
            pieces.add(waveform=with_channels(sound, written))
        yield lambda clip: pieces.add(clip.frames, with_channels(level(clip.waveform), written) if sound is None else None)


class Level:
    """The loudness of a long clip of words: the first window decides by what factor all of it is raised or lowered, and where a
    later one would clip, that one is lower. What is gone on with, or given, keeps its own loudness.
    """

    def __init__(self, args: argparse.Namespace, sample_rate: int):
        self.args, self.sample_rate, self.factor = args, sample_rate, None if args.clip or args.audio else 0.0

    def __call__(self, waveform: Any) -> Any:
        import numpy as np

        from sonovid.media.loudness import brought_to, gained

        if self.factor is None or waveform is None:
            return waveform
        if not self.factor:
            target = self.args.loudness
            first, heard = (waveform, 0.0) if target is None else brought_to(waveform, self.sample_rate, target)
            if heard is None:
                given_media.tell(self.args, "there is nothing to hear in the first window; its loudness is left as it is")
            first = gained(first, self.args.gain) if self.args.gain else first
            peak = float(np.abs(waveform).max())
            self.factor = float(np.abs(first).max()) / peak if peak else 1.0
        raised = waveform * np.float32(self.factor)
        peak = float(np.abs(raised).max())
        return raised / np.float32(peak) if peak > 1 else raised


def joins(report: Any) -> str:
    """How the joins turned out, in words."""
    within = sum(join["within"] for join in report.joins)
    return f"{len(report.joins)} joins, {within} of them within the clip's own steps"


def _length(path: Any, own: Any) -> Fraction:
    """How long a given stream lasts, in whole frames of the model."""
    from sonovid import media
    from sonovid.core.geometry import duration

    return duration(max(1, int(media.probe(path).duration * own.fps + Fraction(1, 100))), own.fps)
