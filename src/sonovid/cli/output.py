"""Output files of sonovid generate: their names, what is written into them, and how they are described."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonovid.cli import media_options

OUTPUT_SUFFIXES = (".mp4", ".mov", ".mkv", ".wav", ".flac")


@dataclass(frozen=True)
class OutputFiles:
    """The files of one generated clip."""

    clip: Path
    preview: Path | None


def numbered_path(path: Path, index: int, count: int) -> Path:
    """The name of one of `count` files: out.mp4 becomes out-0.mp4, out-1.mp4 and so on. One file keeps its name."""
    return path if count == 1 else path.with_name(f"{path.stem}-{index:0{len(str(count - 1))}d}{path.suffix}")


def plan_outputs(output: str, preview: str | None, count: int, *, overwrite: bool) -> list[OutputFiles]:
    """Name the files of all clips and check that they can be written, before any work is done.

    Raises:
        ValueError: an unsupported suffix, a folder that is missing or not writable, or a file that exists already.
    """
    if Path(output).suffix.lower() not in OUTPUT_SUFFIXES:
        raise ValueError(f"-o {output}: expected a name that ends in {', '.join(OUTPUT_SUFFIXES)}")
    if preview is not None and Path(preview).suffix.lower() != ".png":
        raise ValueError(f"--preview {preview}: expected a name that ends in .png")
    result = []
    for index in range(count):
        image = None if preview is None else numbered_path(Path(preview), index, count)
        result.append(OutputFiles(numbered_path(Path(output), index, count), image))
    for path in [p for files in result for p in (files.clip, files.preview) if p is not None]:
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected the name of a file to write")
        if not path.parent.is_dir():
            raise ValueError(f"{path}: the folder {path.parent} does not exist; create it first")
        if not os.access(path.parent, os.W_OK):
            raise ValueError(f"{path}: the folder {path.parent} cannot be written to")
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists already; --overwrite replaces it")
    return result


def describe_file(path: Path) -> str:
    """Duration, frame size, frame rate and sample rate of a file, in words."""
    from sonovid import media

    info = media.probe(path)
    parts = [f"{float(info.duration):g} s"]
    if info.size is not None and info.fps is not None:
        parts.append(f"{info.size[1]}x{info.size[0]} at {float(info.fps):g} fps")
    return ", ".join([*parts, f"{info.sample_rate} Hz"])


def provenance_record(args: argparse.Namespace, pipe: Any, seed: int) -> Any:
    """The `provenance.Record` that is written into the file: what was generated, by which model, and how to repeat it."""
    import sonovid
    from sonovid.pipelines import packaged
    from sonovid.provenance import Record

    source = args.clip or args.video or args.audio
    # The name of a model's folder, not its path: files travel to other machines.
    model = Path(args.model).name if args.model and Path(args.model).is_dir() else args.model or packaged.NAME
    return Record(
        video=not args.video,
        audio=not args.audio,
        model=model,
        system=pipe.config.system,
        version=sonovid.__version__,
        seed=seed,
        steps=args.steps or pipe.options["num_inference_steps"],
        prompt=args.prompt or "",
        label=args.label or "",
        given=Path(source).name if source else "",
        continued=bool(args.clip),
        beside_own=args.keep_audio == "mix",
    )


def write_clip(args: argparse.Namespace, files: OutputFiles, clip: Any, record: Any) -> None:
    """Write one clip and its preview.

    The frames of `--video` and the unmodified sound of `--audio` are copied from their file where the codec allows it.
    """
    from sonovid import media
    from sonovid.provenance import Credentials, signed_file

    options = {"overwrite": args.overwrite, "metadata": record.to_metadata()}
    has_frames = files.clip.suffix.lower() not in (".wav", ".flac")
    clip = media_options.postprocess_audio(args, clip, files.clip.name)
    if args.video:
        clip = media_options.add_original_audio(args, clip, files.clip.name)
    signing = {"ingredient": args.video or args.audio, "overwrite": args.overwrite, "credentials": Credentials(args.credentials)}
    with signed_file(files.clip, record, **signing) as path:
        if args.video and has_frames:
            kept = {"own_sound": args.keep_audio == "second-track", "tone_map": args.tone_map}
            media.mux(media_options.media_source(args, args.video), clip.waveform, clip.sample_rate, path, **options, **kept)
        elif args.audio and has_frames and media_options.is_audio_unmodified(args):
            media.replace_video(args.audio, clip.frames, clip.fps, path, **options)
        else:
            media.write(path, clip, **options)
    if files.preview is not None:
        write_preview(files.preview, clip, overwrite=args.overwrite, flow=args.preview_flow)


def write_preview(path: Path, clip: Any, *, overwrite: bool, flow: bool = False) -> None:
    """Write a preview image: frames in a row above the mel spectrogram, with the sound's onsets marked.

    Args:
        path: A PNG file.
        clip: The clip to draw.
        overwrite: Whether an existing file is replaced.
        flow: Whether to add a row with the optical flow of the frames, as in SVG, Fig. 4.
    """
    from sonovid.media.files import atomic_output
    from sonovid.media.preview import preview
    from sonovid.metrics.alignment import sound_onsets

    with atomic_output(path, overwrite=overwrite) as temporary:
        onsets = () if clip.waveform is None else sound_onsets(clip.waveform.mean(0).astype(float), clip.sample_rate).tolist()
        flow_frames = None
        if flow and clip.frames is not None:
            from sonovid.metrics.flow_images import flow_images

            flow_frames = flow_images(clip.frames)
        preview(clip, events=onsets, flow=flow_frames).save(temporary)
