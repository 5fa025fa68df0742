"""Options of sonovid generate for media files: what is read, which streams are kept, loudness, sample rate and channels."""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from sonovid.cli.argument_types import finite_float, loudness, positive_float, sample_rate, start_time

KEEP_AUDIO = ("replace", "mix", "second-track")


def add_options(parser: Any) -> None:
    """Add the options to the parser of sonovid generate."""
    group = parser.add_argument_group("media files")
    group.add_argument(
        "--start",
        type=start_time,
        default=Fraction(0),
        metavar="S",
        help="position in --video or --audio where reading starts, in seconds; default: 0",
    )
    group.add_argument(
        "--keep-audio",
        choices=KEEP_AUDIO,
        default="replace",
        help="what happens to the original sound of --video: it is replaced, mixed with the generated sound, or kept as a second "
        "track; default: replace",
    )
    group.add_argument(
        "--gain", type=finite_float, default=0.0, metavar="DB", help="gain of the generated sound in dB; default: 0"
    )
    group.add_argument(
        "--duck",
        type=finite_float,
        default=0.0,
        metavar="DB",
        help="with --keep-audio mix: lower the original sound by DB decibels while the generated sound is audible; default: 0",
    )
    group.add_argument(
        "--loudness",
        type=loudness,
        default=-23.0,
        metavar="LUFS",
        help="loudness of the generated sound in LUFS (EBU R 128), from -50 to -5, or none to leave it; default: -23",
    )
    group.add_argument(
        "--sample-rate",
        type=sample_rate,
        metavar="HZ",
        help="sample rate of the output in Hz, from 8000 to 192000; default: that of the model, or of --audio",
    )
    group.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        help="audio channels of the output; default: those of the model, or of --audio",
    )
    group.add_argument("--tone-map", action="store_true", help="convert an HDR --video to SDR, which encodes its frames again")
    group.add_argument(
        "--max-seconds", type=positive_float, metavar="S", help="accept input files of up to S seconds; default: 600"
    )
    group.add_argument(
        "--max-pixels",
        type=positive_float,
        metavar="N",
        help="accept input frames of up to N pixels; default: 9437184 (4096x2304)",
    )


def check_options(args: argparse.Namespace) -> None:
    """Check that the options fit each other and the inputs.

    Raises:
        ValueError: an option that has nothing to act on.
    """
    if args.keep_audio != "replace" and not args.video:
        raise ValueError(f"--keep-audio {args.keep_audio}: it concerns the original sound of a video; give --video FILE")
    if args.duck and args.keep_audio != "mix":
        raise ValueError("--duck: it lowers the original sound under the generated one; give --keep-audio mix")
    if args.duck < 0:
        raise ValueError(f"--duck {args.duck:g}: expected a reduction in decibels, zero or more")
    if args.tone_map and not args.video:
        raise ValueError("--tone-map: it converts the frames of a video; give --video FILE")
    if args.start and not (args.video or args.audio):
        raise ValueError("--start: it is a position in a file; give --video or --audio FILE")
    if args.start and args.clip:
        raise ValueError("--start: a clip is continued from its end; trim the file first")
    if (args.video or args.clip) and args.output.lower().endswith((".wav", ".flac")) and args.keep_audio == "second-track":
        raise ValueError(f"-o {args.output}: a sound file has no second track; write .mp4, .mov or .mkv, or --keep-audio mix")


def media_limits(args: argparse.Namespace) -> Any:
    """The `media.Limits` of input files, from --max-seconds and --max-pixels."""
    from sonovid import media

    default = media.Limits()
    seconds = default.max_seconds if args.max_seconds is None else args.max_seconds
    pixels = default.max_pixels if args.max_pixels is None else int(args.max_pixels)
    # Who raises one of the limits is taken to have the memory for such files.
    factor = max(1.0, seconds / default.max_seconds, pixels / default.max_pixels)
    return media.Limits(seconds, pixels, int(default.max_bytes * factor), int(default.max_samples * factor))


def media_source(args: argparse.Namespace, path: str) -> Any:
    """The `media.Source` of an input file: the part from --start on of length --seconds, for numbered images at --fps.

    Raises:
        ValueError: numbered images without --fps.
    """
    from sonovid import media
    from sonovid.core.geometry import as_rate
    from sonovid.media import source

    fps = None
    if source.is_image_sequence(path):
        if args.fps is None:
            raise ValueError(f"{path}: numbered images carry no frame rate: give --fps, such as --fps 24")
        fps = as_rate(args.fps)
    return media.Source(path, start=args.start, seconds=args.seconds, fps=fps, limits=media_limits(args))


