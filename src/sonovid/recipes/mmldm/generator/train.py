"""MM-LDM's two trainings from their recipes: the autoencoder on clips, then the generator on its latents, left as a pipeline."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from sonovid import media
from sonovid.codecs.hierarchical import Discriminator, HierarchicalAutoencoder, HierarchicalNetwork
from sonovid.codecs.hierarchical import autoencoder as hierarchical
from sonovid.codecs.hierarchical import discriminator as discriminators
from sonovid.codecs.hierarchical import network as networks
from sonovid.codecs.mel import LogMel
from sonovid.codecs.spectrogram import SpectrogramCodec
from sonovid.core.av import AV, Task
from sonovid.core.clip import Clip
from sonovid.core.labels import ClassLabels
from sonovid.data import clips, latents
from sonovid.diffusion.cross_modal import CrossModalObjective
from sonovid.diffusion.objective import LogitNormal, Uniform
from sonovid.diffusion.schedule import Tabulated
from sonovid.models.mmldm import MMLDM
from sonovid.pipelines import loading
from sonovid.pipelines import packaged
from sonovid.pipelines.pipeline import SoundingVideoPipeline
from sonovid.recipes import components as parts
from sonovid.recipes import uniform
from sonovid.recipes.cmmd.train import vocoder_of
from sonovid.recipes.codec.train import leave_figures, leave_spectrograms, untouched
from sonovid.recipes.fine_tuning.train import audio_image
from sonovid.recipes.latent_training import classes_of, feed, fit
from sonovid.recipes.mmldm.generator import AutoencoderRecipe, Base, MMLDMRecipe, Regression
from sonovid.training.hierarchical import HierarchicalObjective
from sonovid.training.loop import Job, seeded_init, train
from sonovid.training.reconstruction import psnr

log = logging.getLogger(__name__)

# Of the generator; that of the signal decoder is the same.
SCHEDULE = Tabulated("scaled_linear", 0.00085, 0.012)
SIZES: dict[str, Callable[..., dict[str, Any]]] = {
    "paper": networks.paper, "scenes": networks.scenes, "tiny": networks.tiny
}  # fmt: skip


# --- the autoencoder -----------------------------------------------------------------------------------------------------


def run_autoencoder(recipe: AutoencoderRecipe, resolved: dict[str, Any]) -> Path:
    """Train the autoencoder, and return its folder.

    Raises:
        ValueError: parts that do not fit each other, or a label outside the classes that the recipe names.
    """
    frames, out = parts.video_codec(uniform.Codecs(video=recipe.base.frames)), Path(recipe.out)
    log_mel, image = audio_image(recipe.base.picture, recipe.geometry)
    vocoder = vocoder_for(recipe.base, log_mel)
    # Who encodes only needs the frame codec, and the classes are not known yet.
    with torch.device("meta"):
        unlearnt = HierarchicalNetwork(**settings(recipe, frames, 0))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    first = HierarchicalAutoencoder(unlearnt, frames.to(device), log_mel, image, recipe.geometry, vocoder=vocoder)

    def perceived(given: list[Clip]) -> AV:
        raw = untouched(given)
        pictures = raw.video.movedim(-1, 1).to(device).float() / 127.5 - 1
        return first.encode_signal(pictures, raw.audio.to(device).float() / 32767).map(torch.Tensor.half)

    key = (frames, log_mel.to_config(), asdict(image), "perceived")
    training, held_out, windows = parts.caches(
        recipe.data, recipe.geometry, out, perceived, *key, last=not recipe.losses.adversarial
    )
    pixels: Sequence[latents.LatentDataset | None] = (None, None)
    if recipe.losses.adversarial:
        pixels = parts.caches(recipe.data, recipe.geometry, out, untouched, "untouched", (True, True))[:2]
    classes = classes_of(training, held_out, names=recipe.network.classes) if recipe.losses.classes else None
    with seeded_init(recipe.training.seed):
        network = HierarchicalNetwork(**settings(recipe, frames, len(classes or ())))
        judge = Discriminator(**judge_size(recipe)) if recipe.losses.adversarial else None
    if recipe.network.unet:
        network.decoder.load_unet(recipe.network.unet, subfolder="unet")
    decoding = hierarchical.Decoding(**asdict(recipe.decoding))
    model = HierarchicalAutoencoder(network, frames, log_mel, image, recipe.geometry, vocoder=vocoder, decoding=decoding)

    def save(model: Any, folder: Path) -> None:
        model.save_pretrained(folder)

    shown = [clips.load_clip(window, recipe.geometry) for window in windows[: recipe.shown]]
    batch, held = (Perceived(model, *both, classes) for both in ((training, pixels[0]), (held_out, pixels[1])))
    ready = Job(
        model=model,
        objective=HierarchicalObjective(**asdict(recipe.losses), adversary=judge),
        batch=batch,
        size=len(training),
        validation=held if held_out else None,
        validation_size=len(held_out) if held_out else 0,
        settings=recipe.training,
        adversary=judge,
        sample=lambda model, folder, step: decoded(model, shown, folder) if shown else None,
        export=save,
        recipe={**resolved, "classes": list(classes.names) if classes else []},
    )
    return train(ready, out, resume=recipe.resume)


def settings(recipe: AutoencoderRecipe, frames: Any, num_classes: int) -> dict[str, Any]:
    """What `HierarchicalNetwork` is made from, at the frame codec's latents of the recipe's windows."""
    own = SIZES[recipe.network.size](num_classes)
    channels, count, *size = frames.latent_shape(recipe.geometry)
    own |= {"channels": channels, "num_frames": count, "size": tuple(size)}
    own["unet"] |= {"in_channels": channels, "out_channels": channels}
    return own if recipe.network.semantic else {**own, "semantic": None}


def judge_size(recipe: AutoencoderRecipe) -> dict[str, Any]:
    """Settings of the discriminator for pictures of the recipe's size."""
    size = (recipe.geometry.height, recipe.geometry.width)
    return {**discriminators.paper(), "size": size} if recipe.network.size == "paper" else discriminators.small(size, 12)


