"""Train CMMD: cache the latents of clips with a margin, train the U-Nets, and save a pipeline."""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from sonovid.codecs.audio import IdentityMel
from sonovid.codecs.mel import LogMel
from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.vocoder import GriffinLim
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.data import clips
from sonovid.diffusion.contrastive import NEGATIVE_KINDS, ContrastiveObjective, CropWindow
from sonovid.diffusion.objective import MultiTaskObjective
from sonovid.diffusion.schedule import Cosine
from sonovid.models.cmmd.unet import CMMD
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components, configs
from sonovid.recipes.cmmd.config import CMMDConfig, CodecConfig, ContrastiveConfig, ObjectiveConfig
from sonovid.recipes.cmmd.crops import add_margin, find_window, remove_margin
from sonovid.recipes.latent_cache import open_latents
from sonovid.recipes.latent_data import LatentData, encode_clips
from sonovid.recipes.latent_training import timestep_distribution, train_on_latents
from sonovid.training.seeding import seeded_init

log = logging.getLogger(__name__)

OFFSET = 0.008


def run(recipe: CMMDConfig, recorded: dict[str, Any]) -> Path:
    """Train CMMD, or nCMMD where the weight of the contrastive loss is 0.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the pipeline.
    """
    if recipe.contrast.eta and recipe.resume is None:
        log.warning("the contrastive loss without a checkpoint: the paper resumes from a plain training, resume=FOLDER")
    codecs = AV(load_video_codec(recipe.codecs), build_audio_codec(recipe.codecs, recipe.geometry.sample_rate))
    crop_geometry = add_margin(recipe.geometry, recipe.contrast.margin)
    window = find_window(recipe.geometry, recipe.contrast.margin, codecs)
    model, objective = build_network(recipe, codecs), build_objective(recipe.regression, recipe.contrast, window)
    device, codec = components.training_device(), SeparateCodecs(*codecs)
    components.move_codec(codec, device)
    encode = partial(encode_clips, codec=codec, device=device, precision=recipe.data.precision)
    key = (*components.encoder_key(codec), recipe.data.precision)
    training, held_out, windows = open_latents(recipe.data, crop_geometry, Path(recipe.out), encode, *key)
    for stream_codec, name in zip(codecs, AV._fields, strict=True):
        components.set_whitening(stream_codec, training.statistics.get(name))
    # The contrastive objective takes whole crops and cuts its pairs itself; the plain one only takes the clip.
    crop = None if isinstance(objective, ContrastiveObjective) else window

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return build_pipeline(recipe, network, codecs)

    def load_clip(one: clips.Window) -> Clip:
        return remove_margin(clips.load_clip(one, crop_geometry), recipe.geometry, recipe.contrast.margin)

    weights = {"audio": recipe.regression.audio_weight, **getattr(objective, "weights", {})}
    data = LatentData(training, held_out, windows, codec, load_clip, crop=crop)
    return train_on_latents(recipe, recorded, model, objective, data, pipeline, weights)


def load_video_codec(config: CodecConfig) -> Any:
    """Load the frame codec that a recipe names.

    Raises:
        ValueError: the recipe names none, or the source is no video codec.
    """
    return components.load_video_codec(configs.CodecConfig(video=config.video))


def build_audio_codec(config: CodecConfig, sample_rate: int) -> SpectrogramCodec:
    """Build the audio codec, whose latents are the mel spectrogram, with the recipe's vocoder.

    Its latents are scaled to [-1, 1] if the recipe names a range, and else not yet whitened.

    Raises:
        ValueError: there is no vocoder in the folder, it was made for another spectrogram, or the range is none.
    """
    if (config.low is None) != (config.high is None):
        raise ValueError(f"codecs.low={config.low}, codecs.high={config.high}: give both ends of the range, or neither")
    mel = config.mel
    log_mel = LogMel(sample_rate, mel.bins, mel.n_fft, mel.n_fft, mel.hop, 0.0, sample_rate / 2, mel.floor, partial=True)
    vocoder: Any = components.load_vocoder(config.vocoder, log_mel) if config.vocoder else GriffinLim(log_mel)
    codec = SpectrogramCodec(IdentityMel(mel.bins), vocoder, log_mel).eval()
    if config.low is not None and config.high is not None:
        if config.low >= config.high:
            raise ValueError(f"codecs.low={config.low}, codecs.high={config.high}: expected the lower end first")
        codec.latents_mean, codec.latents_std = [(config.high + config.low) / 2], [(config.high - config.low) / 2]
    return codec


def build_network(recipe: CMMDConfig, codecs: AV) -> CMMD:
    """Build the network for the latents of a pair of codecs."""
    channels, bins = (codecs.audio.latent_shape(recipe.geometry)[i] for i in (0, 2))
    with seeded_init(recipe.training.seed):
        return CMMD(video=codecs.video.latent_shape(recipe.geometry)[0], audio=(channels, bins), **asdict(recipe.network))


def build_schedule(config: ObjectiveConfig) -> AV:
    """Build the noise schedules of both streams."""
    return AV(Cosine(OFFSET), Cosine(OFFSET, config.audio_signal))


def build_objective(
    config: ObjectiveConfig, contrastive: ContrastiveConfig, window: CropWindow
) -> MultiTaskObjective | ContrastiveObjective:
    """Build the objective: both streams at one timestep (CMMD, Eq. 4), and for eta > 0 the contrastive loss (Eq. 9).

    Args:
        config: the diffusion objective.
        contrastive: the contrastive loss.
        window: the window of a clip's latents within those of its crop.
    """
    distribution = timestep_distribution(config.law, config.mean, config.std)
    plain = MultiTaskObjective(
        schedule=build_schedule(config),
        predict=config.predict,
        tasks={Task.JOINT: 1.0},
        time_distribution=AV(distribution, distribution),
    )
    if not contrastive.eta:
        return plain
    return ContrastiveObjective(
        base=plain,
        window=window,
        kinds={kind: getattr(contrastive, kind) for kind in NEGATIVE_KINDS if getattr(contrastive, kind)},
        shift_seconds=(contrastive.least, contrastive.most),
        count=contrastive.count,
        eta=contrastive.eta,
    )


def build_pipeline(recipe: CMMDConfig, network: nn.Module, codecs: AV) -> SoundingVideoPipeline:
    """Build the pipeline of a network, with the recipe's sampling options: without text, conditioning streams are noised."""
    sampling = recipe.sampling
    return SoundingVideoPipeline(
        network,
        *codecs,
        geometry=recipe.geometry,
        schedule=build_schedule(recipe.regression),
        predict=recipe.regression.predict,
        step=sampling.step,
        options={"num_inference_steps": sampling.steps, "reconstruction_scale": sampling.reconstruction},
        system="cmmd",
        conditioning="replaced",
    )
