"""The SVG baseline's training from its recipe: base models loaded or begun, joined, trained, a pipeline left."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid.codecs.joint_text import JointText
from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.text import HashedText
from sonovid.core.av import AV, Task
from sonovid.core.condition import Condition
from sonovid.core.geometry import Geometry
from sonovid.diffusion.objective import RandomDraw, MultiTaskObjective, Uniform
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.svg import SVG
from sonovid.models.svg.model import audioldm_config, motion_config
from sonovid.pipelines import loading as folders
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components as parts
from sonovid.recipes import uniform
from sonovid.recipes.latent_training import feed, fit
from sonovid.recipes.svg import Codecs, Network, Regression, SVGRecipe
from sonovid.training.loop import seeded_init

log = logging.getLogger(__name__)

# Those of Stable Diffusion and of AudioLDM; the former's betas are evenly spaced here, as in the paper's release.
SCHEDULE = AV(Tabulated("linear", 0.00085, 0.012), Tabulated("scaled_linear", 0.0015, 0.0195))


def run(recipe: SVGRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the folder of the pipeline.

    Raises:
        ValueError: a gamma that nothing can be sampled with, or parts that do not fit each other.
    """
    if recipe.sampling.gamma <= 0:
        # Said before days of training, not at the first sampling of a validation.
        raise ValueError(f"sampling.gamma={recipe.sampling.gamma}: expected a number above zero; 1 bends no times")
    codecs, text = autoencoders(recipe.codecs), text_encoder(recipe.codecs)
    model, regress = network(recipe, codecs, text), objective(recipe.regression)
    fed = feed(recipe, SeparateCodecs(*codecs), text)

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return assembled(recipe, network, codecs, text)

    weights = {"audio": recipe.regression.audio_weight}
    return fit(recipe, resolved, model, regress, fed, pipeline, weights)


def autoencoders(codecs: Codecs) -> AV:
    """Both codecs: this library's own, or those of a released pipeline, in its subfolders vae and vocoder."""
    own = uniform.Codecs(video=codecs.video, audio=codecs.audio)
    return AV(parts.video_codec(own), parts.audio_codec(own))


def text_encoder(codecs: Codecs) -> JointText:
    """The two text encoders that a recipe names."""
    named = {"codecs.words": (codecs.words, codecs.words_width), "codecs.vector": (codecs.vector, codecs.vector_width)}
    words, vector = (
        HashedText(width, codecs.places) if source == "hashed" else parts.released_text(key, source)
        for key, (source, width) in named.items()
    )
    return JointText(words, vector, codecs.places)


def network(recipe: SVGRecipe, codecs: AV, text: JointText) -> SVG:
    """The joint network, with gradients asked for what the recipe's stage trains.

    Raises:
        ValueError: base models of the wrong kind, or latents that they cannot take.
    """
    own, words, vector = recipe.network, *text.null_condition()
    options: dict[str, Any] = {"variant": own.variant, "context_channels": own.context_channels, "mults": own.mults}
    options |= {"text_words": text.places, "fold": own.fold, "centred": own.centred, "head_width": (own.head_width,) * 2}
    shapes = codecs.map(partial(latent_shape, geometry=recipe.geometry))
    with seeded_init(recipe.training.seed):
        if own.begun:
            model = SVG.from_bases(*begun(own.begun), **options)
        elif own.video:
            model = SVG.from_bases(*released(own), **options)
        else:
            sizes = {"norm_groups": own.norm_groups, "layers": own.layers, "heads": own.heads}
            channels = AV(shapes.video[0] * own.fold**2, shapes.audio[0])
            motion = motion_config(
                own.video_widths, cross_attention_dim=words.shape[-1], in_channels=channels.video, frames=32, **sizes
            )
            sound = audioldm_config(own.audio_widths, text_width=len(vector), in_channels=channels.audio, **sizes)
            model = SVG(motion, sound, **options)
    model.set_null(words, vector)
    model.check(shapes.map(lambda shape: torch.empty(1, *shape, device="meta")))
    return model.train_bases() if recipe.regression.stage == "bases" else model.freeze_bases()


def latent_shape(codec: Any, geometry: Geometry) -> tuple[int, ...]:
    """Of a clip's latents.

    Raises:
        ValueError: lengths or sizes that the codec cannot compress evenly.
    """
    try:
        return tuple(codec.latent_shape(geometry))
    except ValueError as error:
        raise ValueError(
            f"{error}; change geometry.num_frames, now {geometry.num_frames} at {geometry.fps} a second, or geometry.height and "
            f"width, now {geometry.height} and {geometry.width}"
        ) from error


def begun(model: str) -> tuple[nn.Module, nn.Module]:
    """The two U-Nets of a model folder of SVG.

    Raises:
        ValueError: none of SVG there.
    """
    folder = folders.locate(model)
    index = folders.read_index(folder)
    denoiser = folders.load_component(folder, "denoiser", index.get("denoiser"))
    if not isinstance(denoiser, SVG):
        raise ValueError(f"network.begun={model}: its network is a {type(denoiser).__name__}; expected an SVG")
    return denoiser.unets["video"], denoiser.unets["audio"]


