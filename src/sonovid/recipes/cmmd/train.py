"""CMMD's training from its recipe: longer crops cached, the network trained on their middles, a pipeline left."""

import importlib
import json
import logging
import math
from dataclasses import asdict, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sonovid.codecs.audio import IdentityMel
from sonovid.codecs.mel import LogMel
from sonovid.codecs.pretrained import HifiGanVocoder
from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.spectrogram import PARTS, SpectrogramCodec
from sonovid.codecs.vocoder import GriffinLim
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry, count, duration
from sonovid.data import clips
from sonovid.diffusion.contrastive import NEGATIVE_KINDS, ContrastiveObjective, CropWindow
from sonovid.diffusion.objective import LogitNormal, MultiTaskObjective, Uniform
from sonovid.diffusion.schedule import Cosine
from sonovid.models.cmmd.unet import CMMD
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components as parts
from sonovid.recipes import uniform
from sonovid.recipes.cmmd import CMMDRecipe, Codecs, Contrast, Regression
from sonovid.recipes.latent_training import Fed, encoded, fit
from sonovid.training.loop import seeded_init

log = logging.getLogger(__name__)

SCHEDULE = Cosine(0.008)
VOCODERS = ("SpectralVocoder", "MelGAN", "GriffinLim", "HifiGanVocoder")


def run(recipe: CMMDRecipe, resolved: dict[str, Any]) -> Path:
    """Train, and return the folder of the pipeline."""
    if recipe.contrast.eta and recipe.resume is None:
        log.warning("the contrastive loss from nothing: the paper goes on from a plain checkpoint, resume=FOLDER")
    codecs = AV(video_codec(recipe.codecs), audio_codec(recipe.codecs, recipe.geometry.sample_rate))
    crop, inner = longer(recipe.geometry, recipe.contrast.margin), middle(recipe.geometry, recipe.contrast.margin, codecs)
    model, regress = network(recipe, codecs), objective(recipe.regression, recipe.contrast, inner)
    device, codec = torch.device("cuda" if torch.cuda.is_available() else "cpu"), SeparateCodecs(*codecs)
    parts.move(codec, device)
    encode = partial(encoded, codec=codec, device=device, precision=recipe.data.precision)
    key = (*parts.what_encodes(codec), recipe.data.precision)
    training, held_out, windows = parts.caches(recipe.data, crop, Path(recipe.out), encode, *key)
    parts.whiten_by(codecs.video, training.statistics.get("video"))
    # The contrastive loss cuts its pairs itself; the plain one never sees what lies round a clip.
    cut = None if isinstance(regress, ContrastiveObjective) else inner

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return assembled(recipe, network, codecs)

    def load(window: clips.Window) -> Clip:
        return middle_clip(clips.load(window, crop), recipe.geometry, recipe.contrast.margin)

    weights = {"audio": recipe.regression.audio_weight, **getattr(regress, "weights", {})}
    return fit(recipe, resolved, model, regress, Fed(training, held_out, windows, codec, load, cut=cut), pipeline, weights)


def video_codec(codecs: Codecs) -> Any:
    """The frame codec that a recipe names.

    Raises:
        ValueError: it names none, or what it names is no video codec.
    """
    return parts.video_codec(uniform.Codecs(video=codecs.video))


def audio_codec(codecs: Codecs, sample_rate: int) -> SpectrogramCodec:
    """The mel spectrogram itself as latents of about [-1, 1], with the vocoder that a recipe names.

    Raises:
        ValueError: there is no vocoder there, or it was made for another spectrogram.
    """
    mel = codecs.mel
    log_mel = LogMel(sample_rate, mel.bins, mel.n_fft, mel.n_fft, mel.hop, 0.0, sample_rate / 2, mel.floor, partial=True)
    vocoder: Any = vocoder_of(Path(codecs.vocoder), log_mel) if codecs.vocoder else GriffinLim(log_mel)
    centre, reach = (codecs.high + codecs.low) / 2, (codecs.high - codecs.low) / 2
    return SpectrogramCodec(IdentityMel(mel.bins), vocoder, log_mel, latents_mean=[centre], latents_std=[reach]).eval()


