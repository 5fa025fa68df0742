"""The SVG baseline's training from its recipe: base models loaded or begun, joined, trained, a pipeline left."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid import folders
from sonovid.av import AV, Task
from sonovid.codecs.joint_text import JointText
from sonovid.codecs.text import HashedText, PretrainedText
from sonovid.data import clips
from sonovid.denoisers.svg import SVG
from sonovid.denoisers.svg.joint import audioldm_config, motion_config
from sonovid.diffusion.objective import MultiTask, Uniform
from sonovid.diffusion.schedule import Tabulated
from sonovid.pipeline import SoundingVideoPipeline
from sonovid.recipes import parts, uniform
from sonovid.recipes.latent_training import Fed, encoded, fit
from sonovid.recipes.svg import Codecs, Network, Regression, SVGRecipe
from sonovid.training.loop import drawn_from

log = logging.getLogger(__name__)

# Those of Stable Diffusion and of AudioLDM; the former's betas are evenly spaced here, as in the paper's release.
SCHEDULE = AV(Tabulated("linear", 0.00085, 0.012), Tabulated("scaled_linear", 0.0015, 0.0195))


def run(recipe: SVGRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the folder of the pipeline."""
    own = uniform.Codecs(video=recipe.codecs.video, audio=recipe.codecs.audio)
    codecs, text = AV(parts.video_codec(own), parts.audio_codec(own)), text_encoder(recipe.codecs)
    model, regress = network(recipe, codecs, text), objective(recipe.regression)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for codec in codecs:
        codec.to(device)
    encode = partial(encoded, codecs=codecs, device=device, precision=recipe.data.precision)
    key = (codecs.video, codecs.audio.autoencoder, codecs.audio.log_mel.to_config(), recipe.data.precision)
    training, held_out, windows = parts.caches(recipe.data, recipe.geometry, Path(recipe.out), encode, *key)
    for codec, name in zip(codecs, AV._fields, strict=True):
        parts.whiten_by(codec, training.statistics.get(name))

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return assembled(recipe, network, codecs, text)

    load = partial(clips.load, geometry=recipe.geometry)
    weights = {"audio": recipe.regression.audio_weight}
    fed = Fed(training, held_out, windows, codecs, load, text)
    return fit(recipe, resolved, model, regress, fed, pipeline, weights)


def text_encoder(codecs: Codecs) -> JointText:
    """The two text encoders that a recipe names."""
    words, vector = (
        HashedText(width, codecs.places) if source == "hashed" else PretrainedText.from_pretrained(source)
        for source, width in ((codecs.words, codecs.words_width), (codecs.vector, codecs.vector_width))
    )
    return JointText(words, vector, codecs.places)


def network(recipe: SVGRecipe, codecs: AV, text: JointText) -> SVG:
    """The joint network, with gradients asked for what the recipe's stage trains.

    Raises:
        ValueError: base models of the wrong kind, or latents that they cannot take.
    """
    own, words, vector = recipe.network, *text.null()
    options = {"variant": own.variant, "context_channels": own.context_channels, "mults": own.mults, "text_words": text.places}
    with drawn_from(recipe.training.seed):
        if own.begun:
            model = SVG.from_bases(*begun(own.begun), **options)
        elif own.video:
            model = SVG.from_bases(*released(own), **options)
        else:
            sizes = {"norm_groups": own.norm_groups, "layers": own.layers}
            channels = codecs.map(lambda codec: codec.latent_shape(recipe.geometry)[0])
            motion = motion_config(
                own.video_widths, cross_attention_dim=words.shape[-1], in_channels=channels.video, frames=32, **sizes
            )
            sound = audioldm_config(own.audio_widths, text_width=len(vector), in_channels=channels.audio, **sizes)
            model = SVG(motion, sound, **options)
    model.set_null(words, vector)
    shapes = codecs.map(lambda codec: codec.latent_shape(recipe.geometry))
    model.check(shapes.map(lambda shape: torch.empty(1, *shape, device="meta")))
    return model.train_bases() if recipe.regression.stage == "bases" else model.freeze_bases()


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
    """AnimateDiff's U-Net from a picture U-Net and a motion adapter, or as it is, and AudioLDM's."""
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    where = {"subfolder": "unet", "use_safetensors": True}
    audio = UNet2DConditionModel.from_pretrained(own.audio, **where)
    if not own.adapter:
        return UNetMotionModel.from_pretrained(own.video, **where), audio
    picture = UNet2DConditionModel.from_pretrained(own.video, **where)
    adapter = MotionAdapter.from_pretrained(own.adapter, use_safetensors=True)
    return UNetMotionModel.from_unet2d(picture, adapter), audio


def objective(regression: Regression) -> MultiTask:
    """The error of the noise of both streams at times of their own (eq. 10)."""
    return MultiTask(
        schedule=SCHEDULE,
        predict="eps",
        tasks={Task.JOINT: 1.0},
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
    return SoundingVideoPipeline(network, *codecs, text, recipe.geometry, SCHEDULE, "eps", "ddim", options, system="svg")