def is_image_sequence(args: argparse.Namespace) -> bool:
    """Whether --video names numbered images, whose frame rate --fps is then."""
    from sonovid.media import source

    return bool(args.video) and source.is_image_sequence(args.video)


@contextmanager
def progress_bars(args: argparse.Namespace) -> Iterator[None]:
    """Show progress bars while files are read and written, if that takes more than a second."""
    from tqdm.auto import tqdm

    from sonovid.media.progress import progress_callback

    bars: dict[str, Any] = {}
    interval = 0.1 if sys.stderr.isatty() else 10.0
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left"

    def update(task: str, done: float, total: float) -> None:
        if task in bars and (bars[task].total != total or done < bars[task].n):
            bars.pop(task).close()
        if task not in bars:
            bars[task] = tqdm(
                total=total, desc=task, delay=1, leave=False, disable=args.quiet, mininterval=interval, bar_format=bar_format
            )
        bars[task].update(done - bars[task].n)

    try:
        with progress_callback(update):
            yield
    finally:
        for bar in bars.values():
            bar.close()


def is_audio_unmodified(args: argparse.Namespace) -> bool:
    """Whether --audio is used as a whole and without conversion, so that it can be copied."""
    return args.seconds is None and not args.start and args.sample_rate is None and args.channels is None


def print_note(args: argparse.Namespace, text: str) -> None:
    """Print a note on stderr, unless --quiet."""
    if not args.quiet:
        print(f"sonovid: {text}", file=sys.stderr)


def postprocess_audio(args: argparse.Namespace, clip: Any, name: str) -> Any:
    """Apply --loudness, --gain, --sample-rate and --channels to a clip and print what was converted.

    Loudness and gain apply to generated sound only.

    Args:
        args: The options of the command.
        clip: A clip; without sound it is returned as it is.
        name: The name of the output file, for notes.
    """
    from sonovid.media.audio import resample_audio
    from sonovid.media.loudness import SILENCE_THRESHOLD, apply_gain, convert_channels, normalize_loudness

    waveform, rate = clip.waveform, clip.sample_rate
    if waveform is None:
        return clip
    owner = "the sound's" if args.audio else "the model's"
    if args.loudness is not None and not args.audio:
        waveform, measured = normalize_loudness(waveform, rate, args.loudness)
        if measured is None:
            print_note(
                args,
                f"{name}: the generated sound is inaudible (below {SILENCE_THRESHOLD:g} LUFS) and left unchanged; try another "
                "--seed, more --steps or another prompt",
            )
    if args.gain and not args.audio:
        waveform = apply_gain(waveform, args.gain)
    if args.sample_rate and args.sample_rate != rate:
        waveform = resample_audio(waveform, rate, args.sample_rate)
        print_note(args, f"{name}: resampled from {owner} {rate} Hz to {args.sample_rate} Hz")
        rate = args.sample_rate
    if args.channels and args.channels != len(waveform):
        is_mono = len(waveform) == 1
        print_note(args, f"{name}: {owner} one channel is copied to both" if is_mono else f"{name}: mixed to one channel")
        waveform = convert_channels(waveform, args.channels)
    return dataclasses.replace(clip, waveform=waveform, sample_rate=rate)


def add_original_audio(args: argparse.Namespace, clip: Any, name: str) -> Any:
    """Mix the original sound of --video into a generated clip with --keep-audio mix, and print what happens to it.

    Args:
        args: The options of the command.
        clip: The generated clip.
        name: The name of the output file.

    Returns:
        The clip with the mixed sound, or the clip itself if nothing is mixed.
    """
    from sonovid import media
    from sonovid.media.audio import resample_audio
    from sonovid.media.loudness import convert_channels, mix_audio

    source = media_source(args, args.video)
    if not media.probe(source).has_audio:
        if args.keep_audio != "replace":
            print_note(args, f"{args.video}: has no original sound to keep")
        return clip
    if args.keep_audio == "replace":
        print_note(args, f"{args.video}: its original sound is replaced (--keep-audio mix or second-track keeps it)")
    if args.keep_audio != "mix":
        return clip
    original = media.read(source, video=False)
    assert original.waveform is not None
    waveform = original.waveform if len(original.waveform) in (1, 2, 6) else original.waveform[:2]
    rate = args.sample_rate or max(original.sample_rate, clip.sample_rate)
    waveform = resample_audio(waveform, original.sample_rate, rate)
    generated = resample_audio(clip.waveform, clip.sample_rate, rate)
    if args.channels:
        waveform = convert_channels(waveform, args.channels)
    if len(generated) not in (1, len(waveform)):
        generated = convert_channels(generated, 1)
    return dataclasses.replace(clip, waveform=mix_audio(waveform, generated, rate, duck=args.duck), sample_rate=rate)
