"""The options of sonovid generate that concern media files: what is read of them, what is kept, how loud and at what rate."""

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

KEEP = ("replace", "mix", "second-track")


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return value


def level(text: str) -> "float | None":
    """A loudness in LUFS from -50 to -5, or "none"."""
    if text.lower() in ("none", "off"):
        return None
    value = number(text)
    if not -50 <= value <= -5:
        raise argparse.ArgumentTypeError(f"{text!r} is no loudness from -50 to -5 LUFS, or none")
    return value


def rate(text: str) -> int:
    """A sample rate in Hz."""
    if not text.isdecimal() or not 8000 <= int(text) <= 192000:
        raise argparse.ArgumentTypeError(f"{text!r} is no sample rate from 8000 to 192000 Hz")
    return int(text)


def start(text: str) -> Fraction:
    """A time in seconds, from zero up."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value


def above_zero(text: str) -> float:
    """A number above zero."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def add(parser: Any) -> None:
    """Add the options to the parser of sonovid generate."""
    of = parser.add_argument_group("media files")
    of.add_argument("--start", type=start, default=Fraction(0), metavar="S", help="the first second used of --video or --audio")
    of.add_argument(
        "--keep-audio",
        choices=KEEP,
        default="replace",
        help="the own sound of --video: replaced (default), mixed with the new one, or kept as a second track",
    )
    of.add_argument("--gain", type=number, default=0.0, metavar="DB", help="make the new sound louder or softer; default: 0")
    of.add_argument("--duck", type=number, default=0.0, metavar="DB", help="lower the own sound by DB where the new one is heard")
    of.add_argument(
        "--loudness", type=level, default=-23.0, metavar="LUFS", help="of the new sound (EBU R 128), or none; default: -23"
    )
    of.add_argument("--sample-rate", type=rate, metavar="HZ", help="of the sound written; default: that of the model or the file")
    of.add_argument("--channels", type=int, choices=(1, 2), help="of the sound written; default: those of the model or the file")
    of.add_argument("--tone-map", action="store_true", help="make SDR of a --video in HDR, which is encoded anew for it")
    of.add_argument("--max-seconds", type=above_zero, metavar="S", help="read files up to this long; default: 600")
    of.add_argument("--max-pixels", type=above_zero, metavar="N", help="read pictures up to this large; default: 9437184")


def check(args: argparse.Namespace) -> None:
    """Whether the options fit each other and what is given.

    Raises:
        ValueError: one that has nothing to act on.
    """
    if args.keep_audio != "replace" and not args.video:
        raise ValueError(f"--keep-audio {args.keep_audio}: it tells what becomes of a film's own sound; give --video FILE")
    if args.duck and args.keep_audio != "mix":
        raise ValueError("--duck: it lowers a film's own sound under the new one; give --keep-audio mix")
    if args.duck < 0:
        raise ValueError(f"--duck {args.duck:g}: expected by how many decibels the own sound is lowered, zero or more")
    if args.tone_map and not args.video:
        raise ValueError("--tone-map: it changes the pictures of a film; give --video FILE")
    if args.start and not (args.video or args.audio):
        raise ValueError("--start: it tells where in a file to begin; give --video or --audio FILE")
    if args.start and args.clip:
        raise ValueError("--start: a clip is gone on with from its end; cut it first")
    if (args.video or args.clip) and args.output.lower().endswith((".wav", ".flac")) and args.keep_audio == "second-track":
        raise ValueError(f"-o {args.output}: a sound file has no second track; write .mp4, .mov or .mkv, or --keep-audio mix")


def limits(args: argparse.Namespace) -> Any:
    """What files may ask of this machine, as the options have it."""
    from sonovid import media

    own = media.Limits()
    seconds = own.max_seconds if args.max_seconds is None else args.max_seconds
    pixels = own.max_pixels if args.max_pixels is None else int(args.max_pixels)
    # Whoever asks for longer or larger files means to have the memory for them.
    grown = max(1.0, seconds / own.max_seconds, pixels / own.max_pixels)
    return media.Limits(seconds, pixels, int(own.max_bytes * grown), int(own.max_samples * grown))


def source(args: argparse.Namespace, path: str) -> Any:
    """A given file with the part of it that is used; numbered pictures at the rate of --fps."""
    from sonovid import media
    from sonovid.core.geometry import as_rate
    from sonovid.media.source import is_numbered

    fps = None
    if is_numbered(path):
        if args.fps is None:
            raise ValueError(f"{path}: numbered pictures carry no rate: give --fps, such as --fps 24")
        fps = as_rate(args.fps)
    return media.Source(path, start=args.start, seconds=args.seconds, fps=fps, limits=limits(args))


