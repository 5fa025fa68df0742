"""Conversion of the authors' released checkpoint: U-Nets unchanged, connectors and fusion modules renamed."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sonovid.core.av import AV
from sonovid.models.svg.model import SVG, Variant, plain_config

# Released prefixes to those of this package, in the order in which they are tried.
FUSION_MODULE = (
    (r"transformer_blocks\.0\.attn_c\.norm\.", "block.context_attention.context_norm."),
    (r"transformer_blocks\.0\.attn_c\.proj_c\.", "block.context_attention.to_context."),
    (r"transformer_blocks\.0\.attn_c\.", "block.context_attention.attention."),
    (r"transformer_blocks\.0\.attn_s\.", "block.self_attention."),
    (r"transformer_blocks\.0\.", "block."),
)
CMC_PE = ((r"ff\.", "feed_forward."), (r"norm1\.", "norms.0."), (r"norm2\.", "norms.1."), (r"norm3\.", "norms.2."))
RESIDUAL = (
    (r"in_layers\.0\.", "norm_in."),
    (r"in_layers\.2\.", "conv_in."),
    (r"emb_layers\.1\.", "time."),
    (r"out_layers\.0\.", "norm_out."),
    (r"out_layers\.3\.", "conv_out."),
    (r"skip_connection\.", "skip."),
)
TEMPORAL = (
    (r"temporal_attn\.norm\.g$", "attention.norm.scale"),
    (r"temporal_attn\.", "attention."),
    (r"temporal_rel_pos_bias\.net\.0\.0\.", "distance_bias.net.0."),
    (r"temporal_rel_pos_bias\.net\.1\.0\.", "distance_bias.net.2."),
    (r"temporal_rel_pos_bias\.net\.2\.", "distance_bias.net.4."),
    (r"ff\.proj_in\.0\.", "feed_forward.proj_in."),
    (r"ff\.proj_out\.0\.g$", "feed_forward.norm.scale"),
    (r"ff\.proj_out\.1\.", "feed_forward.proj_out."),
    (r"frameshiftblock\.out_layers\.0\.", "frame_shift.norm."),
    (r"frameshiftblock\.out_layers\.2\.", "frame_shift.conv."),
)
ENDS = {"0.0.": "conv_in.", "2.0.op.": "down.", "4.0.": "norm_out.", "4.2.": "conv_out."}


def _replace_prefix(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    return name


def convert_key(name: str, variant: Variant) -> str:
    """Convert the name of a tensor of the released `unet_svg` to the name in this package.

    Args:
        name: Released name.
        variant: Variant of the model; some released names mean different tensors in the two variants.

    Raises:
        ValueError: The name is not one of a released checkpoint.
    """
    if found := re.fullmatch(r"connector_in_(video|audio)\.([01])\.(\d+)\.0\.(.+)", name):
        stream, direction, index, rest = found.groups()
        inner = _replace_prefix(rest, FUSION_MODULE)
        if variant == "cmc_pe" and inner.startswith("block."):
            inner = "block." + _replace_prefix(inner.removeprefix("block."), CMC_PE)
        return f"joins.{stream}.{('down', 'up')[int(direction)]}_{index}.{inner}"
    if found := re.fullmatch(r"connector_out_(video|audio)\.(.+)", name):
        stream, rest = found.groups()
        for prefix, replacement in ENDS.items():
            if rest.startswith(prefix):
                return f"connectors.{stream}.{replacement}{rest.removeprefix(prefix)}"
        if found := re.fullmatch(r"([13])\.0\.(?:([01])\.)?(.+)", rest):
            level, part, inner = found.groups()
            if part == "1":
                return f"connectors.{stream}.temporal.{int(level) // 2}.{_replace_prefix(inner, TEMPORAL)}"
            return f"connectors.{stream}.blocks.{int(level) // 2}.{_replace_prefix(inner, RESIDUAL)}"
    raise ValueError(f"{name}: no tensor of a released SVG checkpoint")


def settings(svg: Mapping[str, Any], bases: AV) -> dict[str, Any]:
    """Arguments of `SVG` from the released `unet_svg/config.json` and the configs of both U-Nets.

    Args:
        svg: The released config.
        bases: Configs of both U-Nets.

    Raises:
        ValueError: The config describes a form that the authors did not release.
    """
    own = AV(svg["connector_video_config"], svg["connector_audio_config"])
    for name, value in (("connector_out_input", "x_pred"), ("num_blocks_connector", [1, 1])):
        if list_or(own.video.get(name, value)) != value:
            raise ValueError(f"SVG checkpoint: {name}={own.video[name]!r}; only {value!r} is supported")
    for name, one, config in zip(AV._fields, own, bases, strict=True):
        blocks = len(config["block_out_channels"])
        sites = list(one.get("with_connector", [False, False, True, True]))
        if sites != [False] * (blocks - 2) + [True, True]:
            raise ValueError(f"SVG checkpoint: {name} fusion modules at blocks {sites}; expected at the last two of {blocks}")
    variants = {"additive": "cmc_pe", "attn": "cross_attention"}
    if own.video["connector_in_type"] not in variants:
        raise ValueError(f"SVG checkpoint: connector_in_type={own.video['connector_in_type']!r}; expected {sorted(variants)}")
    heads = AV(*(config.get("attention_head_dim") or 8 for config in (svg["unet_video_config"], svg["unet_audio_config"])))
    return {
        "video": {key: value for key, value in plain_config(bases.video).items() if key != "attention_head_dim"},
        "audio": plain_config(bases.audio),
        "variant": variants[own.video["connector_in_type"]],
        "context_channels": own.video["connector_channel"],
        "mults": tuple(own.video.get("channel_mult_connector", (2, 4))),
        "head_width": tuple(heads),
        "as_released": True,
    }


def list_or(value: Any) -> Any:
    """Tuples as lists, as in JSON."""
    return list(value) if isinstance(value, tuple) else value


def load_weights(model: SVG, joined: Mapping[str, Tensor], bases: AV) -> None:
    """Load the tensors of a released checkpoint into `model`.

    Args:
        model: The model.
        joined: State dict of `unet_svg`.
        bases: State dicts of both U-Nets.

    Raises:
        ValueError: A tensor is missing, unexpected or of another shape.
    """
    state_dict = {convert_key(name, model.config.variant): value for name, value in joined.items()}
    for name, tensors in zip(AV._fields, bases, strict=True):
        state_dict |= {f"unets.{name}.{key}": value for key, value in tensors.items()}
    own = model.state_dict()
    expected = {key for key in own if not key.startswith("null_")}
    missing, unexpected = sorted(expected - set(state_dict)), sorted(set(state_dict) - expected)
    if missing or unexpected:
        raise ValueError(
            f"SVG checkpoint: {len(missing)} tensors missing ({', '.join(missing[:2]) or 'none'}) and {len(unexpected)} "
            f"unexpected ({', '.join(unexpected[:2]) or 'none'}): the file is incomplete, or config.json is another model's"
        )
    for key, value in state_dict.items():
        if value.numel() != own[key].numel():
            raise ValueError(f"SVG checkpoint: {key} is {tuple(value.shape)}, expected {tuple(own[key].shape)}")
    # 1x1 convolutions are linear layers here, and scales have no axes of length one; the values are equal.
    model.load_state_dict(
        {key: value.reshape(own[key].shape).to(own[key].dtype) for key, value in state_dict.items()}, strict=False
    )
