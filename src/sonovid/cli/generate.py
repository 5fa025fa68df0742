"""sonovid generate: words, a video or a sound to a sounding video."""

import argparse
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli import foreign_models, given_media, longer, many

DESCRIPTION = """\
Make a video with its sound from words; or the sound for a video, whose own pictures stay as they are; or the pictures for a
sound, which itself stays as it is. Words may go with either. What is longer than the model makes at once is made window by
window, from words, or from a clip that is gone on with, where the model is one that can go on.

  sonovid generate "a wooden stick hits a metal can twice" -o out.mp4
  sonovid generate --video clip.mp4 -o out.mp4
  sonovid generate "a dog barks" --audio dog.wav -o out.mp4 --preview out.png
  sonovid generate --continue clip.mp4 --seconds 20 -o long.mp4 --drift drift.json
  sonovid generate --video clips/ -o with-sound/                           a folder or "clips/*.mp4", to a folder; resumable
  sonovid generate --from prompts.jsonl -o generated/
"""
NOTHING = "nothing to go by: give words, --video, --audio, --continue or --from (see sonovid generate --help)"
WRITES = (".mp4", ".mov", ".mkv", ".wav", ".flac")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        help="make a sounding video from words, a video or a sound",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="what is to be seen and heard")
    what = parser.add_argument_group("what is given")
    what.add_argument(
        "--video", metavar="FILE", help="make the sound for this video, numbered pictures (frames/%%04d.png), or each of a folder"
    )
    what.add_argument("--audio", metavar="FILE", help="make the pictures for this sound, or for each of a folder or a pattern")
    what.add_argument(
        "--from",
        dest="list",
        metavar="LIST",
        help="a .jsonl or .csv list with prompt (or caption), path, video, audio, label, negative, seed, name; clips go into -o",
    )
    what.add_argument(
        "--task", choices=many.TASKS, default="joint", help="of --from: what is given of each clip named by path; default: joint"
    )
    what.add_argument("--continue", dest="clip", metavar="FILE", help="go on from this clip, for --seconds in all; see --keep")
    what.add_argument("--label", metavar="CLASS", help="what kind of clip, for a model that knows classes")
    what.add_argument("--negative", metavar="WORDS", help="what is not to be seen and heard")
    out = parser.add_argument_group("what comes out")
    out.add_argument(
        "-o", "--output", metavar="FILE", default="out.mp4", help=f"{', '.join(WRITES)}, or a folder for many; default: out.mp4"
    )
    out.add_argument("--credentials", choices=("auto", "on", "off"), default="auto", help="C2PA; auto: if it is installed")
    out.add_argument("--preview", metavar="PNG", help="also draw frames in a row above the mel spectrogram, its onsets marked")
    out.add_argument("--preview-flow", action="store_true", help="with --preview: a row of the frames' optical flow as well")
    out.add_argument("--overwrite", action="store_true", help="replace files that exist")
    out.add_argument("--count", type=whole, default=1, metavar="N", help="N clips, out-0.mp4 to out-(N-1).mp4, of seeds SEED + i")
    out.add_argument("--seconds", type=seconds, metavar="S", help="length of the whole; of a given file, how much is used")
    out.add_argument("--drift", metavar="JSON", help="of a long clip: what each window is like, each join, and where it drifts")
    out.add_argument("--size", type=size, metavar="WxH", help="picture size, where the model allows")
    out.add_argument(
        "--fps",
        metavar="RATE",
        help="frames per second, such as 8 or 30000/1001: the model's, or those of numbered pictures",
    )
    out.add_argument("--num-frames", type=whole, metavar="N", help="frames of one window, where the model allows (CMMD: 36)")
    given_media.add(parser)
    add_how(parser)
    foreign_models.add(parser)