def vocoder_for(base: Base, log_mel: LogMel) -> Any:
    """The vocoder that a recipe names, or None for phases by iteration.

    Raises:
        ValueError: there is none, or it was made for another spectrogram.
    """
    if base.vocoder != packaged.NAME:
        return vocoder_of(Path(base.vocoder), log_mel, "base.vocoder") if base.vocoder else None
    codec = SpectrogramCodec.from_pretrained(packaged.folder() / "audio_codec")
    names = ("sample_rate", "bins", "n_fft", "hop", "low", "high", "floor")
    differing = [name for name in names if getattr(codec.log_mel, name) != getattr(log_mel, name)]
    if differing:
        raise ValueError(f"base.vocoder=shipped: its spectrogram has another {', '.join(differing)} than base.picture")
    return codec.vocoder.eval()


@dataclass(frozen=True)
class Perceived:
    """Batches of what the autoencoder learns from, by the numbers of clips: see `HierarchicalLosses`.

    cache: the frame codec's latents. pixels: the same clips as they are, where a discriminator judges.
    """

    model: HierarchicalAutoencoder
    cache: latents.LatentDataset | None
    pixels: latents.LatentDataset | None
    classes: ClassLabels | None

    def __call__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        assert self.cache is not None
        found = self.cache.batch(indices).map(torch.Tensor.float)._asdict()
        if self.classes is not None:
            found["labels"] = self.classes.indices(self.cache.rows[index]["label"] for index in indices)
        if self.pixels is not None:
            raw = self.pixels.batch(indices)
            found["frames"] = raw.video.movedim(-1, 1).float() / 127.5 - 1
            found["picture"] = self.model.audio_image(raw.audio.float() / 32767)
        return found


def decoded(model: Any, shown: Sequence[Clip], folder: Path) -> None:
    """Clips through the autoencoder: as files, as pictures to look at, and in figures: PSNR of frames, error of the log-mel."""
    given = [untouched([clip]) for clip in shown]
    frames = torch.cat([rearrange(raw.video, "1 t h w c -> 1 c t h w") for raw in given]).to(model.device).float() / 127.5 - 1
    waves = torch.cat([raw.audio for raw in given]).to(model.device).float() / 32767
    made = model.decode(model.encode(frames, waves), waves.shape[1]).map(lambda x: x.float().clamp(-1, 1))
    mel, heard = model.log_mel(waves), model.log_mel(made.audio)
    figures = {"psnr": float(psnr(made.video, frames).mean()), "mel_error": float((heard - mel).abs().mean())}
    leave_figures(folder, **figures)
    leave_spectrograms(folder / "mel.png", mel, heard)
    rows = [rearrange([one, own], "two c t h w -> c (two h) (t w)") for one, own in zip(frames, made.video, strict=True)]
    picture = rearrange(((torch.cat(rows, 1) + 1) * 127.5).round().byte(), "c h w -> h w c")
    Image.fromarray(picture.cpu().numpy()).save(folder / "frames.png")
    pictures = rearrange(((made.video + 1) * 127.5).round().byte(), "b c t h w -> b t h w c").cpu().numpy()
    for number, clip in enumerate(shown):
        sound = made.audio[number][None].cpu().numpy()
        media.write(folder / f"{number}-true.mp4", clip, overwrite=True)
        media.write(folder / f"{number}-made.mp4", replace(clip, frames=pictures[number], waveform=sound), overwrite=True)


# --- the generator -------------------------------------------------------------------------------------------------------


def run(recipe: MMLDMRecipe, resolved: dict[str, Any]) -> Path:
    """Train the generator, and return the folder of the pipeline.

    Raises:
        ValueError: no autoencoder, one of another geometry, or no classes where the generator is to be told them.
    """
    codec = trained(recipe)
    own = recipe.network
    # A stream alone is never given, and nothing is given to it.
    alike = replace(recipe.regression, video_to_audio=0.0, audio_to_video=0.0)
    regress = objective(recipe.regression if own.streams == "both" else alike)
    text = parts.text_encoder(uniform.Codecs(**text_settings(recipe))) if own.context == "text" else None
    fed = feed(recipe, codec, text)
    if recipe.codec.whiten:
        codec.set_whitening(AV(*(fed.training.statistics[name] for name in AV._fields)))
    classes = classes_of(fed.training, fed.held_out) if own.context == "class" else None
    if own.context == "class" and classes is None:
        raise ValueError("network.context=class: no clip carries a label; give a manifest with labels, or network.context=learnt")
    fed = replace(fed, classes=classes, cut=None if own.streams == "both" else alone(own.streams))
    model = network(recipe, codec, len(classes or ()))

    def pipeline(network: nn.Module) -> SoundingVideoPipeline:
        return assembled(recipe, network, codec, text, classes)

    return fit(recipe, resolved, model, regress, fed, pipeline, {"audio": recipe.regression.audio_weight})


