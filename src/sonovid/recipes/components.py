"""Load the components that trainings use: codecs, vocoders and text encoders, by the sources that recipes name."""

import importlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.audio_image import AudioImage
from sonovid.codecs.base import PairCodec
from sonovid.codecs.hierarchical import HierarchicalAutoencoder
from sonovid.codecs.mel import LogMel
from sonovid.codecs.open_sora import OpenSoraVideo, is_released_config
from sonovid.codecs.pretrained import HifiGanVocoder, PretrainedVideo, load_audioldm
from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.codecs.spectrogram import PARTS, SpectrogramCodec
from sonovid.codecs.text import HashedText, PretrainedText
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import GriffinLim, SpectralVocoder
from sonovid.core.geometry import Geometry
from sonovid.pipelines import loading, packaged
from sonovid.recipes.configs import AudioImageConfig, CodecConfig, MelConfig
from sonovid.recipes.requirements import locate_source
from sonovid.training.seeding import seeded_init

TINY = "tiny"
GRIFFIN_LIM = "griffin-lim"
# Fewer iterations raise the distance of reconstructed sounds to true ones (docs/training-log.md).
GRIFFIN_LIM_ITERATIONS = 128
OPEN_SORA = "hpcai-tech/OpenSora-VAE-v1.2"
# "shipped" named the packaged model when it was the small one.
FORMER_SOURCES = {"shipped": packaged.SMALL}
VOCODERS = ("SpectralVocoder", "MelGAN", "GriffinLim", "HifiGanVocoder")


def load_video_codec(config: CodecConfig) -> Any:
    """Load the video codec that a recipe names.

    Raises:
        ValueError: the recipe names none, or the source is no video codec.
    """
    if config.video == TINY:
        with seeded_init(0):
            return FrameAutoencoder(widths=(16, 16), blocks=1).eval()
    folder = _codec_folder(config.video, "video_codec")
    if folder is None and config.video != OPEN_SORA:
        source, subfolder = locate_source("codecs.video", config.video)
        return PretrainedVideo.from_pretrained(source, subfolder=subfolder or None).eval()
    # Open-Sora's config names no class of diffusers. The whole repository is downloaded, and its config examined below.
    folder = loading.locate(config.video) if folder is None else folder
    if (folder / "vae" / "config.json").is_file():
        return PretrainedVideo.from_pretrained(folder / "vae").eval()
    if is_released_config(_read_config(folder)):
        return OpenSoraVideo.from_released(folder)
    kinds: dict[str, Any] = {one.__name__: one for one in (FrameAutoencoder, VideoAutoencoder, OpenSoraVideo)}
    return kinds.get(_class_name(folder), PretrainedVideo).from_pretrained(folder).eval()


def load_audio_codec(config: CodecConfig) -> Any:
    """Load the audio codec that a recipe names: a whole codec, or a mel autoencoder and the vocoder of `codecs.vocoder`.

    Raises:
        ValueError: the recipe names none, or the source is no audio codec.
    """
    if config.audio == TINY:
        with seeded_init(0):
            parts = MelAutoencoder(width=32, blocks=1), SpectralVocoder(width=32, depth=1)
        return SpectrogramCodec(*parts, build_log_mel(MelConfig(), 16000)).eval()
    folder = _codec_folder(config.audio, "audio_codec")
    if folder is None or ((folder / "vocoder" / "config.json").is_file() and not (folder / "config.json").is_file()):
        return load_audioldm(folder or config.audio).eval()
    if _class_name(folder) == MelAutoencoder.__name__:
        if not config.vocoder:
            raise ValueError(
                f"codecs.audio={config.audio}: a mel autoencoder without a vocoder; name a vocoder by codecs.vocoder=FOLDER, "
                f"or codecs.vocoder={GRIFFIN_LIM}"
            )
        log_mel = read_log_mel(folder)
        autoencoder = MelAutoencoder.from_pretrained(folder, use_safetensors=True)
        return SpectrogramCodec(autoencoder, load_vocoder(config.vocoder, log_mel), log_mel).eval()
    return SpectrogramCodec.from_pretrained(folder).eval()


