"""Tiny random networks on disk as released ones lie there: what tests of the paper recipes and of imports share.

Every maker takes a folder and leaves in it what its authors' own repository holds under the same names.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def seeded(make, *args: Any, **options: Any) -> Any:
    """What a constructor gives from one seed, whatever was drawn before."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return make(*args, **options)


def autoencoder(folder: Path, channels: int, latents: int, levels: int) -> None:
    """An `AutoencoderKL` of pictures or, with one channel, of mel spectrograms."""
    import diffusers

    seeded(
        diffusers.AutoencoderKL,
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8,) * levels,
        latent_channels=latents,
        norm_num_groups=4,
    ).save_pretrained(folder)


def hifi_gan(folder: Path, *, bins: int = 64, rates: tuple[int, ...] = (10, 16), sampling_rate: int = 16000) -> None:
    """A HiFi-GAN of transformers, as AudioLDM's; the product of its rates is the hop."""
    import transformers

    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=bins,
        upsample_initial_channel=4 * 2 ** len(rates),
        upsample_rates=list(rates),
        upsample_kernel_sizes=[2 * rate for rate in rates],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        sampling_rate=sampling_rate,
    )
    seeded(transformers.SpeechT5HifiGan, config).save_pretrained(folder)


def audioldm(folder: Path, *, text_width: int = 8) -> None:
    """AudioLDM: U-Net, autoencoder and vocoder."""
    import diffusers

    from sonovid.models.svg.model import audioldm_config

    sound = audioldm_config((64, 32), text_width=text_width, in_channels=8, norm_groups=8, layers=1)
    seeded(diffusers.UNet2DConditionModel.from_config, sound).save_pretrained(folder / "unet")
    autoencoder(folder / "vae", 1, 8, 3)
    hifi_gan(folder / "vocoder")


def picture_unet(folder: Path, *, text_width: int = 16) -> None:
    """Stable Diffusion's U-Net."""
    import diffusers

    seeded(
        diffusers.UNet2DConditionModel,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=text_width,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
    ).save_pretrained(folder)


def motion_adapter(folder: Path, widths: tuple[int, ...] = (64, 32)) -> None:
    """AnimateDiff's motion layers."""
    import diffusers

    sizes = {"motion_layers_per_block": 1, "motion_norm_num_groups": 8, "motion_num_attention_heads": 4}
    seeded(diffusers.MotionAdapter, block_out_channels=widths, **sizes).save_pretrained(folder)


def pixart(folder: Path, *, width: int, heads: int, layers: int, words: int) -> None:
    """PixArt's transformer, in the subfolder of its pipeline."""
    import diffusers

    seeded(
        diffusers.PixArtTransformer2DModel,
        num_attention_heads=heads,
        attention_head_dim=width // heads,
        in_channels=4,
        out_channels=8,
        num_layers=layers,
        cross_attention_dim=width,
        sample_size=8,
        patch_size=2,
        caption_channels=words,
        use_additional_conditions=False,
    ).save_pretrained(folder / "transformer")


def open_sora(folder: Path, model: Any = None) -> Path:
    """Open-Sora's video autoencoder: settings without sizes, and the whitening as buffers; by default frames are halved once."""
    from sonovid.codecs.open_sora import OpenSoraVideo, spatial_vae_config

    if model is None:
        spatial = spatial_vae_config((32, 32), layers=1)
        model = seeded(OpenSoraVideo, spatial=spatial, widths=(32, 32, 32, 64), blocks=1)
    folder.mkdir(parents=True)
    whitening = {"shift": list(model.config.latents_mean), "scale": list(model.config.latents_std)}
    config = {"architectures": ["VideoAutoencoderPipeline"], "micro_frame_size": model.config.chunk, **whitening}
    (folder / "config.json").write_text(json.dumps(config | {"vae_temporal": {"type": "VAE_Temporal_SD"}}))
    buffers = {name: torch.tensor(value).reshape(1, -1, 1, 1, 1) for name, value in whitening.items()}
    save_file({name: value.contiguous() for name, value in (model.state_dict() | buffers).items()}, folder / "model.safetensors")
    return folder


def pickled(folder: Path, *, half: bool = False) -> None:
    """A network's safetensors rewritten as the pickle that its authors' trainer leaves; half: in float16, as `variant="fp16"`."""
    found = next(folder.glob("*.safetensors"))
    stem = "pytorch_model" if found.stem == "model" else found.stem
    weights = {name: value.half() if half and value.is_floating_point() else value for name, value in load_file(found).items()}
    torch.save(weights, folder / f"{stem}{'.fp16' if half else ''}.bin")
    found.unlink()


def slow_tokenizer(folder: Path, words: tuple[str, ...] = ("red", "ball", "rain", "a", "bounces")) -> None:
    """A byte-pair tokenizer of CLIP's kind as old repositories hold it: vocab.json and merges.txt, no tokenizer.json."""
    for path in folder.glob("*token*"):
        path.unlink()
    letters = sorted({letter for word in words for letter in word})
    merges, vocabulary = [], [*letters, *(f"{letter}</w>" for letter in letters)]
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            vocabulary.append(parts[0])
    listed = list(dict.fromkeys([*vocabulary, "<|startoftext|>", "<|endoftext|>"]))
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(listed)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    special = {"bos_token": "<|startoftext|>", **dict.fromkeys(("eos_token", "pad_token", "unk_token"), "<|endoftext|>")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": 10}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def moved_tokenizer(folder: Path, target: Path) -> None:
    """The tokenizer's files from an encoder's folder into one of their own, as pipelines keep them."""
    target.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("*token*"), *folder.glob("vocab.json"), *folder.glob("merges.txt")]:
        shutil.move(path, target / path.name)