def trained(recipe: MMLDMRecipe) -> HierarchicalAutoencoder:
    """The autoencoder that a recipe names.

    Raises:
        ValueError: there is none, or it is for windows of another geometry.
    """
    named = recipe.codec.autoencoder
    if not named:
        raise ValueError("codec.autoencoder is empty: name the folder that a training of mmldm.*.autoencoder left")
    path = loading.locate(named)
    # A whole model has its codec in a folder of its own.
    path = path / "joint_codec" if (path / loading.INDEX).is_file() else path
    config = json.loads((path / "config.json").read_text()) if (path / "config.json").is_file() else {}
    if config.get("_class_name") != HierarchicalAutoencoder.__name__:
        raise ValueError(f"codec.autoencoder={named}: no autoencoder of MM-LDM there; name the folder that its training left")
    codec = loading.load_component(path.parent, path.name, (HierarchicalAutoencoder.__module__, HierarchicalAutoencoder.__name__))
    if codec.geometry != recipe.geometry:
        raise ValueError(
            f"codec.autoencoder={named}: made for windows of {codec.geometry}, and the recipe's are of {recipe.geometry}; set "
            "geometry.* alike"
        )
    return codec


def text_settings(recipe: MMLDMRecipe) -> dict[str, Any]:
    """The text encoder's part of the codec's settings."""
    return {name: getattr(recipe.codec, name) for name in ("text", "text_width", "text_words")}


def network(recipe: MMLDMRecipe, codec: HierarchicalAutoencoder, num_classes: int) -> MMLDM:
    """The generator that fits the autoencoder, and the words.

    Raises:
        ValueError: words of another width or number than the context's.
    """
    own, shapes = recipe.network, codec.latent_shapes(recipe.geometry)
    if own.context == "text" and (recipe.codec.text_width, recipe.codec.text_words) != (own.context_width, own.context_tokens):
        raise ValueError(
            f"codec.text_width={recipe.codec.text_width}, text_words={recipe.codec.text_words}: the context has "
            f"network.context_width={own.context_width} and context_tokens={own.context_tokens}; set them alike"
        )
    sizes = {"video": (shapes.video[0], *shapes.video[2:]), "audio": (shapes.audio[0], shapes.audio[2], shapes.audio[1])}
    rest = {name: value for name, value in asdict(own).items() if name != "streams"}
    with seeded_init(recipe.training.seed):
        made = {name: size if own.streams in ("both", name) else None for name, size in sizes.items()}
        return MMLDM(**made, **rest, num_classes=num_classes)


def alone(stream: str) -> Callable[[AV], AV]:
    """Pairs of latents with the other stream cut to nothing, as a generator of one stream takes them (MM-LDM-v, MM-LDM-a)."""

    def cut(x0: AV) -> AV:
        return AV(*(x if name == stream else x[:, :, :0] for name, x in zip(AV._fields, x0, strict=True)))

    return cut


def objective(regression: Regression) -> CrossModalObjective:
    """The noise of both streams at one time, a stream given now and then (eq. 8, section 3.3)."""
    law = Uniform(1000) if regression.law == "table" else LogitNormal(regression.mean, regression.std)
    given = {Task.VIDEO_TO_AUDIO: regression.video_to_audio, Task.AUDIO_TO_VIDEO: regression.audio_to_video}
    return CrossModalObjective(
        schedule=AV(SCHEDULE, SCHEDULE),
        predict=regression.predict,
        tasks={Task.JOINT: 1 - sum(given.values()), **given},
        time_distribution=AV(law, law),
        text_dropout=regression.context_dropout,
    )


def assembled(
    recipe: MMLDMRecipe, network: nn.Module, codec: HierarchicalAutoencoder, text: Any = None, classes: ClassLabels | None = None
) -> SoundingVideoPipeline:
    """The pipeline of a generator with the recipe's ways of sampling."""
    sampling = recipe.sampling
    return SoundingVideoPipeline(
        network,
        text_encoder=text,
        geometry=recipe.geometry,
        schedule=AV(SCHEDULE, SCHEDULE),
        predict=recipe.regression.predict,
        step=sampling.step,
        options={
            "num_inference_steps": sampling.steps,
            "guidance_scale": sampling.guidance,
            "audio_guidance_scale": sampling.audio_guidance,
            "guidance_against": sampling.against,
        },
        system="mmldm",
        conditioning="shown",
        joint_codec=codec,
        labels=classes.names if classes else (),
    )
