"""sonovid import: released checkpoints converted to model folders of this package."""

import argparse
import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from sonovid.cli.argument_types import frame_size, positive_int

DESCRIPTION = """\
Convert a released checkpoint to a model folder of this package, with all weights as safetensors.

  sonovid import svg-baseline FOLDER OUT     the pipeline folder of the SVG baseline's authors
  sonovid import mm-diffusion FILE OUT       a base model of MM-Diffusion's authors, such as landscape.pt

The released files are pickles. They are read without executing any code in them, and by no other command of this package.
"""
# The authors' sampling settings (Sec. IV-A; negative prompt and timestep spacing as in their code), for what their pipeline
# folder does not hold.
SVG_OPTIONS = {
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "audio_guidance_scale": 2.5,
    "gamma": 1.5,
    "negative_prompt": "bad quality, worse quality",
}
SVG_SPACING = {"scheduler_v": "linspace", "scheduler_a": "leading"}
# The U-Net's config says 64, the latent size of Stable Diffusion at 512x512. It was trained and is sampled at 256x256.
SVG_SIZE = (256, 256)
# As trained: frames per second, frames of a clip, width and height.
GEOMETRIES: dict[str, tuple[str, int, tuple[int, int]]] = {
    "svg-baseline": ("8", 32, SVG_SIZE),
    "mm-diffusion": ("10", 16, (64, 64)),
}
SVG_PARTS = ("unet_v", "unet_a", "unet_svg", "vae_v", "vae_a", "vocoder", "text_encoder_v", "text_encoder_a")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""

    parser = commands.add_parser(
        "import",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("system", choices=list(GEOMETRIES), help="system whose layout the release has")
    parser.add_argument("folder", metavar="FOLDER_OR_FILE", type=Path, help="folder or file of the release")
    parser.add_argument("out", metavar="OUT", type=Path, help="model folder to write")
    shown = "; ".join(f"{name}: {fps} fps, {n} frames, {w}x{h}" for name, (fps, n, (w, h)) in GEOMETRIES.items())
    parser.add_argument("--fps", help=f"frames per second that it was trained at; defaults of {shown}")
    parser.add_argument("--frames", type=positive_int, metavar="N", help="frames of a clip")
    parser.add_argument("--size", type=frame_size, metavar="WxH", help="frame size in pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing OUT")


def run(args: argparse.Namespace) -> None:
    """Convert the checkpoint and save the model."""
    from sonovid.core.geometry import as_rate

    if args.out.exists() and not args.overwrite:
        raise FileExistsError(f"{args.out} exists already (--overwrite replaces it)")
    from transformers.utils import logging

    # Otherwise the progress bars of five networks hide an error message.
    logging.disable_progress_bar()
    load = {"svg-baseline": load_svg_baseline, "mm-diffusion": load_mm_diffusion}[args.system]
    fps, num_frames, size = GEOMETRIES[args.system]
    pipeline = load(args.folder, fps=as_rate(args.fps or fps), num_frames=args.frames or num_frames, size=args.size or size)
    pipeline.save_pretrained(args.out)
    words = "PROMPT" if pipeline.accepts_text else "--video clip.mp4"
    print(f"{args.out}: try sonovid generate {words} --model {args.out}")


def load_svg_baseline(
    folder: Path, *, fps: Fraction = Fraction(8), num_frames: int = 32, size: tuple[int, int] = SVG_SIZE
) -> Any:
    """Load the released SVG baseline as a pipeline.

    Args:
        folder: The released pipeline folder in diffusers' layout, or the folder above it.
        fps: Frame rate that it was trained at, in frames per second.
        num_frames: Frames of a clip.
        size: Width and height of the frames in pixels, which no file of the release holds.

    Raises:
        ValueError: not such a folder, or a part of it is missing or does not fit.
    """
    import tempfile

    import torch

    from sonovid.codecs.joint_text import JointText
    from sonovid.codecs.pretrained import PretrainedVideo, load_audioldm
    from sonovid.codecs.text import PretrainedText
    from sonovid.core.av import AV
    from sonovid.core.geometry import Geometry
    from sonovid.pipelines.pipeline import SoundingVideoPipeline

    folder = find_svg_folder(folder)
    schedule = AV(*(load_schedule(folder / name) for name in ("scheduler_v", "scheduler_a")))
    with tempfile.TemporaryDirectory() as temporary:
        for name, as_ in (("vae_v", "vae_v"), ("vae_a", "vae"), ("vocoder", "vocoder")):
            convert_to_safetensors(folder / name, Path(temporary) / as_)
        for name in ("text_encoder_v", "text_encoder_a"):
            convert_to_safetensors(folder / name, Path(temporary) / name)
            shutil.copytree(folder / name.replace("text_encoder", "tokenizer"), Path(temporary) / name, dirs_exist_ok=True)
        video = PretrainedVideo.from_pretrained(Path(temporary) / "vae_v")
        audio = load_audioldm(temporary)
        words, vector = (PretrainedText.from_pretrained(Path(temporary) / name) for name in ("text_encoder_v", "text_encoder_a"))
        text = JointText(words, vector, places=min(77, words.max_words))
    model = load_svg_denoiser(folder, text.places)
    model.set_null_condition(*text.null_condition())
    width, height = size
    geometry = Geometry(num_frames, fps, height, width, audio.log_mel.sample_rate)
    # Fail now and not in the first sampling.
    model.check(AV(video, audio).map(lambda codec: torch.empty(1, *codec.latent_shape(geometry), device="meta")))
    options = {**SVG_OPTIONS, "spacing": [spacing(folder / name) for name in ("scheduler_v", "scheduler_a")]}
    return SoundingVideoPipeline(model, video, audio, text, geometry, schedule, predict="eps", options=options, system="svg")


def load_mm_diffusion(file: Path, *, fps: Fraction = Fraction(10), num_frames: int = 16, size: tuple[int, int] = (64, 64)) -> Any:
    """Load a released base model of MM-Diffusion as a pipeline.

    Args:
        file: The file of its (averaged) weights.
        fps: Frame rate that it was trained at, in frames per second.
        num_frames: Frames of a clip.
        size: Width and height of the frames in pixels.

    Raises:
        ValueError: the file holds other tensors, or more than tensors.
    """
    from dataclasses import replace

    from sonovid import recipes
    from sonovid.core.geometry import Geometry
    from sonovid.models.mmdiffusion import MMDiffusion, released
    from sonovid.models.mmdiffusion.unet import paper
    from sonovid.recipes.mmdiffusion.train import build_codec, build_pipeline

    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    state = load_pickled_tensors(file)
    if "time_embed.0.weight" not in state:
        raise ValueError(f"{file}: not the weights of a base model of MM-Diffusion")
    model = MMDiffusion(**{**paper(), "width": len(state["time_embed.0.weight"])})
    model.load_state_dict(released.convert(state, model))
    width, height = size
    recipe = recipes.get("mmdiffusion.paper")
    recipe = replace(recipe, geometry=Geometry(num_frames, fps, height, width, recipe.geometry.sample_rate))
    return build_pipeline(recipe, model.eval(), build_codec(recipe))


def find_svg_folder(folder: Path) -> Path:
    """The released pipeline's folder: `folder` itself, or its subfolder pipe.

    Raises:
        ValueError: neither has the released layout.
    """
    for place in (folder, folder / "pipe"):
        if (place / "model_index.json").is_file():
            kind = json.loads((place / "model_index.json").read_text()).get("_class_name")
            if kind != "VideoAudioGenWithSVGPipeline":
                raise ValueError(f"{place}: holds a {kind}, not the pipeline of the SVG baseline")
            if missing := [name for name in SVG_PARTS if not (place / name / "config.json").is_file()]:
                raise ValueError(f"{place}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
            return place
    raise ValueError(f"{folder}: no model_index.json there or in {folder / 'pipe'}; expected the released pipeline's folder")


def load_svg_denoiser(folder: Path, text_words: int) -> Any:
    """The joint denoiser of a released folder, in float32."""
    from sonovid.core.av import AV
    from sonovid.models.svg import SVG, released

    configs = AV(*(json.loads((folder / name / "config.json").read_text()) for name in ("unet_v", "unet_a")))
    joined = json.loads((folder / "unet_svg" / "config.json").read_text())
    model = SVG(**released.settings(joined, configs), text_words=text_words)
    released.load_weights(
        model, load_tensors(folder / "unet_svg"), configs.map(lambda _, name: load_tensors(folder / name), AV("unet_v", "unet_a"))
    )
    return model.eval()


def load_tensors(folder: Path) -> dict[str, Any]:
    """Load the weights of one network from a safetensors file or a file of pickled tensors.

    Raises:
        ValueError: no such file, or one that holds more than tensors.
    """
    from safetensors.torch import load_file

    found = [path for name in ("diffusion_pytorch_model", "model", "pytorch_model") for path in folder.glob(f"{name}.*")]
    # float32 before float16, and safetensors before pickles.
    for path in sorted(found, key=lambda path: ("fp16" in path.name, path.suffix != ".safetensors")):
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".bin":
            return load_pickled_tensors(path)
    raise ValueError(f"{folder}: no weights found")


def load_pickled_tensors(path: Path) -> dict[str, Any]:
    """Load a file of pickled tensors without executing code in it.

    Raises:
        ValueError: the file holds more than tensors, or is damaged.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: holds more than tensors, or is damaged, and is not read") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{path}: does not hold a dictionary of tensors")
    return dict(state)


def convert_to_safetensors(source: Path, target: Path) -> None:
    """Copy one network's folder with its weights as float32 safetensors."""
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "config.json", target / "config.json")
    found = load_tensors(source).items()
    state = {name: (value.float() if value.is_floating_point() else value.clone()).contiguous() for name, value in found}
    of_diffusers = "_diffusers_version" in json.loads((source / "config.json").read_text())
    save_file(state, target / f"{'diffusion_pytorch_model' if of_diffusers else 'model'}.safetensors", {"format": "pt"})


def spacing(folder: Path) -> str:
    """The timestep spacing of a saved scheduler.

    Raises:
        ValueError: a setting that the release does not use.
    """
    from sonovid.diffusion.sampler import SPACINGS

    config = json.loads((folder / "scheduler_config.json").read_text())
    found = config.get("timestep_spacing") or SVG_SPACING[folder.name]
    if found not in SPACINGS or config.get("clip_sample") or config.get("thresholding"):
        raise ValueError(
            f"{folder}: timestep_spacing={found!r}, clip_sample={config.get('clip_sample', False)}; expected "
            f"{' or '.join(SPACINGS)}, and no clipping"
        )
    return found


def load_schedule(folder: Path) -> Any:
    """The noise schedule (table of betas) of a saved scheduler.

    Raises:
        ValueError: a scheduler that does not predict epsilon, or with trained betas.
    """
    from sonovid.diffusion.schedule import Tabulated

    config = json.loads((folder / "scheduler_config.json").read_text())
    if config.get("prediction_type", "epsilon") != "epsilon" or config.get("trained_betas"):
        raise ValueError(f"{folder}: predicts {config.get('prediction_type')!r}; expected epsilon and a table of betas")
    return Tabulated(config["beta_schedule"], config["beta_start"], config["beta_end"], config["num_train_timesteps"])
