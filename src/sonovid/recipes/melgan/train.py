"""Train the improved MelGAN vocoder and its discriminators on unencoded audio, and save the vocoder."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from sonovid.codecs.melgan import MelGAN
from sonovid.core.av import AV
from sonovid.data import latents
from sonovid.recipes.clip_batches import UNENCODED, Segments, audio_batches, job_data, stack_clips
from sonovid.recipes.components import build_log_mel
from sonovid.recipes.latent_cache import open_latents
from sonovid.recipes.melgan.config import MelGANConfig
from sonovid.recipes.sample_files import NUM_SAMPLES, write_audio, write_figures, write_spectrograms
from sonovid.training.job import Job
from sonovid.training.loop import train
from sonovid.training.melgan import MelGANObjective, WaveformDiscriminator
from sonovid.training.reconstruction import multi_resolution_stft_loss
from sonovid.training.seeding import seeded_init


def run(recipe: MelGANConfig, recorded: dict[str, Any]) -> Path:
    """Train the vocoder.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the vocoder.

    Raises:
        ValueError: sizes of the recipe do not fit each other, or the data has no audio.
    """
    check_sizes(recipe)
    out = Path(recipe.out)
    opened = open_latents(recipe.data, recipe.geometry, out, stack_clips, UNENCODED, (False, True), streams=AV(False, True))
    training, held_out, _ = opened
    return train(build_job(recipe, training, held_out or training, recorded), out, resume=recipe.resume)


def check_sizes(recipe: MelGANConfig) -> None:
    """Check that the recipe's sizes fit each other.

    Raises:
        ValueError: they do not.
    """
    hop, ratios = recipe.mel.hop, recipe.network.ratios
    if math.prod(ratios) != hop:
        raise ValueError(f"network.ratios={','.join(map(str, ratios))}: their product must be mel.hop={hop}")
    if recipe.samples < recipe.mel.n_fft or recipe.samples % hop:
        raise ValueError(
            f"samples={recipe.samples}: expected a multiple of mel.hop={hop}, no less than mel.n_fft={recipe.mel.n_fft}"
        )
    if recipe.samples > recipe.geometry.num_samples:
        raise ValueError(
            f"samples={recipe.samples}: audio is cut to {recipe.geometry.num_samples} samples; give fewer, or more "
            "geometry.num_frames"
        )


def build_job(
    recipe: MelGANConfig, training: latents.LatentDataset, held_out: latents.LatentDataset, recorded: dict[str, Any]
) -> Job:
    """The training of the vocoder."""
    log_mel, sample_rate = build_log_mel(recipe.mel, recipe.geometry.sample_rate), recipe.geometry.sample_rate
    segments = [Segments(cache, 1, recipe.samples, recipe.geometry.num_samples) for cache in (training, held_out)]
    config, judge = recipe.network, recipe.judge
    with seeded_init(recipe.training.seed):
        model = MelGAN(recipe.mel.bins, config.ratios, config.width, config.blocks)
        discriminator = WaveformDiscriminator(judge.width, widest=judge.widest) if judge.on else None
    if recipe.start:
        trained = MelGAN.from_pretrained(recipe.start, use_safetensors=True)
        try:
            model.load_state_dict(trained.state_dict())
        except RuntimeError:
            raise ValueError(f"start={recipe.start}: holds a vocoder of another size than this recipe's") from None
    samples = audio_batches(segments[1])(range(min(NUM_SAMPLES, len(segments[1]))))["waveform"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = samples.to(model.device)
        mel = log_mel(true)
        generated = model(mel).float()
        generated_mel = log_mel(generated)
        distance = float(multi_resolution_stft_loss(generated, true).mean())
        write_figures(folder, mel_error=float((generated_mel - mel).abs().mean()), spectral_distance=distance)
        write_spectrograms(folder / "mel.png", mel, generated_mel)
        write_audio(folder, sample_rate, true=true, made=generated)
        log_audio(folder.parent.parent / "tensorboard", step, {"true": true, "made": generated}, sample_rate)

    return Job(
        model=model,
        objective=MelGANObjective(log_mel, discriminator, **asdict(recipe.losses)),
        **job_data(audio_batches, *segments),
        config=recipe.training,
        adversary=discriminator,
        sample=sample,
        recipe=recorded,
    )


def log_audio(folder: Path, step: int, waveforms: dict[str, Tensor], sample_rate: int) -> None:
    """Write audio to TensorBoard, if it is installed.

    Args:
        folder: folder of the run's event files.
        step: the training step.
        waveforms: by name, [b n] in [-1, 1]; the first four of each are written.
        sample_rate: their sample rate.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    with SummaryWriter(str(folder)) as writer:
        for name, waveform in waveforms.items():
            for i, one in enumerate(waveform[:4]):
                writer.add_audio(f"{name}/{i}", one[None].clamp(-1, 1).cpu(), step, sample_rate=sample_rate)