def vocoder_of(folder: Path, log_mel: LogMel, key: str = "codecs.vocoder") -> Any:
    """The vocoder in a folder: one of this package, or a HiFi-GAN as transformers saves it, alone or in a pipeline's vocoder/.

    key: by which the recipe names it.

    Raises:
        ValueError: there is none, or it was made for another spectrogram.
    """
    folder = folder / "vocoder" if (folder / "vocoder" / "config.json").is_file() else folder
    path = folder / "config.json"
    config = json.loads(path.read_text()) if path.is_file() else {}
    hifi_gan = "SpeechT5HifiGan" in (config.get("architectures") or ())
    kind = HifiGanVocoder.__name__ if hifi_gan else config.get("_class_name", "")
    if kind not in VOCODERS:
        raise ValueError(f"{key}={folder}: no vocoder there; expected a folder of {', '.join(VOCODERS)} or SpeechT5HifiGan")
    if (folder / "recipe.json").is_file():
        trained = parts.trained_mel(folder)
        made_for = {name: getattr(trained, name) for name in ("sample_rate", "bins", "n_fft", "hop")}
    elif hifi_gan:
        hop = math.prod(config["upsample_rates"])
        made_for = {"sample_rate": config["sampling_rate"], "bins": config["model_in_dim"], "hop": hop}
    else:
        made_for = {}
    differing = [f"{name} {value}" for name, value in made_for.items() if value != getattr(log_mel, name)]
    if differing:
        own = ", ".join(f"{name} {getattr(log_mel, name)}" for name in made_for)
        raise ValueError(f"{key}={folder}: made for a spectrogram of {', '.join(differing)}; the recipe's has {own}")
    return getattr(importlib.import_module(PARTS[kind]), kind).from_pretrained(folder).eval()


def longer(geometry: Geometry, margin: int) -> Geometry:
    """A clip with `margin` frames before it and after."""
    return replace(geometry, num_frames=geometry.num_frames + 2 * margin)


def middle(geometry: Geometry, margin: int, codecs: AV) -> CropWindow:
    """Where a clip's latents lie in those of its longer crop; of sound, to the nearest step.

    Raises:
        ValueError: the codecs do not fit the geometry, or the frame codec joins frames in time.
    """
    shapes = codecs.map(lambda codec: codec.latent_shape(geometry))
    around = codecs.map(lambda codec: codec.latent_shape(longer(geometry, margin)))
    if shapes.video[1] != geometry.num_frames:
        raise ValueError(
            f"{geometry.num_frames} frames have {shapes.video[1]} latent frames: CMMD needs a codec of single frames"
        )
    hops = Fraction(geometry.sample_rate, codecs.audio.log_mel.hop)
    start = AV(margin, count(duration(margin, geometry.fps), hops))
    length = AV(shapes.video[1], shapes.audio[1])
    assert all(s + n <= a[1] for s, n, a in zip(start, length, around, strict=True))
    return CropWindow(start, length, AV(geometry.fps, hops))


def middle_clip(crop: Clip, geometry: Geometry, margin: int) -> Clip:
    """The clip itself out of its longer crop."""
    assert crop.frames is not None
    assert crop.waveform is not None
    begin = duration(margin, geometry.fps)
    first = count(begin, geometry.sample_rate)
    events = tuple(t - float(begin) for t in crop.events if begin <= t < begin + geometry.seconds)
    return replace(
        crop,
        frames=crop.frames[margin : margin + geometry.num_frames],
        waveform=crop.waveform[:, first : first + geometry.num_samples],
        events=events,
    )


def network(recipe: CMMDRecipe, codecs: AV) -> CMMD:
    """The network that fits the codecs."""
    channels, bins = (codecs.audio.latent_shape(recipe.geometry)[i] for i in (0, 2))
    with seeded_init(recipe.training.seed):
        return CMMD(video=codecs.video.latent_shape(recipe.geometry)[0], audio=(channels, bins), **asdict(recipe.network))


def objective(regression: Regression, contrast: Contrast, inner: CropWindow) -> MultiTaskObjective | ContrastiveObjective:
    """What is regressed of both streams at one time (CMMD, eq. 4), and for eta above 0 the contrastive loss (eq. 9)."""
    law = Uniform(1000) if regression.law == "table" else LogitNormal(regression.mean, regression.std)
    plain = MultiTaskObjective(schedule=AV(SCHEDULE, SCHEDULE), predict=regression.predict, tasks={Task.JOINT: 1.0}, law=AV(law, law))
    if not contrast.eta:
        return plain
    return ContrastiveObjective(
        plain=plain,
        middle=inner,
        kinds={kind: getattr(contrast, kind) for kind in NEGATIVE_KINDS if getattr(contrast, kind)},
        seconds=(contrast.least, contrast.most),
        count=contrast.count,
        eta=contrast.eta,
    )


def assembled(recipe: CMMDRecipe, network: nn.Module, codecs: AV) -> SoundingVideoPipeline:
    """The pipeline of a network with the recipe's ways of sampling: no words, given streams noised along."""
    sampling = recipe.sampling
    return SoundingVideoPipeline(
        network,
        *codecs,
        geometry=recipe.geometry,
        schedule=AV(SCHEDULE, SCHEDULE),
        predict=recipe.regression.predict,
        step=sampling.step,
        options={"num_inference_steps": sampling.steps, "reconstruction_scale": sampling.reconstruction},
        system="cmmd",
        conditioning="replaced",
    )
