"""Train the small codecs on unencoded clips, and save them."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.mel import LogMel
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.core.av import AV
from sonovid.core.geometry import count
from sonovid.data import latents
from sonovid.recipes.clip_batches import UNENCODED, Segments, audio_batches, frame_batches, job_data, stack_clips
from sonovid.recipes.codec.config import FrameCodecConfig, MelCodecConfig, VideoCodecConfig, VocoderConfig
from sonovid.recipes.components import build_log_mel, read_log_mel, training_device
from sonovid.recipes.latent_cache import open_latents
from sonovid.recipes.sample_files import NUM_SAMPLES, write_audio, write_figures, write_frames, write_spectrograms
from sonovid.training.job import Job
from sonovid.training.loop import train
from sonovid.training.reconstruction import (
    FrameReconstruction,
    MelReconstruction,
    SpectrogramDiscriminator,
    VideoReconstruction,
    VocoderObjective,
    psnr,
    psnr_moving,
)
from sonovid.training.seeding import seeded_init

Recipe = FrameCodecConfig | VideoCodecConfig | MelCodecConfig | VocoderConfig


def run(recipe: Recipe, recorded: dict[str, Any]) -> Path:
    """Train a codec.

    Args:
        recipe: the config, whose class decides which codec is trained.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the codec.

    Raises:
        ValueError: the decoder alone is to be trained, and no autoencoder is named.
    """
    if isinstance(recipe, VideoCodecConfig) and recipe.decoder_only and not recipe.initial:
        raise ValueError("decoder_only=true: name the trained autoencoder, initial=FOLDER")
    out = Path(recipe.out)
    streams = AV(True, False) if isinstance(recipe, FrameCodecConfig | VideoCodecConfig) else AV(False, True)
    opened = open_latents(recipe.data, recipe.geometry, out, stack_clips, UNENCODED, tuple(streams), streams=streams)
    training, held_out, _ = opened
    jobs: dict[type, Callable[..., Job]] = {
        FrameCodecConfig: frame_job,
        VideoCodecConfig: video_job,
        MelCodecConfig: mel_job,
        VocoderConfig: vocoder_job,
    }
    job = jobs[type(recipe)](recipe, training, held_out or training, recorded)
    return train(job, out, resume=recipe.resume)


def frame_job(
    recipe: FrameCodecConfig, training: latents.LatentDataset, held_out: latents.LatentDataset, recorded: dict[str, Any]
) -> Job:
    """The training of the frame autoencoder."""
    segments = [Segments(cache, 0, recipe.frames, recipe.geometry.num_frames) for cache in (training, held_out)]
    with seeded_init(recipe.training.seed):
        model = FrameAutoencoder(**asdict(recipe.network))
    model.latent_shape(recipe.geometry)
    samples = frame_batches(segments[1])(range(min(NUM_SAMPLES, len(segments[1]))))["frames"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = samples.to(model.device)
        decoded = model.decode(model.encode(true)).float().clamp(-1, 1)
        write_figures(folder, psnr=float(psnr(decoded, true).mean()))
        write_frames(folder / "frames.png", true[:, :, 0], decoded[:, :, 0])

    return Job(
        model=model,
        objective=FrameReconstruction(recipe.kl, recipe.edge),
        **job_data(frame_batches, *segments),
        config=recipe.training,
        sample=sample,
        recipe=recorded,
    )


def video_job(
    recipe: VideoCodecConfig, training: latents.LatentDataset, held_out: latents.LatentDataset, recorded: dict[str, Any]
) -> Job:
    """The training of the video autoencoder."""
    if recipe.frames % VideoAutoencoder.time_factor or recipe.frames > recipe.geometry.num_frames:
        raise ValueError(
            f"frames={recipe.frames}: expected a multiple of {VideoAutoencoder.time_factor}, at most {recipe.geometry.num_frames}"
        )
    segments = [Segments(cache, 0, recipe.frames, recipe.geometry.num_frames) for cache in (training, held_out)]
    if recipe.initial:
        model = VideoAutoencoder.from_pretrained(recipe.initial, use_safetensors=True)
    else:
        with seeded_init(recipe.training.seed):
            model = VideoAutoencoder(**asdict(recipe.network))
    model.latent_shape(recipe.geometry)
    model.encoder.requires_grad_(not recipe.decoder_only)
    samples = frame_batches(segments[1])(range(min(NUM_SAMPLES, len(segments[1]))))["frames"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = samples.to(model.device)
        decoded = model.decode(model.encode(true)).float().clamp(-1, 1)
        write_figures(folder, psnr=float(psnr(decoded, true).mean()), psnr_moving=float(psnr_moving(decoded, true)))
        middle = true.shape[2] // 2
        write_frames(folder / "frames.png", true[:, :, middle], decoded[:, :, middle])

    return Job(
        model=model,
        objective=VideoReconstruction(recipe.kl, recipe.edge, motion=recipe.motion, focus=recipe.focus, noise=recipe.noise),
        **job_data(frame_batches, *segments),
        config=recipe.training,
        sample=sample,
        recipe=recorded,
    )


def mel_job(
    recipe: MelCodecConfig, training: latents.LatentDataset, held_out: latents.LatentDataset, recorded: dict[str, Any]
) -> Job:
    """The training of the mel autoencoder."""
    log_mel = build_log_mel(recipe.mel, recipe.geometry.sample_rate)
    length = recipe.geometry.num_samples
    segments = [Segments(cache, 1, length, length) for cache in (training, held_out)]
    initial = None
    if recipe.initial:
        model = MelAutoencoder.from_pretrained(recipe.initial, use_safetensors=True)
        if model.config.bins != recipe.mel.bins:
            raise ValueError(f"initial={recipe.initial}: made for {model.config.bins} bins; set mel.bins={model.config.bins}")
        device = training_device()
        initial = copy.deepcopy(model).eval().requires_grad_(False).to(device)
    else:
        with seeded_init(recipe.training.seed):
            model = MelAutoencoder(bins=recipe.mel.bins, **asdict(recipe.network))
    model.latent_grid(log_mel.num_frames(recipe.geometry), recipe.mel.bins)
    samples = audio_batches(segments[1])(range(min(NUM_SAMPLES, len(segments[1]))))["waveform"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = log_mel(samples.to(model.device))
        decoded = model.decode(model.encode(true))
        write_figures(folder, mel_error=float((decoded - true).abs().mean()))
        write_spectrograms(folder / "mel.png", true, decoded)

    return Job(
        model=model,
        objective=MelReconstruction(log_mel, recipe.kl, recipe.rise, recipe.loud, initial, recipe.keep),
        **job_data(audio_batches, *segments),
        config=recipe.training,
        sample=sample,
        recipe=recorded,
    )


def vocoder_job(
    recipe: VocoderConfig, training: latents.LatentDataset, held_out: latents.LatentDataset, recorded: dict[str, Any]
) -> Job:
    """The training of the vocoder. If the recipe names a mel autoencoder, an audio codec of both is saved beside the vocoder."""
    log_mel = build_log_mel(recipe.mel, recipe.geometry.sample_rate)
    autoencoder = _load_mel_autoencoder(recipe, log_mel)
    # Segments are whole steps of the mel autoencoder, so that it can encode their spectrograms.
    step = recipe.mel.hop * (autoencoder.factor if autoencoder is not None else 1)
    length = _segment_length(recipe, step)
    segments = [Segments(cache, 1, length, recipe.geometry.num_samples) for cache in (training, held_out)]
    with seeded_init(recipe.training.seed):
        model = SpectralVocoder(recipe.mel.bins, recipe.mel.n_fft, recipe.mel.hop, **asdict(recipe.network))
        discriminator = SpectrogramDiscriminator() if recipe.adversary else None
    samples = audio_batches(segments[1])(range(min(NUM_SAMPLES, len(segments[1]))))["waveform"]

    def sample(model: Any, folder: Path, step: int) -> None:
        true = samples.to(model.device)
        generated = model(log_mel(true)).float()
        write_figures(folder, mel_error=float((log_mel(generated) - log_mel(true)).abs().mean()))
        write_spectrograms(folder / "mel.png", log_mel(true), log_mel(generated))
        write_audio(folder, recipe.geometry.sample_rate, true=true, made=generated)

    def export(model: Any, folder: Path) -> None:
        model.save_pretrained(folder, safe_serialization=True)
        if autoencoder is not None:
            SpectrogramCodec(autoencoder, model, log_mel).save_pretrained(folder / "audio_codec")

    return Job(
        model=model,
        objective=VocoderObjective(log_mel, discriminator, autoencoder),
        **job_data(audio_batches, *segments),
        config=recipe.training,
        adversary=discriminator,
        sample=sample,
        export=export,
        recipe=recorded,
    )


def _load_mel_autoencoder(recipe: VocoderConfig, log_mel: LogMel) -> MelAutoencoder | None:
    """The frozen mel autoencoder that a vocoder's recipe names, if any."""
    if not recipe.through:
        return None
    trained = read_log_mel(Path(recipe.through))
    if trained != log_mel:
        raise ValueError(f"through={recipe.through}: trained on {trained}, this recipe's is {log_mel}; set mel.* alike")
    device = training_device()
    return MelAutoencoder.from_pretrained(recipe.through, use_safetensors=True).eval().requires_grad_(False).to(device)


def _segment_length(recipe: VocoderConfig, step: int) -> int:
    """Length of a segment in samples: the recipe's seconds, rounded down to whole steps, at most a clip."""
    if recipe.seconds <= 0:
        raise ValueError(f"seconds={recipe.seconds}: expected a length above zero")
    wanted = min(count(recipe.seconds, recipe.geometry.sample_rate), recipe.geometry.num_samples)
    if wanted < step:
        raise ValueError(f"seconds={recipe.seconds}: a sample needs {step / recipe.geometry.sample_rate:g} s at least")
    return wanted // step * step
