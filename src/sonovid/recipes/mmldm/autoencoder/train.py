"""Train MM-LDM's autoencoder on the latents of a frozen frame codec, and save it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from sonovid import media
from sonovid.codecs.hierarchical import Decoding, Discriminator, HierarchicalAutoencoder, HierarchicalNetwork
from sonovid.codecs.hierarchical import discriminator as discriminators
from sonovid.codecs.hierarchical import network as networks
from sonovid.core.av import AV
from sonovid.core.clip import Clip
from sonovid.core.labels import ClassLabels
from sonovid.data import clips, latents
from sonovid.recipes import components
from sonovid.recipes.clip_batches import UNENCODED, stack_clips
from sonovid.recipes.configs import CodecConfig
from sonovid.recipes.latent_cache import open_latents
from sonovid.recipes.latent_data import find_classes
from sonovid.recipes.mmldm.autoencoder.config import MMLDMAutoencoderConfig
from sonovid.recipes.sample_files import write_figures, write_spectrograms
from sonovid.training.hierarchical import HierarchicalObjective
from sonovid.training.job import Job
from sonovid.training.loop import train
from sonovid.training.reconstruction import psnr
from sonovid.training.seeding import seeded_init

log = logging.getLogger(__name__)

NETWORK_CONFIGS: dict[str, Callable[..., dict[str, Any]]] = {
    "paper": networks.paper, "scenes": networks.scenes, "tiny": networks.tiny
}  # fmt: skip


def run(recipe: MMLDMAutoencoderConfig, recorded: dict[str, Any]) -> Path:
    """Train the autoencoder.

    Args:
        recipe: the config.
        recorded: the plain values that are written to recipe.json.

    Returns:
        The folder of the autoencoder.

    Raises:
        ValueError: components do not fit each other, or a label is not among the classes that the recipe names.
    """
    frame_codec = components.load_video_codec(CodecConfig(video=recipe.base.frames))
    log_mel, audio_image = components.build_audio_image(recipe.base.picture, recipe.geometry)
    vocoder = components.load_vocoder(recipe.base.vocoder, log_mel, "base.vocoder") if recipe.base.vocoder else None
    build_autoencoder = partial(
        HierarchicalAutoencoder,
        frame_codec=frame_codec,
        log_mel=log_mel,
        picture=audio_image,
        geometry=recipe.geometry,
        vocoder=vocoder,
    )
    # Encoding only needs the frame codec. The trained part is not built yet, since its classes are not known.
    with torch.device("meta"):
        unused = HierarchicalNetwork(**network_config(recipe, frame_codec, 0))
    device = components.training_device()
    frame_codec.to(device)
    encode = partial(encode_signal, autoencoder=build_autoencoder(unused), device=device)
    # Caches on disk have "perceived" in their key, so it must not change.
    key = (frame_codec, log_mel.to_config(), asdict(audio_image), "perceived")
    adversarial = bool(recipe.losses.adversarial)
    if adversarial and (audio_image.height, audio_image.width) != (recipe.geometry.height, recipe.geometry.width):
        raise ValueError(
            f"losses.adversarial={recipe.losses.adversarial}: the discriminator sees audio images beside frames, which have "
            f"another size: leave base.picture.height and base.picture.width at 0, or set losses.adversarial=0"
        )
    opened = open_latents(recipe.data, recipe.geometry, Path(recipe.out), encode, *key, last=not adversarial)
    training, held_out, windows = opened
    pixels: Sequence[latents.LatentDataset | None] = (None, None)
    if adversarial:
        pixels = open_latents(recipe.data, recipe.geometry, Path(recipe.out), stack_clips, UNENCODED, (True, True))[:2]
    classes = find_classes(training, held_out, names=recipe.network.classes) if recipe.losses.classes else None
    with seeded_init(recipe.training.seed):
        network = HierarchicalNetwork(**network_config(recipe, frame_codec, len(classes or ())))
        discriminator = Discriminator(**discriminator_config(recipe)) if adversarial else None
    if recipe.network.unet:
        network.decoder.load_unet(recipe.network.unet, subfolder="unet")
    model = build_autoencoder(network, decoding=Decoding(**asdict(recipe.decoding)))

    samples = [clips.load_clip(window, recipe.geometry) for window in windows[: recipe.shown]]

    def save(model: Any, folder: Path) -> None:
        model.save_pretrained(folder)

    job = Job(
        model=model,
        objective=HierarchicalObjective(**asdict(recipe.losses), adversary=discriminator),
        batch=SignalBatches(model, training, pixels[0], classes),
        size=len(training),
        validation=SignalBatches(model, held_out, pixels[1], classes) if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        config=recipe.training,
        adversary=discriminator,
        sample=lambda model, folder, step: write_reconstructions(model, samples, folder) if samples else None,
        export=save,
        recipe={**recorded, "classes": list(classes.names) if classes else []},
    )
    return train(job, Path(recipe.out), resume=recipe.resume)


def encode_signal(batch: list[Clip], *, autoencoder: HierarchicalAutoencoder, device: torch.device) -> AV:
    """Encode clips to the frame codec's latents of frames and audio images, in float16."""
    raw = stack_clips(batch)
    frames = raw.video.movedim(-1, 1).to(device).float() / 127.5 - 1
    return autoencoder.encode_signal(frames, raw.audio.to(device).float() / 32767).map(torch.Tensor.half)


