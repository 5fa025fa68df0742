"""sonovid generate: a video with sound from a prompt, a video or an audio file."""

import argparse
import os
from pathlib import Path
from typing import Any

from sonovid.cli import batch, continuation, diffusers_models, media_options
from sonovid.cli.argument_types import batch_size, frame_size, positive_int, positive_seconds
from sonovid.cli.output import (
    OUTPUT_SUFFIXES,
    OutputFiles,
    describe_file,
    numbered_path,
    plan_outputs,
    provenance_record,
    write_clip,
    write_preview,
)

DESCRIPTION = """\
Generate a video together with its sound from a text prompt, the sound for an existing video, or the frames for an existing
sound. The existing stream is copied into the output unchanged, and a prompt may accompany it.

Each model generates clips of one length, its window. Longer clips are generated window by window: a longer --video or --audio
always, a longer prompt-only clip or --continue only with models that support continuation.

  sonovid generate "a wooden stick hits a metal can twice" -o out.mp4
  sonovid generate --video clip.mp4 -o out.mp4
  sonovid generate "a dog barks" --audio dog.wav -o out.mp4 --preview out.png
  sonovid generate --continue clip.mp4 --seconds 20 -o long.mp4 --drift drift.json
  sonovid generate --video clips/ -o with-sound/                           a folder or "clips/*.mp4" into a folder; resumable
  sonovid generate --from prompts.jsonl -o generated/
"""
NO_CONDITION = (
    "nothing to generate from: give a prompt, --label, --video, --audio, --continue or --from (see sonovid generate --help)"
)


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="text that describes what is seen and heard")
    _add_input_options(parser)
    _add_output_options(parser)
    media_options.add_options(parser)
    _add_sampling_options(parser)
    diffusers_models.add_options(parser)


def _add_input_options(parser: Any) -> None:
    group = parser.add_argument_group("inputs")
    group.add_argument(
        "--video",
        metavar="FILE",
        help="generate the sound for this video: a file, numbered images (frames/%%04d.png), a folder or a quoted pattern",
    )
    group.add_argument("--audio", metavar="FILE", help="generate the frames for this sound: a file, a folder or a quoted pattern")
    group.add_argument(
        "--from",
        dest="list",
        metavar="LIST",
        help="generate one clip for each row of a .jsonl or .csv file with columns prompt (or caption), path, video, audio, "
        "label, negative, seed, name; -o names a folder then",
    )
    group.add_argument(
        "--task",
        choices=batch.TASKS,
        default="joint",
        help="with --from: which stream of the file in column path is the input; default: joint (none)",
    )
    group.add_argument(
        "--continue", dest="clip", metavar="FILE", help="continue this clip to a total length of --seconds; see --keep"
    )
    group.add_argument("--label", metavar="CLASS", help="class of the clip, for class-conditional models")
    group.add_argument("--negative", metavar="TEXT", help="negative prompt: what guidance leads away from")


def _add_output_options(parser: Any) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="out.mp4",
        help=f"output file ({', '.join(OUTPUT_SUFFIXES)}), or a folder for several inputs; default: out.mp4",
    )
    group.add_argument(
        "--credentials",
        choices=("auto", "on", "off"),
        default="auto",
        help="sign the file with C2PA content credentials; default: auto, where c2pa-python is installed",
    )
    group.add_argument(
        "--preview", metavar="PNG", help="also write an image of the frames above the mel spectrogram with its onsets"
    )
    group.add_argument("--preview-flow", action="store_true", help="with --preview: add a row with the frames' optical flow")
    group.add_argument("--overwrite", action="store_true", help="replace existing files")
    group.add_argument(
        "--count",
        type=positive_int,
        default=1,
        metavar="N",
        help="number of clips, out-0.mp4 to out-(N-1).mp4, with seeds SEED to SEED+N-1; default: 1",
    )
    group.add_argument(
        "--seconds",
        type=positive_seconds,
        metavar="S",
        help="total length in seconds, or how much of --video or --audio is used; default: the model's window or the whole file",
    )
    group.add_argument(
        "--drift", metavar="JSON", help="for long clips: write statistics of each window and each join, and where they drift"
    )
    group.add_argument(
        "--size", type=frame_size, metavar="WxH", help="frame size in pixels, if the model supports it; default: the model's own"
    )
    group.add_argument(
        "--fps",
        metavar="RATE",
        help="frames per second, such as 8 or 30000/1001: of the model, which is the default, or of numbered images",
    )
    group.add_argument(
        "--num-frames",
        type=positive_int,
        metavar="N",
        help="frames in one window, if the model supports it; default: the model's own (CMMD: 36)",
    )