def is_numbered(args: argparse.Namespace) -> bool:
    """Whether --fps names the rate of numbered pictures, and not the model's."""
    from sonovid.media import source as sources

    return bool(args.video) and sources.is_numbered(args.video)


@contextmanager
def bars(args: argparse.Namespace) -> Iterator[None]:
    """Bars for reading and writing, where they take more than a second: long films, and pictures that are encoded anew."""
    from tqdm.auto import tqdm

    from sonovid.media.progress import reporting

    shown: dict[str, Any] = {}
    often = 0.1 if sys.stderr.isatty() else 10.0
    form = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left"

    def tell_how_far(what: str, done: float, total: float) -> None:
        if what in shown and (shown[what].total != total or done < shown[what].n):
            shown.pop(what).close()
        if what not in shown:
            shown[what] = tqdm(
                total=total, desc=what, delay=1, leave=False, disable=args.quiet, mininterval=often, bar_format=form
            )
        shown[what].update(done - shown[what].n)

    try:
        with reporting(tell_how_far):
            yield
    finally:
        for bar in shown.values():
            bar.close()


def is_whole(args: argparse.Namespace) -> bool:
    """Whether a given sound is used from its beginning to its end as it is, so that it can be copied."""
    return args.seconds is None and not args.start and args.sample_rate is None and args.channels is None


def tell(args: argparse.Namespace, text: str) -> None:
    """A remark, on stderr, where they are wished."""
    if not args.quiet:
        print(f"sonovid: {text}", file=sys.stderr)


def finished(args: argparse.Namespace, clip: Any, name: str) -> Any:
    """A clip with its sound at the rate and channels that are wished, a generated one at its loudness; what is done is told."""
    import dataclasses

    from sonovid.media.loudness import AUDIBLE, brought_to, gained, with_channels
    from sonovid.media.sound import resampled

    sound, own_rate = clip.waveform, clip.sample_rate
    if sound is None:
        return clip
    whose = "the sound's" if args.audio else "the model's"
    if args.loudness is not None and not args.audio:
        sound, before = brought_to(sound, own_rate, args.loudness)
        if before is None:
            tell(
                args,
                f"{name}: there is nothing to hear in it (below {AUDIBLE:g} LUFS), and it is left as it is; another --seed, more "
                "--steps or other words may help",
            )
    if args.gain and not args.audio:
        sound = gained(sound, args.gain)
    if args.sample_rate and args.sample_rate != own_rate:
        sound = resampled(sound, own_rate, args.sample_rate)
        tell(args, f"{name}: resampled from {whose} {own_rate} Hz to {args.sample_rate} Hz")
        own_rate = args.sample_rate
    if args.channels and args.channels != len(sound):
        tell(args, f"{name}: {whose} one channel is put on both sides" if len(sound) == 1 else f"{name}: mixed to one channel")
        sound = with_channels(sound, args.channels)
    return dataclasses.replace(clip, waveform=sound, sample_rate=own_rate)


def beside_own_sound(args: argparse.Namespace, clip: Any, name: str) -> Any:
    """A generated clip with the film's own sound mixed in, where that is wished; what becomes of it is told."""
    import dataclasses

    from sonovid import media
    from sonovid.media.loudness import mixed, with_channels
    from sonovid.media.sound import resampled

    given = source(args, args.video)
    if not media.probe(given).has_audio:
        if args.keep_audio != "replace":
            tell(args, f"{args.video}: has no sound of its own to keep")
        return clip
    if args.keep_audio == "replace":
        tell(args, f"{args.video}: its own sound is replaced (--keep-audio mix or second-track keeps it)")
    if args.keep_audio != "mix":
        return clip
    own = media.read(given, video=False)
    assert own.waveform is not None
    sound = own.waveform if len(own.waveform) in (1, 2, 6) else own.waveform[:2]
    own_rate = args.sample_rate or max(own.sample_rate, clip.sample_rate)
    sound = resampled(sound, own.sample_rate, own_rate)
    made = resampled(clip.waveform, clip.sample_rate, own_rate)
    if args.channels:
        sound = with_channels(sound, args.channels)
    if len(made) not in (1, len(sound)):
        made = with_channels(made, 1)
    return dataclasses.replace(clip, waveform=mixed(sound, made, own_rate, duck=args.duck), sample_rate=own_rate)