def add_how(parser: Any) -> None:
    """Add the options of the model and of sampling."""
    how = parser.add_argument_group("how")
    how.add_argument("--model", metavar="DIR_OR_ID", help="a folder or a repository of the Hub; default: the packaged model")
    how.add_argument("--seed", type=int, default=0, metavar="SEED", help="default: 0")
    how.add_argument("--steps", type=whole, metavar="N", help="sampling steps; default: the model's own")
    how.add_argument("--guidance", type=float, metavar="X", help="how closely the pictures follow the words; 1 is none")
    how.add_argument("--audio-guidance", type=float, metavar="X", help="the same for the sound; default: that of the pictures")
    how.add_argument(
        "--guidance-against",
        choices=("modality", "context", "both"),
        help="what guidance leads away from beside --video or --audio: their absence, that of words and class, or both (MM-LDM)",
    )
    how.add_argument(
        "--reconstruction",
        type=float,
        metavar="X",
        help="how strongly a given stream leads the other; 0 is none (CMMD's lambda)",
    )
    how.add_argument(
        "--gamma", type=float, metavar="X", help="how far the streams' times are bent apart; 1 is not at all (SVG, see timesteps)"
    )
    how.add_argument("--keep", choices=("both", "video", "audio"), default="both", help="of --continue; the other is made anew")
    how.add_argument(
        "--hand-off", choices=("latents", "decoded"), default="latents", help="what goes from window to window; default: latents"
    )
    how.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps; default: a GPU where there is one")
    how.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="of the network; default: bfloat16 where the processor has it, else float32; a foreign model's as it has it",
    )
    how.add_argument(
        "--batch", type=batch, default="auto", metavar="N", help="clips and windows at once; default: auto, by memory"
    )
    how.add_argument("--exact", action="store_true", help="one at a time in float32: bit for bit the same in any company")
    how.add_argument("--quiet", action="store_true", help="say nothing")


def whole(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero")
    return int(text)


def batch(text: str) -> int | str:
    """A batch size, or "auto"."""
    return text if text == "auto" else whole(text)


def seconds(text: str) -> Fraction:
    """A length in seconds."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def size(text: str) -> tuple[int, int]:
    """(width, height) from "64x48", or from "64" for a square."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 64x64")
    return int(parts[0]), int(parts[-1])


@dataclass(frozen=True)
class Target:
    """One clip's files."""

    clip: Path
    preview: Path | None


def numbered(path: Path, index: int, count: int) -> Path:
    """The name of one of several files: out.mp4 becomes out-0.mp4, out-1.mp4 and so on."""
    return path if count == 1 else path.with_name(f"{path.stem}-{index:0{len(str(count - 1))}d}{path.suffix}")


def targets(output: str, preview: str | None, count: int, *, overwrite: bool) -> list[Target]:
    """Where the clips go, found out before any work is done.

    Raises:
        ValueError: a suffix that cannot be written, a folder that is missing or cannot be written to, or a file that exists.
    """
    if Path(output).suffix.lower() not in WRITES:
        raise ValueError(f"-o {output}: expected a name that ends in {', '.join(WRITES)}")
    if preview is not None and Path(preview).suffix.lower() != ".png":
        raise ValueError(f"--preview {preview}: expected a name that ends in .png")
    result = []
    for index in range(count):
        picture = None if preview is None else numbered(Path(preview), index, count)
        result.append(Target(numbered(Path(output), index, count), picture))
    for path in [p for target in result for p in (target.clip, target.preview) if p is not None]:
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected the name of a file to write")
        if not path.parent.is_dir():
            raise ValueError(f"{path}: the folder {path.parent} does not exist; create it first")
        if not os.access(path.parent, os.W_OK):
            raise ValueError(f"{path}: the folder {path.parent} cannot be written to")
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists already; --overwrite replaces it")
    return result


def nothing_given(args: argparse.Namespace) -> bool:
    """Whether a model of words would have nothing to go by."""
    return not any((args.prompt and args.prompt.strip(), args.label, args.video, args.audio, args.clip))


def check_inputs(args: argparse.Namespace) -> None:
    """Look at what is given before the model is loaded, which takes seconds.

    Raises:
        ValueError: nothing or too much is given, or a file is not what it was given for.
    """
    from sonovid import media
    from sonovid.media.pictures import scan
    from sonovid.pipelines.arguments import check_text

    if args.video and args.audio:
        raise ValueError("--video and --audio are both given, so there is nothing to generate: give one of them")
    for name, option in (("prompt", args.prompt), ("--negative", args.negative), ("--label", args.label)):
        check_text(name, option or "")
    # Of another model than the packaged one it is not known yet whether it goes by anything.
    if nothing_given(args) and args.model is None:
        raise ValueError(NOTHING)
    if args.clip:
        longer.check_inputs(args)
    elif args.keep != "both":
        raise ValueError(f"--keep {args.keep}: it tells what of a clip is kept that is gone on with; give --continue FILE")
    given_media.check(args)
    path = args.video or args.audio
    if not path:
        return
    given = given_media.source(args, path)
    info = media.probe(given)
    if args.video and not info.has_video:
        raise ValueError(f"--video {path}: no pictures in it; for pictures to a sound give --audio")
    if args.audio and not info.has_audio:
        raise ValueError(f"--audio {path}: no sound in it; for sound to pictures give --video")
    given.limits.check_seconds(Path(path), info.duration)
    if args.video:
        line = scan(given)
        if args.seconds is None:
            line.check_plausible(given)
        elif args.seconds > given.length_of(line.seconds) + 1 / line.rate:
            left = float(line.seconds - args.start)
            raise ValueError(f"--seconds {float(args.seconds):g}: only {left:.2f} s of {path} are there; leave --seconds out")