def _add_guidance_options(group: Any) -> None:
    """Add the options of guidance and of the times of the two streams."""
    group.add_argument(
        "--guidance",
        type=float,
        metavar="X",
        help="classifier-free guidance scale of the video, 1 for none; default: the model's own",
    )
    group.add_argument(
        "--audio-guidance",
        type=float,
        metavar="X",
        help="classifier-free guidance scale of the audio; default: that of --guidance",
    )
    group.add_argument(
        "--guidance-against",
        choices=("modality", "context", "both"),
        help="with --video or --audio (MM-LDM): drop the conditioning stream (modality), prompt and label (context), or both for "
        "the unconditional prediction",
    )
    group.add_argument(
        "--guidance-interval",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="guide at times from LOW to HIGH only, from 0 (clean) to 1 (noise); other steps cost one evaluation instead of two",
    )
    group.add_argument(
        "--reconstruction",
        type=float,
        metavar="X",
        help="weight of reconstruction guidance by --video or --audio, 0 for none (CMMD, Eq. 5); default: the model's own",
    )
    group.add_argument(
        "--gamma",
        type=float,
        metavar="X",
        help="timestep adjustment between the streams, 1 for none (SVG; see sonovid timesteps); default: the model's own",
    )


def _add_sampling_options(parser: Any) -> None:
    """Add the options of the model and of sampling."""
    group = parser.add_argument_group("model and sampling")
    group.add_argument("--model", metavar="DIR_OR_ID", help="model folder or Hub repository; default: the packaged model")
    group.add_argument("--lora", metavar="FILE_OR_DIR", help="LoRA weights for the model: a .safetensors file or a folder")
    group.add_argument("--seed", type=int, default=0, metavar="SEED", help="random seed of the first clip; default: 0")
    group.add_argument("--steps", type=positive_int, metavar="N", help="number of sampling steps; default: the model's own")
    _add_guidance_options(group)
    group.add_argument(
        "--keep",
        choices=("both", "video", "audio"),
        default="both",
        help="with --continue: the stream of the clip that is kept, while the other is generated again; default: both",
    )
    group.add_argument(
        "--hand-off",
        choices=("latents", "decoded"),
        default="latents",
        help="what a window is conditioned on: the previous window's latents, or its decoded output encoded again; "
        "default: latents",
    )
    group.add_argument("--device", metavar="NAME", help="device, such as cpu, cuda, cuda:1 or mps; default: a GPU if available")
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="dtype of the denoiser; default: auto, bfloat16 if the device supports it and float32 otherwise, or that of the "
        "files for models of diffusers",
    )
    group.add_argument(
        "--batch",
        type=batch_size,
        default="auto",
        metavar="N",
        help="clips and windows that are denoised together; default: auto, by the available memory",
    )
    group.add_argument(
        "--exact",
        action="store_true",
        help="denoise one clip at a time in float32, so that results are bit-identical whatever else is generated",
    )
    group.add_argument(
        "--ray",
        action="store_true",
        help="many inputs: generate with Ray, on the cluster of RAY_ADDRESS or on this machine",
    )
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")


def has_no_condition(args: argparse.Namespace) -> bool:
    """Whether there is neither a prompt nor a label, a video, an audio file or a clip to continue."""
    return not any((args.prompt and args.prompt.strip(), args.label, args.video, args.audio, args.clip))


