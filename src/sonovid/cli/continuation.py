"""sonovid generate for clips longer than one window: written as they are generated, with a report of joins and drift."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli import media_options
from sonovid.cli.diffusers_models import is_diffusers_pipeline


def is_long(args: argparse.Namespace, pipe: Any) -> bool:
    """Whether a clip is continued, or a prompt asks for more than one window."""
    if args.clip:
        return True
    if is_diffusers_pipeline(pipe):
        return False
    return not args.video and not args.audio and args.seconds is not None and args.seconds > pipe.geometry.seconds


def check_inputs(args: argparse.Namespace) -> None:
    """Check the clip that is continued, before the model is loaded.

    Raises:
        ValueError: the clip lacks a stream that is kept or continued, it is not shorter than --seconds, or the total length is
            missing or given twice.
    """
    from sonovid import media

    info = media.probe(args.clip, limits=media_options.media_limits(args))
    name = f"--continue {args.clip}"
    if args.keep != "both" and (args.video or args.audio):
        raise ValueError(
            f"--keep {args.keep}: with --{'video' if args.video else 'audio'} only the other stream is continued; leave it out"
        )
    present = {"video": info.has_video, "audio": info.has_audio}
    for stream in ("video", "audio"):
        is_continued = args.audio if stream == "video" else args.video
        if (args.keep == stream or is_continued) and not present[stream]:
            raise ValueError(f"{name}: no {stream} in it to continue")
    if args.video and args.seconds is not None:
        raise ValueError(f"--seconds {float(args.seconds):g}: the result is as long as --video; leave --seconds out")
    if args.seconds is None and not args.video and not args.audio:
        raise ValueError(
            f"{name}: the total length is missing. Give --seconds, more than the clip's {float(info.duration):.2f} s"
        )
    if args.seconds is not None and args.seconds <= info.duration:
        raise ValueError(
            f"--seconds {float(args.seconds):g}: {args.clip} lasts {float(info.duration):.2f} s already; give the total length, "
            "the clip included"
        )


def check_drift_path(path: Path, *, overwrite: bool) -> None:
    """Check that the drift report can be written, before any work is done.

    Raises:
        ValueError: a missing folder, a name that does not end in .json, or a file that exists already.
    """
    if path.suffix.lower() != ".json":
        raise ValueError(f"--drift {path}: expected a name that ends in .json")
    if not path.parent.is_dir():
        raise ValueError(f"--drift {path}: the folder {path.parent} does not exist; create it first")
    if path.exists() and not overwrite:
        raise ValueError(f"--drift {path}: it exists already; --overwrite replaces it")


def generate(args: argparse.Namespace, pipe: Any, path: Path, drift_path: Path | None, seed: int, record: Any) -> Any:
    """Generate one long clip and write it window by window.

    Args:
        args: The options of the command.
        pipe: A pipeline whose model supports continuation.
        path: The output file.
        drift_path: A JSON file for the drift report, or None.
        seed: The random seed.
        record: The `provenance.Record` of the file.

    Returns:
        The drift report.

    Raises:
        ValueError: what `pipelines.continuation` refuses.
    """
    from sonovid.core import atomic
    from sonovid.pipelines.continuation import ContinuationSettings, DriftReport, extend

    settings = ContinuationSettings(
        prompt=args.prompt,
        negative_prompt=args.negative,
        label=args.label,
        num_inference_steps=args.steps,
        guidance_scale=args.guidance,
        audio_guidance_scale=args.audio_guidance,
        guidance_against=args.guidance_against,
        guidance_interval=args.guidance_interval,
        hand_off=args.hand_off,
    )
    sources = {
        name: path and media_options.media_source(args, path) for name, path in (("video", args.video), ("audio", args.audio))
    }
    seconds = args.seconds or _stream_duration(sources["video"] or sources["audio"], pipe.geometry)
    bars: list[Any] = []
    windows = extend(
        pipe,
        args.clip,
        seconds=seconds,
        **sources,
        keep=args.keep,
        settings=settings,
        generator=seed,
        after_step=lambda: bars[0].update(),
    )
    report = DriftReport(pipe.geometry)
    with (
        pipe.progress_bar(total=windows.num_windows * windows.num_steps) as bar,
        open_signed_writer(args, pipe, path, record) as write,
    ):
        bars.append(bar)
        for window in windows:
            write(window.clip)
            report.add(window.clip)
            if window.crossfade is not None:
                report.crossfades.append(window.crossfade.to_config())
    if drift_path is not None:
        atomic.write_text(drift_path, json.dumps(report.to_config(), indent=1) + "\n")
    return report


@contextmanager
def open_signed_writer(args: argparse.Namespace, pipe: Any, path: Path, record: Any) -> Iterator[Any]:
    """A function that appends a clip to the output, which is signed at the end; see `open_writer`."""
    from sonovid.provenance import Credentials, signed_file

    signing = {"ingredient": args.clip or args.video or args.audio, "credentials": Credentials(args.credentials)}
    with (
        signed_file(path, record, overwrite=args.overwrite, **signing) as unsigned,
        open_writer(args, pipe, unsigned, record.to_metadata()) as write,
    ):
        yield write


@contextmanager
def open_writer(args: argparse.Namespace, pipe: Any, path: Path, metadata: dict[str, str]) -> Iterator[Any]:
    """A function that appends a clip to a file, or with --video collects its sound and muxes it with the given frames."""
    import numpy as np

    from sonovid import media
    from sonovid.core.clip import Clip
    from sonovid.media.loudness import convert_channels

    geometry, options = pipe.geometry, {"overwrite": args.overwrite, "metadata": metadata}
    if args.video and path.suffix.lower() not in (".wav", ".flac"):
        waveforms: list[Any] = []
        yield lambda clip: waveforms.append(clip.waveform)
        clip = Clip(None, np.concatenate(waveforms, axis=1), sample_rate=geometry.sample_rate)
        clip = media_options.add_original_audio(args, clip, path.name)
        kept = {"own_sound": args.keep_audio == "second-track", "tone_map": args.tone_map}
        source = media_options.media_source(args, args.video)
        media.mux(source, clip.waveform, clip.sample_rate, path, **options, **kept)
        return
    given_audio = media.read(media_options.media_source(args, args.audio), video=False) if args.audio else None
    waveform = None if given_audio is None else given_audio.waveform
    if waveform is not None and len(waveform) not in (1, 2, 6):
        waveform = waveform[:2]
    rate, channels = (
        (geometry.sample_rate, 1) if given_audio is None or waveform is None else (given_audio.sample_rate, len(waveform))
    )
    size, channels = (geometry.height, geometry.width), args.channels or channels
    normalize = LoudnessNormalizer(args, geometry.sample_rate)
    options |= {"sample_rate": rate, "channels": channels, "written_rate": args.sample_rate}
    with media.open_writer(path, fps=geometry.fps, size=size, **options) as writer:
        if waveform is not None:
            writer.add(waveform=convert_channels(waveform, channels))
        yield lambda clip: writer.add(
            clip.frames, convert_channels(normalize(clip.waveform), channels) if waveform is None else None
        )


class LoudnessNormalizer:
    """Applies --loudness and --gain to a clip that is generated window by window.

    The first window determines one gain factor for the whole clip. A later window that would clip is scaled down to full scale.
    A continued clip and given audio keep their own loudness.
    """

    def __init__(self, args: argparse.Namespace, sample_rate: int):
        self.args, self.sample_rate, self.factor = args, sample_rate, None if args.clip or args.audio else 0.0

    def __call__(self, waveform: Any) -> Any:
        import numpy as np

        from sonovid.media.loudness import apply_gain, normalize_loudness

        if self.factor is None or waveform is None:
            return waveform
        if not self.factor:
            target = self.args.loudness
            first, measured = (waveform, 0.0) if target is None else normalize_loudness(waveform, self.sample_rate, target)
            if measured is None:
                media_options.print_note(
                    self.args, "the first window is inaudible, so that the loudness of the clip is left unchanged"
                )
            first = apply_gain(first, self.args.gain) if self.args.gain else first
            peak = float(np.abs(waveform).max())
            self.factor = float(np.abs(first).max()) / peak if peak else 1.0
        scaled = waveform * np.float32(self.factor)
        peak = float(np.abs(scaled).max())
        return scaled / np.float32(peak) if peak > 1 else scaled


def describe_joins(report: Any) -> str:
    """The number of joins between windows, and how many are no larger than the steps within the clip."""
    within = sum(join["within"] for join in report.crossfades)
    return f"{len(report.crossfades)} joins, {within} of them within the clip's own steps"


def _stream_duration(source: Any, geometry: Any) -> Fraction:
    """The duration of a conditioning stream in seconds, rounded down to whole frames of the model."""
    from sonovid import media
    from sonovid.core.geometry import duration

    return duration(max(1, int(media.probe(source).duration * geometry.fps + Fraction(1, 100))), geometry.fps)
