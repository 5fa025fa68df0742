"""Parts that a training takes over: codecs and text encoders, from this library's folders, model folders or repositories."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from sonovid.codecs.audio import MelAutoencoder
from sonovid.codecs.base import PairCodec
from sonovid.codecs.hierarchical import HierarchicalAutoencoder
from sonovid.codecs.mel import LogMel
from sonovid.codecs.open_sora import OpenSoraVideo, is_released
from sonovid.codecs.pretrained import PretrainedVideo, load_audioldm
from sonovid.codecs.separate import SeparateCodecs
from sonovid.codecs.spacetime import VideoAutoencoder
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.codecs.text import HashedText, PretrainedText
from sonovid.codecs.video import FrameAutoencoder
from sonovid.codecs.vocoder import SpectralVocoder
from sonovid.pipelines import loading as folders
from sonovid.pipelines import packaged as shipped
from sonovid.recipes import latent_cache as caching
from sonovid.recipes import requirements as needs
from sonovid.recipes.codec import Mel
from sonovid.recipes.uniform import Codecs
from sonovid.training.loop import seeded_init

TINY = "tiny"
OPEN_SORA = "hpcai-tech/OpenSora-VAE-v1.2"


def video_codec(codecs: Codecs) -> Any:
    """The video codec that a recipe names.

    Raises:
        ValueError: it names none, or what it names is no video codec.
    """
    if codecs.video == TINY:
        with seeded_init(0):
            return FrameAutoencoder(widths=(16, 16), blocks=1).eval()
    folder = _component(codecs.video, "video_codec")
    if folder is None and codecs.video != OPEN_SORA:
        source, subfolder = needs.holding("codecs.video", codecs.video)
        return PretrainedVideo.from_pretrained(source, subfolder=subfolder or None).eval()
    # Open-Sora's settings name no class of diffusers, so that its repository is fetched whole.
    folder = folders.locate(codecs.video) if folder is None else folder
    if (folder / "vae" / "config.json").is_file():
        return PretrainedVideo.from_pretrained(folder / "vae").eval()
    if is_released(_config(folder)):
        return OpenSoraVideo.from_released(folder)
    kinds: dict[str, Any] = {one.__name__: one for one in (FrameAutoencoder, VideoAutoencoder, OpenSoraVideo)}
    return kinds.get(_class_name(folder), PretrainedVideo).from_pretrained(folder).eval()


def audio_codec(codecs: Codecs) -> Any:
    """The audio codec that a recipe names: a whole one, or a mel autoencoder with the vocoder of `codecs.vocoder`.

    Raises:
        ValueError: it names none, or what it names is no audio codec.
    """
    if codecs.audio == TINY:
        with seeded_init(0):
            parts = MelAutoencoder(width=32, blocks=1), SpectralVocoder(width=32, depth=1)
        return SpectrogramCodec(*parts, log_mel(Mel(), 16000)).eval()
    folder = _component(codecs.audio, "audio_codec")
    if folder is None or ((folder / "vocoder" / "config.json").is_file() and not (folder / "config.json").is_file()):
        return load_audioldm(folder or codecs.audio).eval()
    if _class_name(folder) == MelAutoencoder.__name__:
        if not codecs.vocoder:
            raise ValueError(f"codecs.audio={codecs.audio}: a mel autoencoder alone; name a vocoder by codecs.vocoder=FOLDER")
        vocoder = SpectralVocoder.from_pretrained(codecs.vocoder, use_safetensors=True)
        return SpectrogramCodec(MelAutoencoder.from_pretrained(folder, use_safetensors=True), vocoder, trained_mel(folder)).eval()
    return SpectrogramCodec.from_pretrained(folder).eval()


def text_encoder(codecs: Codecs) -> Any:
    """The text encoder that a recipe names."""
    if codecs.text == "hashed":
        return HashedText(codecs.text_width, codecs.text_words)
    return released_text("codecs.text", codecs.text, max_words=codecs.text_words)


def released_text(key: str, source: str, **options: Any) -> PretrainedText:
    """A released text encoder: alone in a folder or repository, or that of a pipeline, whose tokenizer lies beside it.

    source: FOLDER, OWNER/NAME, or OWNER/NAME:SUBFOLDER; a subfolder text_encoder_2 has its tokenizer in tokenizer_2.

    Raises:
        ValueError: it cannot be had.
    """
    place, subfolder = needs.holding(key, source)
    folder = Path(place).expanduser()
    if not subfolder and folder.is_dir() and folder.name.startswith("text_encoder"):
        # A pipeline's own part, named by its whole path.
        place, subfolder = str(folder.parent), folder.name
    tokenizer = subfolder.replace("text_encoder", "tokenizer")
    return PretrainedText.from_pretrained(place, subfolder=subfolder, tokenizer_subfolder=tokenizer, **options)


def log_mel(mel: Mel, sample_rate: int) -> LogMel:
    """The spectrogram of a codec's recipe."""
    return LogMel(sample_rate, mel.bins, mel.n_fft, mel.n_fft, mel.hop, 0.0, sample_rate / 2, mel.floor)