def check_inputs(args: argparse.Namespace) -> None:
    """Check the inputs before the model is loaded, which takes seconds.

    Raises:
        ValueError: nothing to generate from, conflicting inputs, or a file without the stream that is needed.
    """
    from sonovid import media
    from sonovid.media.frames import read_timeline
    from sonovid.pipelines.arguments import check_text

    if args.video and args.audio:
        raise ValueError("--video and --audio are both given, so there is nothing to generate: give one of them")
    for name, option in (("prompt", args.prompt), ("--negative", args.negative), ("--label", args.label)):
        check_text(name, option or "")
    # Another model than the packaged one may be unconditional. That is known once it is loaded.
    if has_no_condition(args) and args.model is None:
        raise ValueError(NO_CONDITION)
    if args.clip:
        continuation.check_inputs(args)
    elif args.keep != "both":
        raise ValueError(f"--keep {args.keep}: it selects the stream of a continued clip that is kept; give --continue FILE")
    media_options.check_options(args)
    path = args.video or args.audio
    if not path:
        return
    source = media_options.media_source(args, path)
    info = media.probe(source)
    if args.video and not info.has_video:
        raise ValueError(f"--video {path}: no video in it; to generate frames for a sound give --audio")
    if args.audio and not info.has_audio:
        raise ValueError(f"--audio {path}: no audio in it; to generate the sound of a video give --video")
    source.limits.check_seconds(Path(path), info.duration)
    if args.video:
        timeline = read_timeline(source)
        if args.seconds is None:
            timeline.check_plausible(source)
        elif args.seconds > source.part_duration(timeline.seconds) + 1 / timeline.rate:
            left = float(timeline.seconds - args.start)
            raise ValueError(f"--seconds {float(args.seconds):g}: only {left:.2f} s of {path} are available; leave --seconds out")


def check_credentials(args: argparse.Namespace, outputs: list[OutputFiles]) -> None:
    """Create or read the signing certificate before any work is done.

    Raises:
        ValueError: --credentials on, and the files cannot be signed.
    """
    from sonovid.provenance import Credentials
    from sonovid.provenance.certificates import signing_identity

    for files in outputs:
        if Credentials(args.credentials).should_sign(files.clip):
            signing_identity()


def load_pipeline(args: argparse.Namespace) -> Any:
    """Load the pipeline and move it to its device.

    Raises:
        ValueError: no such model or device, or a frame rate that the model does not generate.
    """
    from sonovid.cli.device import resolve_device, resolve_dtype
    from sonovid.core.geometry import as_rate
    from sonovid.pipelines.light import LightPipeline

    device = resolve_device(args.device)
    if is_diffusers_model(args.model):
        import torch

        from sonovid.pipelines.pipeline import SoundingVideoPipeline

        dtype = None if args.dtype in (None, "auto") else getattr(torch, args.dtype)
        return diffusers_models.prepare_pipeline(SoundingVideoPipeline.from_pretrained(args.model, dtype=dtype), args, device)
    diffusers_models.check_unsupported(args)
    pipe = LightPipeline.from_pretrained(args.model)
    if args.lora:
        from sonovid.pipelines import lora

        try:
            lora.load(pipe.denoiser, args.lora, "default")
        except ValueError as error:
            raise ValueError(f"--lora {args.lora}: cannot be loaded: {error}") from error
        lora.fuse(pipe.denoiser)
    fps = pipe.geometry.fps
    if args.fps is not None and not media_options.is_image_sequence(args) and as_rate(args.fps) != fps:
        raise ValueError(f"--fps {args.fps}: this model makes {fps} frames per second")
    pipe.to(device, resolve_dtype("float32" if args.exact else args.dtype or "auto", device))
    pipe.set_progress_bar_config(disable=args.quiet, desc="generating", unit="step", leave=False)
    return pipe


def is_diffusers_model(model: str | None) -> bool:
    """Whether a model's index names a pipeline of diffusers. Reads the index without importing diffusers."""
    from sonovid.pipelines import loading

    if model is None:
        return False
    index = loading.read_index(loading.locate(model, weights=False))
    return index.get("_class_name", "SoundingVideoPipeline") != "SoundingVideoPipeline"


def pipeline_options(args: argparse.Namespace, pipe: Any) -> dict[str, Any]:
    """Keyword arguments of the pipeline's call that do not depend on the inputs."""
    width, height = args.size or (None, None)
    common = {
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance,
        "audio_guidance_scale": args.audio_guidance,
        "seconds": args.seconds,
    }
    if diffusers_models.is_diffusers_pipeline(pipe):
        return common | diffusers_models.call_options(args, pipe)
    return common | {
        "guidance_against": args.guidance_against,
        "guidance_interval": args.guidance_interval,
        "reconstruction_scale": args.reconstruction,
        "gamma": args.gamma,
        "width": width,
        "height": height,
        "num_frames": args.num_frames,
        "batch_size": 1 if args.exact else args.batch,
    }