def released(own: Network) -> tuple[nn.Module, nn.Module]:
    """AnimateDiff's U-Net from a picture U-Net and a motion adapter, or as it is, and AudioLDM's.

    Raises:
        ValueError: a source is missing, is of another kind, or the adapter does not fit the U-Net.
    """
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    if not own.audio:
        raise ValueError("network.video without network.audio: name AudioLDM's folder or repository too, or network.begun alone")
    audio = base("audio", own.audio, UNet2DConditionModel)
    if not own.adapter:
        return base("video", own.video, UNetMotionModel), audio
    picture, adapter = base("video", own.video, UNet2DConditionModel), base("adapter", own.adapter, MotionAdapter)
    blocks = [list(one.config["block_out_channels"]) for one in (adapter, picture)]
    if blocks[0] != blocks[1]:
        raise ValueError(
            f"network.adapter={own.adapter}: for blocks of {blocks[0]} channels, and those of {own.video} have {blocks[1]}: take "
            "the adapter of this U-Net's family"
        )
    try:
        return UNetMotionModel.from_unet2d(picture, adapter), audio
    except (RuntimeError, KeyError, IndexError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"network.adapter={own.adapter}: does not fit the U-Net of {own.video}: {reason}") from error


def base(what: str, source: str, kind: type) -> Any:
    """One released network by hub id or folder: a U-Net in its subfolder, a motion adapter as it lies.

    Raises:
        ValueError: none there, one of another class, or weights that are missing or surplus.
    """
    own: Any = kind
    where = {} if what == "adapter" else {"subfolder": "unet"}
    try:
        name = own.load_config(source, **where).get("_class_name")
        if name != kind.__name__:
            hint = "; leave network.adapter out for a whole motion U-Net" if name == "UNetMotionModel" else ""
            found = f"a {name}" if name else "no network of diffusers"
            raise ValueError(f"network.{what}={source}: holds {found}, expected a {kind.__name__}{hint}")
        network, info = own.from_pretrained(source, use_safetensors=True, output_loading_info=True, **where)
    except OSError as error:
        raise ValueError(f"network.{what}={source}: no {kind.__name__} there: {str(error).splitlines()[0]}") from error
    for fault in ("missing_keys", "unexpected_keys"):
        if keys := sorted(info[fault]):
            what_is = "are missing" if fault == "missing_keys" else "are no part of it"
            raise ValueError(f"network.{what}={source}: {len(keys)} weights {what_is}, such as {keys[0]}; fetch the folder again")
    return network


@dataclass(frozen=True, kw_only=True)
class AudioHalf(MultiTaskObjective):
    """The same with the video as noisy as ever and not scored: what the sound's error alone trains."""

    def draw(self, x0: AV, generator: torch.Generator) -> RandomDraw:
        drawn = super().draw(x0, generator)
        return replace(drawn, generated=AV(torch.zeros_like(drawn.generated.video), drawn.generated.audio))

    def _previous(self, drawn: RandomDraw, model: Callable[..., Any], x: AV, condition: Condition) -> AV | None:
        """Estimates of both streams, as when both are made."""
        both = AV(torch.ones_like(drawn.generated.video), drawn.generated.audio)
        return super()._previous(drawn, model, x, replace(condition, generated=both))


def objective(regression: Regression) -> MultiTaskObjective:
    """The error of both streams at times of their own (eq. 10), or its half."""
    half, given = regression.scored == "audio", regression.given
    tasks = {Task.JOINT: 1 - given}
    if given:
        tasks |= {Task.VIDEO_TO_AUDIO: given} if half else {Task.VIDEO_TO_AUDIO: given / 2, Task.AUDIO_TO_VIDEO: given / 2}
    return (AudioHalf if half else MultiTaskObjective)(
        schedule=SCHEDULE,
        predict=regression.predict,
        tasks=tasks,
        times="independent",
        law=AV(Uniform(1000), Uniform(1000)),
        text_dropout=regression.text_dropout,
        self_conditioning=regression.self_conditioning,
    )


def assembled(recipe: SVGRecipe, network: nn.Module, codecs: AV, text: JointText) -> SoundingVideoPipeline:
    """The pipeline of a network with the recipe's ways of sampling."""
    sampling = recipe.sampling
    options = {
        "num_inference_steps": sampling.steps,
        "guidance_scale": sampling.guidance,
        "audio_guidance_scale": sampling.audio_guidance,
        "gamma": sampling.gamma,
    }
    predict = recipe.regression.predict
    return SoundingVideoPipeline(network, *codecs, text, recipe.geometry, SCHEDULE, predict, "ddim", options, system="svg")