def trained_mel(folder: Path) -> LogMel:
    """The spectrogram that a mel autoencoder or a vocoder was trained on, from the recipe beside its weights.

    Raises:
        ValueError: there is none.
    """
    path = Path(folder) / "recipe.json"
    if not path.is_file():
        raise ValueError(
            f"{folder}: no recipe.json beside the weights, so its spectrogram is unknown; take a folder that training left"
        )
    recipe = json.loads(path.read_text())
    return log_mel(Mel(**recipe["mel"]), recipe["geometry"]["sample_rate"])


def _component(source: str, name: str) -> Path | None:
    """The folder of one codec: that of a model folder's component, or the one named itself; None: a repository of the Hub."""
    if not source:
        raise ValueError(
            f"codecs.{name.split('_')[0]} is empty: name a codec's folder, a model's folder, a repository or 'shipped'"
        )
    if source != shipped.NAME and not Path(source).is_dir():
        if source.count("/") == 1 and not source.startswith((".", "/", "~")):
            return None
        raise ValueError(f"codecs.{name.split('_')[0]}={source}: no such folder")
    folder = folders.locate(source)
    return folder / name if (folder / folders.INDEX).is_file() and (folder / name).is_dir() else folder


def _class_name(folder: Path) -> str:
    return _config(folder).get("_class_name", "")


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no config.json of a codec there")
    return json.loads(path.read_text())


def move(codec: PairCodec, device: torch.device) -> None:
    """Put a codec of the pair on a device."""
    for one in codec.codecs if isinstance(codec, SeparateCodecs) else (codec,):
        cast(Any, one).to(device)


def what_encodes(codec: PairCodec) -> tuple[Any, ...]:
    """What of a codec decides its raw latents, for the key of a cache: another vocoder or signal decoder gives the same ones."""
    if isinstance(codec, SeparateCodecs):
        return codec.video_codec, codec.audio_codec.autoencoder, codec.audio_codec.log_mel.to_config()
    assert isinstance(codec, HierarchicalAutoencoder)
    return codec.frame_codec, codec.network.encoders, codec.log_mel.to_config(), asdict(codec.picture)


def whiten_by(codec: Any, statistics: dict[str, list[float]] | None) -> None:
    """Give a codec that has no whitening the one of its latents' statistics; a released codec keeps its own."""
    if statistics is None:
        return
    values = {"latents_mean": statistics["mean"], "latents_std": statistics["std"]}
    if isinstance(codec, FrameAutoencoder | VideoAutoencoder):
        if len(codec.config.latents_std) == 1:
            codec.register_to_config(**values)
    elif isinstance(codec, SpectrogramCodec) and codec.latents_std == [1.0]:
        codec.latents_mean, codec.latents_std = values["latents_mean"], values["latents_std"]


caches = caching.caches