def run(args: argparse.Namespace) -> None:
    """Generate and write clips, with progress bars for slow file operations."""
    with media_options.progress_bars(args):
        generate(args)


def generate(args: argparse.Namespace) -> None:
    """Generate and write one clip, several clips of one input, or one clip for each of many inputs."""
    if args.preview_flow and not args.preview:
        raise ValueError("--preview-flow adds a row to --preview: give --preview PNG too")
    # Threads that wait by spinning take the core from those that work: on a busy machine two were five times slower than one.
    # This has to be set before anything imports torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if batch.is_batch(args):
        batch.run(args, load_pipeline, pipeline_options, write_batch_item)
        return
    if args.ray:
        raise ValueError("--ray: for many inputs: a list with --from, a folder or a pattern")
    outputs = plan_outputs(args.output, args.preview, args.count, overwrite=args.overwrite)
    for index in range(args.count if args.drift else 0):
        continuation.check_drift_path(numbered_path(Path(args.drift), index, args.count), overwrite=args.overwrite)
    check_inputs(args)
    check_credentials(args, outputs)
    pipe = load_pipeline(args)
    if has_no_condition(args) and pipe.accepts_text:
        raise ValueError(NO_CONDITION)
    if continuation.is_long(args, pipe):
        if args.num_frames or args.size or args.reconstruction or args.gamma:
            raise ValueError("--num-frames, --size, --reconstruction, --gamma: not supported for clips longer than one window")
        for index, files in enumerate(outputs):
            generate_long(args, pipe, files, index)
        return
    if args.drift:
        raise ValueError("--drift: a clip of one window has nothing to drift from; give --continue or a larger --seconds")
    for first in range(0, args.count, batch.MAX_GROUP):
        generate_together(args, pipe, outputs[first : first + batch.MAX_GROUP], args.seed + first)


def generate_together(args: argparse.Namespace, pipe: Any, outputs: list[OutputFiles], seed: int) -> None:
    """Generate and write several clips of one input, with consecutive seeds from `seed` on."""
    result = pipe(
        args.prompt,
        video=args.video and media_options.media_source(args, args.video),
        audio=args.audio and media_options.media_source(args, args.audio),
        negative_prompt=args.negative,
        num_outputs_per_prompt=len(outputs),
        generator=seed,
        **({} if diffusers_models.is_diffusers_pipeline(pipe) else {"label": args.label}),
        **pipeline_options(args, pipe),
    )
    for files, clip, seed in zip(outputs, result.clips, result.seeds, strict=True):
        write_clip(args, files, clip, provenance_record(args, pipe, seed))
        if not args.quiet:
            print(f"{files.clip}: {describe_file(files.clip)}, seed {seed}" + (f"; {files.preview}" if files.preview else ""))


def write_batch_item(args: argparse.Namespace, pipe: Any, item: Any, path: Path, clip: Any) -> None:
    """Write the clip of one of many inputs."""
    inputs = {"prompt": item.prompt, "video": item.video, "audio": item.audio, "label": item.label}
    item_args = argparse.Namespace(**{**vars(args), **inputs, "overwrite": True})
    write_clip(item_args, OutputFiles(path, None), clip, provenance_record(item_args, pipe, item.seed))


def generate_long(args: argparse.Namespace, pipe: Any, files: OutputFiles, index: int) -> None:
    """Generate and write one clip of several windows."""
    from sonovid import media

    seed = args.seed + index
    drift_path = None if args.drift is None else numbered_path(Path(args.drift), index, args.count)
    drift = continuation.generate(args, pipe, files.clip, drift_path, seed, provenance_record(args, pipe, seed))
    if files.preview is not None:
        write_preview(files.preview, media.read(files.clip), overwrite=args.overwrite, flow=args.preview_flow)
    if not args.quiet:
        if drift_path is not None:
            print(drift.table())
        print(f"{files.clip}: {describe_file(files.clip)}, seed {seed}; {continuation.describe_joins(drift)}")
