"""sonovid generate and sonovid info for models of diffusers: LTX-2, Kandinsky 6, Cosmos 3, MiniMax-H3."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OFFLOADS = ("model", "sequential")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options that only models of diffusers have."""
    group = parser.add_argument_group("models of diffusers (LTX-2, Kandinsky 6, Cosmos 3, MiniMax-H3)")
    group.add_argument("--image", metavar="FILE", help="a picture to begin with")
    group.add_argument("--offload", choices=OFFLOADS, help="keep on the GPU only the network, or the layer, that computes")
    group.add_argument("--tiling", action="store_true", help="decode pictures in tiles, which takes less memory")
    group.add_argument("--lora", metavar="FILE_OR_ID", help="a LoRA, as a .safetensors file, a folder or a repository")


def is_foreign(pipe: Any) -> bool:
    """Whether a pipeline is one of diffusers behind our call."""
    return hasattr(pipe, "family") and hasattr(pipe, "inner")


def check_unused(args: argparse.Namespace) -> None:
    """Refuse what only a model of diffusers can do.

    Raises:
        ValueError: it was asked for.
    """
    for name in ("image", "offload", "tiling", "lora"):
        if getattr(args, name, None):
            raise ValueError(f"--{name}: only models of diffusers have it (LTX-2, Kandinsky 6, Cosmos 3, MiniMax-H3)")


def prepared(pipe: Any, args: argparse.Namespace, device: str) -> Any:
    """The pipeline on its device, with its LoRA.

    Raises:
        ValueError: something that only our own models can do, no GPU to offload from, or a LoRA that cannot be loaded.
    """
    own = pipe.config.system
    for name, value in (("--continue", args.clip), ("--label", args.label), ("--drift", args.drift)):
        if value:
            raise ValueError(f"{name}: {own} cannot; leave it out, or take a model of this package")
    for name in ("guidance_against", "reconstruction", "gamma", "num_frames", "exact"):
        if getattr(args, name, None):
            raise ValueError(f"--{name.replace('_', '-')}: {own} cannot; leave it out")
    if args.offload and device == "cpu":
        raise ValueError(f"--offload {args.offload}: there is no GPU here to keep free; leave it out")
    if args.lora:
        try:
            pipe.load_lora_weights(args.lora)
        except Exception as error:
            from sonovid.pipelines.loading import first_line

            raise ValueError(f"--lora {args.lora}: cannot be loaded: {first_line(error)}") from error
    if args.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif args.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)
    if args.tiling:
        pipe.enable_vae_tiling()
    pipe.set_progress_bar_config(disable=args.quiet, desc="generating", unit="step", leave=False)
    return pipe


def asked(args: argparse.Namespace, pipe: Any) -> dict[str, Any]:
    """What is asked of a model of diffusers beside what is asked of ours; nothing of ours."""
    if not is_foreign(pipe):
        return {}
    return {
        "size": None if args.size is None else args.size[::-1],
        "fps": args.fps,
        "image": None if args.image is None else picture(args.image),
    }


def picture(path: str) -> Any:
    """A picture of any common kind.

    Raises:
        ValueError: no file, or no picture in it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise ValueError(f"--image {path}: no such file") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"--image {path}: cannot be read as a picture ({error})") from None


def facts(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """What a model of diffusers can do, without its weights."""
    from sonovid.pipelines.foreign import family_of
    from sonovid.pipelines.foreign.families import describe
    from sonovid.pipelines.foreign.loading import entries, installed, version

    family = family_of(index)
    made = family.capabilities
    height, width = made.size
    rate = f"{made.fps} frames per second" + ("" if made.fixed_fps else " unless --fps says otherwise")
    found: dict[str, Any] = {"model": folder, "family": f"{made.family}, by {index['_class_name']} of diffusers"}
    for task, since in made.since.items():
        usable = "" if tuple(map(int, since.split("."))) <= version() else f", and {installed()} is installed"
        found[describe(task)] = f"yes (diffusers>={since}{usable})"
    found |= {
        "size": f"{width}x{height} unless --size says otherwise; sides are multiples of {made.multiple}",
        "rate": rate,
        "length": f"{float(made.default_seconds(made.fps)):.2f} s unless --seconds says otherwise, at most "
        f"{float(made.seconds[1]):.2f} s; generated in {made.stride}k + {made.offset} frames and cut to the length asked for",
        "sound": f"{made.channels} channel{'s' if made.channels > 1 else ''}, {made.sample_rate} Hz in the released weights",
        "steps": made.num_inference_steps,
        "guidance": {"both": "one scale for each stream", "one": "one scale for both streams", "none": "none"}[made.guidance],
        "first frame": "--image" if made.image else "no",
        "memory": memory(folder, list(entries(index))),
    }
    return found | {f"note {i}": note for i, note in enumerate(made.notes, 1)}


def memory(folder: Path, names: list[str]) -> str:
    """What the weights take, from the headers of their files or from the indices of files that are not here."""
    import json

    known, unknown = 0, []
    for name in names:
        files = list((folder / name).glob("*.safetensors"))
        indices = list((folder / name).glob("*.safetensors.index.json"))
        if files:
            known += sum(path.stat().st_size for path in files)
        elif indices:
            known += json.loads(indices[0].read_text())["metadata"]["total_size"]
        elif (folder / name / "config.json").is_file():
            unknown.append(name)
    if not known and unknown:
        return "not known without the files of the weights"
    size = f"{known / 2**30:.1f} GiB" if known >= 2**28 else f"{known / 2**20:.1f} MiB"
    beside = f", without {', '.join(unknown)}, whose files are not here" if unknown else ""
    return f"weights of {size} as stored{beside}; with --offload model only the largest of the networks at once"