def load_vocoder(source: str | Path, log_mel: LogMel, key: str = "codecs.vocoder") -> Any:
    """Load a vocoder of this package, or a HiFi-GAN as transformers saves it, alone or in a pipeline's vocoder/.

    Args:
        source: "uniform", the vocoder of this packaged model, "griffin-lim", or the folder of a vocoder.
        log_mel: the spectrogram that the vocoder must be made for.
        key: the recipe's key, for error messages.

    Raises:
        ValueError: there is no vocoder, or it was made for another spectrogram.
    """
    if source == GRIFFIN_LIM:
        return GriffinLim(log_mel, GRIFFIN_LIM_ITERATIONS).eval()
    source = FORMER_SOURCES.get(str(source), source)
    if packaged.is_packaged(source):
        codec = SpectrogramCodec.from_pretrained(packaged.folder(source) / "audio_codec")
        names = ("sample_rate", "bins", "n_fft", "hop", "low", "high", "floor")
        _check_spectrogram({name: getattr(codec.log_mel, name) for name in names}, log_mel, f"{key}={source}")
        return codec.vocoder.eval()
    folder = Path(source)
    folder = folder / "vocoder" if (folder / "vocoder" / "config.json").is_file() else folder
    path = folder / "config.json"
    config = json.loads(path.read_text()) if path.is_file() else {}
    is_hifi_gan = "SpeechT5HifiGan" in (config.get("architectures") or ())
    kind = HifiGanVocoder.__name__ if is_hifi_gan else config.get("_class_name", "")
    if kind not in VOCODERS:
        raise ValueError(f"{key}={folder}: no vocoder there; expected a folder of {', '.join(VOCODERS)} or SpeechT5HifiGan")
    if (folder / "recipe.json").is_file():
        trained = read_log_mel(folder)
        made_for = {name: getattr(trained, name) for name in ("sample_rate", "bins", "n_fft", "hop")}
    elif is_hifi_gan:
        hop = math.prod(config["upsample_rates"])
        made_for = {"sample_rate": config["sampling_rate"], "bins": config["model_in_dim"], "hop": hop}
    else:
        made_for = {}
    _check_spectrogram(made_for, log_mel, f"{key}={folder}")
    return getattr(importlib.import_module(PARTS[kind]), kind).from_pretrained(folder).eval()


def _check_spectrogram(made_for: dict[str, Any], log_mel: LogMel, where: str) -> None:
    """Check that a vocoder was made for a spectrogram.

    Args:
        made_for: what is known of the vocoder's own spectrogram, by the names of the attributes of `LogMel`.
        log_mel: the recipe's spectrogram.
        where: key and source of the vocoder, for the error message.

    Raises:
        ValueError: the spectrograms differ.
    """
    if differing := [f"{name} {value}" for name, value in made_for.items() if value != getattr(log_mel, name)]:
        own = ", ".join(f"{name} {getattr(log_mel, name)}" for name in made_for)
        raise ValueError(f"{where}: made for a spectrogram of {', '.join(differing)}; the recipe's has {own}")


def load_text_encoder(config: CodecConfig) -> Any:
    """Load the text encoder that a recipe names."""
    if config.text == "hashed":
        return HashedText(config.text_width, config.text_words)
    return load_pretrained_text("codecs.text", config.text, max_words=config.text_words)


def load_pretrained_text(key: str, source: str, **options: Any) -> PretrainedText:
    """Load a released text encoder, alone in a folder or repository, or the one of a pipeline with its tokenizer beside it.

    Args:
        key: the recipe's key, for error messages.
        source: a folder, OWNER/NAME, or OWNER/NAME:SUBFOLDER. The tokenizer of a subfolder text_encoder_2 is in tokenizer_2.
        options: options of `PretrainedText.from_pretrained`.

    Raises:
        ValueError: the source cannot be loaded.
    """
    place, subfolder = locate_source(key, source)
    folder = Path(place).expanduser()
    if not subfolder and folder.is_dir() and folder.name.startswith("text_encoder"):
        # The text encoder's own folder within a pipeline.
        place, subfolder = str(folder.parent), folder.name
    tokenizer = subfolder.replace("text_encoder", "tokenizer")
    return PretrainedText.from_pretrained(place, subfolder=subfolder, tokenizer_subfolder=tokenizer, **options)


