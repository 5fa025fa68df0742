"""Options, checks and facts of models that run through diffusers: LTX-2, Kandinsky 6, Cosmos 3, MiniMax-H3."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OFFLOADS = ("model", "sequential")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only models of diffusers support."""
    group = parser.add_argument_group("models of diffusers (LTX-2, Kandinsky 6, Cosmos 3, MiniMax-H3)")
    group.add_argument("--image", metavar="FILE", help="image for the first frame")
    group.add_argument(
        "--offload",
        choices=OFFLOADS,
        help="keep only the active model, or only the active layer (sequential), on the GPU; default: all on the GPU",
    )
    group.add_argument("--tiling", action="store_true", help="decode frames in tiles, which takes less memory")


def is_diffusers_pipeline(pipe: Any) -> bool:
    """Whether a pipeline wraps one of diffusers."""
    return hasattr(pipe, "family") and hasattr(pipe, "inner")


def check_unsupported(args: argparse.Namespace) -> None:
    """Reject the options of models of diffusers for a model of this package.

    Raises:
        ValueError: one of the options is given.
    """
    for name in ("image", "offload", "tiling"):
        if getattr(args, name, None):
            raise ValueError(f"--{name}: only models of diffusers support it (LTX-2, Kandinsky 6, Cosmos 3, MiniMax-H3)")


def prepare_pipeline(pipe: Any, args: argparse.Namespace, device: str) -> Any:
    """Load the LoRA, move the pipeline to its device and configure it.

    Raises:
        ValueError: an option that only models of this package support, offloading without a GPU, or a LoRA that cannot be loaded.
    """
    system = pipe.config.system
    for name, value in (("--continue", args.clip), ("--label", args.label), ("--drift", args.drift)):
        if value:
            raise ValueError(f"{name}: {system} does not support it; leave it out, or use a model of this package")
    for name in ("guidance_against", "guidance_interval", "reconstruction", "gamma", "num_frames", "exact"):
        if getattr(args, name, None):
            raise ValueError(f"--{name.replace('_', '-')}: {system} does not support it; leave it out")
    if args.offload and device == "cpu":
        raise ValueError(f"--offload {args.offload}: there is no GPU to offload from; leave it out")
    if args.lora:
        try:
            pipe.load_lora_weights(args.lora)
        except Exception as error:
            from sonovid.pipelines.loading import short_message

            raise ValueError(f"--lora {args.lora}: cannot be loaded: {short_message(error)}") from error
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


def call_options(args: argparse.Namespace, pipe: Any) -> dict[str, Any]:
    """Keyword arguments of the call that only models of diffusers take; empty for models of this package."""
    if not is_diffusers_pipeline(pipe):
        return {}
    return {
        "size": None if args.size is None else args.size[::-1],
        "fps": args.fps,
        "image": None if args.image is None else load_image(args.image),
    }


def load_image(path: str) -> Any:
    """Load an RGB image for --image.

    Raises:
        ValueError: the file does not exist or is not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise ValueError(f"--image {path}: no such file") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"--image {path}: cannot be read as an image ({error})") from None


def describe_model(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Capabilities of a model of diffusers by name, without loading its weights.

    Args:
        folder: The model folder.
        index: The contents of its model_index.json.
    """
    from sonovid.pipelines.foreign import find_family
    from sonovid.pipelines.foreign.diffusers_loading import component_entries, diffusers_release, diffusers_version
    from sonovid.pipelines.foreign.families import describe_task

    family = find_family(index)
    capabilities = family.capabilities
    height, width = capabilities.size
    rate = f"{capabilities.fps} frames per second" + ("" if capabilities.fixed_fps else " unless --fps says otherwise")
    found: dict[str, Any] = {"model": folder, "family": f"{capabilities.family}, by {index['_class_name']} of diffusers"}
    for task, since in capabilities.since.items():
        usable = "" if tuple(map(int, since.split("."))) <= diffusers_release() else f", and {diffusers_version()} is installed"
        found[describe_task(task)] = f"yes (diffusers>={since}{usable})"
    found |= {
        "size": f"{width}x{height} unless --size says otherwise; sides are multiples of {capabilities.multiple}",
        "rate": rate,
        "length": f"{float(capabilities.default_seconds(capabilities.fps)):.2f} s unless --seconds says otherwise, at most "
        f"{float(capabilities.seconds[1]):.2f} s; generated in "
        f"{capabilities.stride}k + {capabilities.offset} frames and trimmed to the requested length",
        "sound": f"{capabilities.channels} channel{'s' if capabilities.channels > 1 else ''}, "
        f"{capabilities.sample_rate} Hz in the released weights",
        "steps": capabilities.num_inference_steps,
        "guidance": {"both": "one scale for each stream", "one": "one scale for both streams", "none": "none"}[
            capabilities.guidance
        ],
        "first frame": "--image" if capabilities.image else "no",
        "memory": describe_memory(folder, list(component_entries(index))),
    }
    return found | {f"note {i}": note for i, note in enumerate(capabilities.notes, 1)}


def describe_memory(folder: Path, names: list[str]) -> str:
    """Size of the weights of the named components, from their files or, where these are missing, from their index files."""
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
        return "unknown without the weight files"
    size = f"{known / 2**30:.1f} GiB" if known >= 2**28 else f"{known / 2**20:.1f} MiB"
    missing = f", without {', '.join(unknown)}, whose files are missing" if unknown else ""
    return f"weights of {size} as stored{missing}; with --offload model only the largest network is on the GPU at a time"