def check_credentials(args: argparse.Namespace, places: list[Target]) -> None:
    """Make or read the certificate before any work is done.

    Raises:
        ValueError: credentials are asked for and cannot be given.
    """
    from sonovid.provenance import Credentials
    from sonovid.provenance.certificates import identity

    for target in places:
        if Credentials(args.credentials).wanted(target.clip):
            identity()


def load(args: argparse.Namespace) -> Any:
    """The pipeline, on its device, able to do what is asked.

    Raises:
        ValueError: no such model or device, or a size or rate that the model does not make.
    """
    from sonovid.cli.device import dtype_of, usable
    from sonovid.core.geometry import as_rate
    from sonovid.pipelines.light import LightPipeline

    device = usable(args.device)
    if is_foreign(args.model):
        import torch

        from sonovid.pipelines.pipeline import SoundingVideoPipeline

        named = None if args.dtype in (None, "auto") else getattr(torch, args.dtype)
        return foreign_models.prepared(SoundingVideoPipeline.from_pretrained(args.model, dtype=named), args, device)
    foreign_models.check_unused(args)
    pipe = LightPipeline.from_pretrained(args.model)
    own = pipe.geometry
    if args.fps is not None and not given_media.is_numbered(args) and as_rate(args.fps) != own.fps:
        raise ValueError(f"--fps {args.fps}: this model makes {own.fps} frames per second")
    pipe.to(device, dtype_of("float32" if args.exact else args.dtype or "auto", device))
    pipe.set_progress_bar_config(disable=args.quiet, desc="generating", unit="step", leave=False)
    return pipe


def is_foreign(model: str | None) -> bool:
    """Whether a model is one of diffusers, found without importing anything of it."""
    from sonovid.pipelines import loading as folders

    if model is None:
        return False
    index = folders.read_index(folders.locate(model, weights=False))
    return index.get("_class_name", "SoundingVideoPipeline") != "SoundingVideoPipeline"


def options(args: argparse.Namespace, pipe: Any) -> dict[str, Any]:
    """What every call of the pipeline is given, whatever the inputs."""
    width, height = args.size or (None, None)
    both = {
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance,
        "audio_guidance_scale": args.audio_guidance,
        "seconds": args.seconds,
    }
    if foreign_models.is_foreign(pipe):
        return both | foreign_models.asked(args, pipe)
    return both | {
        "guidance_against": args.guidance_against,
        "reconstruction_scale": args.reconstruction,
        "gamma": args.gamma,
        "width": width,
        "height": height,
        "num_frames": args.num_frames,
        "batch_size": 1 if args.exact else args.batch,
    }


def run(args: argparse.Namespace) -> None:
    """Generate, and write, with bars for what takes long."""
    with given_media.bars(args):
        make(args)


def make(args: argparse.Namespace) -> None:
    """Generate, and write."""
    if args.preview_flow and not args.preview:
        raise ValueError("--preview-flow is a row of --preview: give --preview PNG too")
    # Threads that wait by spinning take the core from those that work: on a busy machine two were five times slower than one.
    # To be said before anything imports torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if many.is_meant(args):
        many.run(args, load, options, write_item)
        return
    places = targets(args.output, args.preview, args.count, overwrite=args.overwrite)
    for index in range(args.count if args.drift else 0):
        longer.check_report(numbered(Path(args.drift), index, args.count), overwrite=args.overwrite)
    check_inputs(args)
    check_credentials(args, places)
    pipe = load(args)
    if nothing_given(args) and pipe.takes_words:
        raise ValueError(NOTHING)
    if longer.is_meant(args, pipe):
        if args.num_frames or args.size or args.reconstruction or args.gamma:
            raise ValueError("--num-frames, --size, --reconstruction, --gamma: a long video is made in the model's own windows")
        for index, target in enumerate(places):
            lengthen(args, pipe, target, index)
        return
    if args.drift:
        raise ValueError("--drift: a clip of one window has nothing to drift from; give --continue, or words and more --seconds")
    for first in range(0, args.count, many.TOGETHER):
        made_together(args, pipe, places[first : first + many.TOGETHER], args.seed + first)