def build_log_mel(mel: MelConfig, sample_rate: int) -> LogMel:
    """Build the spectrogram of a codec's recipe."""
    return LogMel(sample_rate, mel.bins, mel.n_fft, mel.n_fft, mel.hop, 0.0, sample_rate / 2, mel.floor)


def build_audio_image(config: AudioImageConfig, geometry: Geometry) -> tuple[LogMel, AudioImage]:
    """Build the spectrogram and the audio image of a recipe, by default at the size of its frames."""
    rate = config.rate or geometry.sample_rate
    top = config.top or rate / 2
    mel = LogMel(rate, config.bins, config.n_fft, config.n_fft, config.hop, 0.0, top, config.floor, partial=True)
    return mel, AudioImage(config.height or geometry.height, config.width or geometry.width, config.low, config.high)


def read_log_mel(folder: Path) -> LogMel:
    """Read the spectrogram that a mel autoencoder or a vocoder was trained on, from the recipe.json beside its weights.

    Raises:
        ValueError: there is no recipe.json.
    """
    path = Path(folder) / "recipe.json"
    if not path.is_file():
        raise ValueError(
            f"{folder}: no recipe.json beside the weights, so its spectrogram is unknown; name a folder that a training saved"
        )
    recipe = json.loads(path.read_text())
    return build_log_mel(MelConfig(**recipe["mel"]), recipe["geometry"]["sample_rate"])


def _codec_folder(source: str, component: str) -> Path | None:
    """The folder of one codec: the source itself, or its component if it is a model folder; None for a repository of the Hub."""
    if not source:
        raise ValueError(
            f"codecs.{component.split('_')[0]} is empty: name a codec's folder, a model folder, a repository or 'uniform'"
        )
    source = FORMER_SOURCES.get(source, source)
    if not packaged.is_packaged(source) and not Path(source).is_dir():
        if source.count("/") == 1 and not source.startswith((".", "/", "~")):
            return None
        raise ValueError(f"codecs.{component.split('_')[0]}={source}: no such folder")
    folder = loading.locate(source)
    place = packaged.component_folder(folder, component)
    return place if (folder / loading.INDEX).is_file() and place.is_dir() else folder


def _class_name(folder: Path) -> str:
    return _read_config(folder).get("_class_name", "")


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no config.json of a codec there")
    return json.loads(path.read_text())


def training_device() -> torch.device:
    """The device that this process encodes and trains on: a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def move_codec(codec: PairCodec, device: torch.device) -> None:
    """Move a pair codec to a device."""
    for one in codec.codecs if isinstance(codec, SeparateCodecs) else (codec,):
        cast(Any, one).to(device)


def encoder_key(codec: PairCodec) -> tuple[Any, ...]:
    """The parts of a codec that its raw latents depend on, for the key of a cache. Vocoders and decoders are not among them."""
    if isinstance(codec, SeparateCodecs):
        if isinstance(codec.audio_codec, SpectrogramCodec):
            return codec.video_codec, codec.audio_codec.autoencoder, codec.audio_codec.log_mel.to_config()
        return codec.video_codec, codec.audio_codec
    assert isinstance(codec, HierarchicalAutoencoder)
    return codec.frame_codec, codec.network.encoders, codec.log_mel.to_config(), asdict(codec.picture)


def set_whitening(codec: Any, statistics: dict[str, list[float]] | None) -> None:
    """Whiten a codec's latents by their statistics, unless it has a whitening already, as released codecs do.

    Args:
        codec: a codec of one stream.
        statistics: "mean" and "std" of each latent channel; None leaves the codec as it is.
    """
    if statistics is None:
        return
    values = {"latents_mean": statistics["mean"], "latents_std": statistics["std"]}
    if isinstance(codec, FrameAutoencoder | VideoAutoencoder):
        if len(codec.config.latents_std) == 1:
            codec.register_to_config(**values)
    elif isinstance(codec, SpectrogramCodec) and codec.latents_std == [1.0]:
        codec.latents_mean, codec.latents_std = values["latents_mean"], values["latents_std"]