def network_config(recipe: MMLDMAutoencoderConfig, frame_codec: Any, num_classes: int) -> dict[str, Any]:
    """The arguments of `HierarchicalNetwork`, for the frame codec's latents of the recipe's clips and audio images."""
    config = NETWORK_CONFIGS[recipe.network.size](num_classes)
    channels, num_frames, *size = frame_codec.latent_shape(recipe.geometry)
    config |= {"channels": channels, "num_frames": num_frames, "size": tuple(size)}
    audio_image = components.build_audio_image(recipe.base.picture, recipe.geometry)[1]
    one_image = replace(recipe.geometry, num_frames=1, height=audio_image.height, width=audio_image.width)
    if (audio_size := tuple(frame_codec.latent_shape(one_image)[2:])) != tuple(size):
        config["audio_size"] = audio_size
    config["unet"] |= {"in_channels": channels, "out_channels": channels}
    return config if recipe.network.semantic else {**config, "semantic": None}


def discriminator_config(recipe: MMLDMAutoencoderConfig) -> dict[str, Any]:
    """The arguments of the discriminator, for images of the recipe's size."""
    size = (recipe.geometry.height, recipe.geometry.width)
    return {**discriminators.paper(), "size": size} if recipe.network.size == "paper" else discriminators.small(size, 12)


@dataclass(frozen=True)
class SignalBatches:
    """Batches for `training.hierarchical.HierarchicalObjective`, by the indices of clips.

    Attributes:
        model: the autoencoder, which computes audio images.
        cache: latents of the frame codec.
        pixels: the same clips unencoded, for the discriminator; None without one.
        classes: the classes; None without any.
    """

    model: HierarchicalAutoencoder
    cache: latents.LatentDataset
    pixels: latents.LatentDataset | None
    classes: ClassLabels | None

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        batch = self.cache.batch(indices).map(torch.Tensor.float)._asdict()
        if self.classes is not None:
            batch["labels"] = self.classes.indices(self.cache.rows[index]["label"] for index in indices)
        if self.pixels is not None:
            raw = self.pixels.batch(indices)
            batch["frames"] = raw.video.movedim(-1, 1).float() / 127.5 - 1
            batch["picture"] = self.model.audio_image(raw.audio.float() / 32767)
        return batch


def write_reconstructions(model: Any, samples: Sequence[Clip], folder: Path) -> None:
    """Write clips and their reconstructions: as videos, as images of frames and spectrograms, and figures.

    Args:
        model: the autoencoder.
        samples: clips of its geometry.
        folder: folder of the files. The figures are the PSNR of the frames in dB and the mean absolute error of the log-mel.
    """
    raw = [stack_clips([clip]) for clip in samples]
    frames = torch.cat([rearrange(one.video, "1 t h w c -> 1 c t h w") for one in raw]).to(model.device).float() / 127.5 - 1
    waveforms = torch.cat([one.audio for one in raw]).to(model.device).float() / 32767
    decoded = model.decode(model.encode(frames, waveforms), waveforms.shape[1]).map(lambda x: x.float().clamp(-1, 1))
    mel, decoded_mel = model.log_mel(waveforms), model.log_mel(decoded.audio)
    mel_error = float((decoded_mel - mel).abs().mean())
    write_figures(folder, psnr=float(psnr(decoded.video, frames).mean()), mel_error=mel_error)
    write_spectrograms(folder / "mel.png", mel, decoded_mel)
    rows = [rearrange([one, own], "two c t h w -> c (two h) (t w)") for one, own in zip(frames, decoded.video, strict=True)]
    image = rearrange(((torch.cat(rows, 1) + 1) * 127.5).round().byte(), "c h w -> h w c")
    Image.fromarray(image.cpu().numpy()).save(folder / "frames.png")
    videos = rearrange(((decoded.video + 1) * 127.5).round().byte(), "b c t h w -> b t h w c").cpu().numpy()
    for number, clip in enumerate(samples):
        waveform = decoded.audio[number][None].cpu().numpy()
        media.write(folder / f"{number}-true.mp4", clip, overwrite=True)
        media.write(folder / f"{number}-made.mp4", replace(clip, frames=videos[number], waveform=waveform), overwrite=True)