def made_together(args: argparse.Namespace, pipe: Any, places: list["Target"], seed: int) -> None:
    """Some clips of one prompt, of seeds that follow each other, and their files."""
    result = pipe(
        args.prompt,
        video=args.video and given_media.source(args, args.video),
        audio=args.audio and given_media.source(args, args.audio),
        negative_prompt=args.negative,
        num_outputs_per_prompt=len(places),
        generator=seed,
        **({} if foreign_models.is_foreign(pipe) else {"label": args.label}),
        **options(args, pipe),
    )
    for target, clip, seed in zip(places, result.clips, result.seeds, strict=True):
        write(args, target, clip, provenance(args, pipe, seed))
        if not args.quiet:
            print(f"{target.clip}: {describe(target.clip)}, seed {seed}" + (f"; {target.preview}" if target.preview else ""))


def write_item(args: argparse.Namespace, pipe: Any, item: Any, path: Path, clip: Any) -> None:
    """The file of one clip among many."""
    given = {"prompt": item.prompt, "video": item.video, "audio": item.audio, "label": item.label}
    one = argparse.Namespace(**{**vars(args), **given, "overwrite": True})
    write(one, Target(path, None), clip, provenance(one, pipe, item.seed))


def lengthen(args: argparse.Namespace, pipe: Any, target: Target, index: int) -> None:
    """One long clip's files."""
    from sonovid import media

    seed = args.seed + index
    drift = None if args.drift is None else numbered(Path(args.drift), index, args.count)
    made = longer.make(args, pipe, target.clip, drift, seed, provenance(args, pipe, seed))
    if target.preview is not None:
        draw(target.preview, media.read(target.clip), overwrite=args.overwrite, flow=args.preview_flow)
    if not args.quiet:
        if drift is not None:
            print(made.table())
        print(f"{target.clip}: {describe(target.clip)}, seed {seed}; {longer.joins(made)}")


def describe(path: Path) -> str:
    """A file's extent in words."""
    from sonovid import media

    info = media.probe(path)
    parts = [f"{float(info.duration):g} s"]
    if info.size is not None and info.fps is not None:
        parts.append(f"{info.size[1]}x{info.size[0]} at {float(info.fps):g} fps")
    return ", ".join([*parts, f"{info.sample_rate} Hz"])


def provenance(args: argparse.Namespace, pipe: Any, seed: int) -> Any:
    """What is written into the file, as a `Record`: that it is generated, by what, and how to make it again."""
    import sonovid
    from sonovid.provenance import Record

    given = args.clip or args.video or args.audio
    # The name of a folder, not where it lies: files travel.
    model = Path(args.model).name if args.model and Path(args.model).is_dir() else args.model or "shipped"
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
        given=Path(given).name if given else "",
        continued=bool(args.clip),
        beside_own=args.keep_audio == "mix",
    )


def write(args: argparse.Namespace, target: Target, clip: Any, record: Any) -> None:
    """One clip's files. Given pictures and given sounds are taken from their file as they are."""
    from sonovid import media
    from sonovid.provenance import Credentials, signed

    options = {"overwrite": args.overwrite, "metadata": record.to_metadata()}
    pictures = target.clip.suffix.lower() not in (".wav", ".flac")
    clip = given_media.finished(args, clip, target.clip.name)
    if args.video:
        clip = given_media.beside_own_sound(args, clip, target.clip.name)
    sealed = {"given": args.video or args.audio, "overwrite": args.overwrite, "credentials": Credentials(args.credentials)}
    with signed(target.clip, record, **sealed) as path:
        if args.video and pictures:
            kept = {"own_sound": args.keep_audio == "second-track", "tone_map": args.tone_map}
            media.mux(given_media.source(args, args.video), clip.waveform, clip.sample_rate, path, **options, **kept)
        elif args.audio and pictures and given_media.is_whole(args):
            media.replace_pictures(args.audio, clip.frames, clip.fps, path, **options)
        else:
            media.write(path, clip, **options)
    if target.preview is not None:
        draw(target.preview, clip, overwrite=args.overwrite, flow=args.preview_flow)


def draw(path: Path, clip: Any, *, overwrite: bool, flow: bool = False) -> None:
    """A preview with the sound's onsets marked; flow: with a row of the frames' optical flow, as in SVG's Fig. 4."""
    from sonovid.media.files import in_place
    from sonovid.media.preview import preview
    from sonovid.metrics.alignment import sound_onsets

    with in_place(path, overwrite=overwrite) as beside:
        onsets = () if clip.waveform is None else sound_onsets(clip.waveform.mean(0).astype(float), clip.sample_rate).tolist()
        moving = None
        if flow and clip.frames is not None:
            from sonovid.metrics.flow_pictures import flow_pictures

            moving = flow_pictures(clip.frames)
        preview(clip, events=onsets, flow=moving).save(beside)
