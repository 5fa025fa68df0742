"""A pipeline folder of the SVG baseline in the released layout, with tiny random networks and released names."""

import json
import re
from pathlib import Path

import torch
from released_layouts import autoencoder, hifi_gan, moved_tokenizer, pickled, seeded, slow_tokenizer
from safetensors.torch import save_file

from sonovid.core.av import AV
from sonovid.models.svg import SVG, released
from sonovid.models.svg.model import audioldm_config, motion_config, plain_config

SCHEDULERS = {
    "scheduler_v": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "timestep_spacing": "linspace"},
    "scheduler_a": {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "steps_offset": 1},
}


def their_name(name: str) -> str:
    """A tensor's name in the released `unet_svg`, of the variant cmc_pe."""
    if found := re.fullmatch(r"joins\.(video|audio)\.(down|up)_(\d+)\.(.+)", name):
        stream, way, index, rest = found.groups()
        return f"connector_in_{stream}.{int(way == 'up')}.{index}.0.{_back(rest, released.FUSION_MODULE, released.CMC_PE)}"
    if found := re.fullmatch(r"connectors\.(video|audio)\.(blocks|temporal)\.(\d)\.(.+)", name):
        stream, kind, level, rest = found.groups()
        table = released.RESIDUAL if kind == "blocks" else released.TEMPORAL
        part = ("0." if kind == "blocks" else "1.") if stream == "video" else ""
        return f"connector_out_{stream}.{2 * int(level) + 1}.0.{part}{_back(rest, table)}"
    stream, rest = re.fullmatch(r"connectors\.(video|audio)\.(.+)", name).groups()
    theirs, ours = next(pair for pair in released.ENDS.items() if rest.startswith(pair[1]))
    return f"connector_out_{stream}.{theirs}{rest.removeprefix(ours)}"


def _back(name: str, table, inner=()) -> str:
    """The inverse of the conversion of names."""

    def once(name: str, table) -> str:
        for theirs, ours in table:
            if name.startswith(ours):
                return theirs.replace("\\", "").removesuffix("$") + name.removeprefix(ours)
        return name

    if name.startswith("block.") and inner and not name.startswith(("block.context", "block.self")):
        name = "block." + once(name.removeprefix("block."), inner)
    return once(name, table)


def network(**changes) -> SVG:
    """A tiny joint network of the released form, with random values in zero-initialised layers."""
    video = motion_config((64, 32), cross_attention_dim=24, in_channels=4, norm_groups=8, layers=1, heads=4)
    audio = audioldm_config((64, 32), text_width=20, in_channels=8, norm_groups=8, layers=1)
    # As in Stable Diffusion 1.5, and as from_unet2d leaves it: latents of 512x512 pictures.
    model = seeded(SVG, video | {"sample_size": 64}, audio, context_channels=32, mults=(1, 2), as_released=True, **changes)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            if not name.startswith("unets."):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def pipeline(folder: Path) -> Path:
    """The complete folder: fp16 pickles, tokenizers in separate folders without tokenizer.json. Returns its parent folder."""
    from test_text import tiny

    model, pipe = network(), folder / "pipe"
    for name, unet in (("unet_v", model.unets["video"]), ("unet_a", model.unets["audio"])):
        unet.save_pretrained(pipe / name)
    (pipe / "unet_svg").mkdir()
    save_file(
        {their_name(n): v.contiguous() for n, v in model.state_dict().items() if not n.startswith(("unets.", "null_"))},
        pipe / "unet_svg" / "diffusion_pytorch_model.safetensors",
    )
    one = {"connector_in_type": "additive", "connector_channel": 32, "channel_mult_connector": [1, 2]}
    one |= {"with_connector": [True, True], "connector_out_input": "x_pred", "num_blocks_connector": [1, 1]}
    bases = AV(*(plain_config(unet.config) for unet in (model.unets["video"], model.unets["audio"])))
    joined = {"connector_video_config": one, "connector_audio_config": one}
    joined |= {f"unet_{stream}_config": {"attention_head_dim": 8} for stream in bases._fields}
    (pipe / "unet_svg" / "config.json").write_text(json.dumps(joined))
    autoencoder(pipe / "vae_v", 3, 4, 4)
    autoencoder(pipe / "vae_a", 1, 8, 3)
    hifi_gan(pipe / "vocoder")
    for stream, kind, widths in (("v", "clip", {"hidden_size": 24}), ("a", "clap", {"projection_dim": 20})):
        text = pipe / f"text_encoder_{stream}"
        tiny(kind, text, **widths, vocab_size=64)
        slow_tokenizer(text)
        moved_tokenizer(text, pipe / f"tokenizer_{stream}")
    for part in ("unet_v", "unet_a", "unet_svg", "vae_v", "vae_a", "vocoder", "text_encoder_v", "text_encoder_a"):
        pickled(pipe / part, half=True)
        if part.startswith(("vocoder", "text_encoder")):
            config = json.loads((pipe / part / "config.json").read_text())
            (pipe / part / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    for name, settings in SCHEDULERS.items():
        (pipe / name).mkdir()
        (pipe / name / "scheduler_config.json").write_text(json.dumps({**settings, "num_train_timesteps": 1000}))
    (pipe / "model_index.json").write_text(json.dumps({"_class_name": "VideoAudioGenWithSVGPipeline"}))
    return folder
