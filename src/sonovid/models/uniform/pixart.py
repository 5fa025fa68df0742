"""Initialisation of UniForm from PixArt-alpha, an image model with the same blocks (UniForm, section 4.1)."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from sonovid.models.uniform.blocks import Block
from sonovid.models.uniform.layouts import ColumnsLayout, TokensLayout
from sonovid.models.uniform.transformer import UniForm


def load_pixart(source: "str | os.PathLike", *, subfolder: str | None = "transformer") -> Any:
    """Load the transformer of PixArt by hub id or local folder, safetensors only.

    Args:
        source: Hub id or local folder.
        subfolder: Subfolder of the transformer in a pipeline.
    """
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel.from_pretrained(source, subfolder=subfolder, use_safetensors=True)


@torch.no_grad()
def init_from_pixart(model: UniForm, transformer: nn.Module) -> list[str]:
    """Copy the weights of PixArt into a model and set its temporal blocks to zero output.

    Copied are the spatial blocks, the embeddings of timestep, text and patches, the modulation and the final layer. The patch
    embedding and the output layer are copied if their sizes fit: a patch of several frames starts with the mean of its frames and
    gives each the same output. Task tokens, the null text, QK-norms, the frame rate embedding, the audio layers of the tokens
    layout and the temporal blocks keep their initial values.

    Deviation: PixArt does not normalise queries and keys, so the attention differs from PixArt's from the start.

    Args:
        model: The model to initialise.
        transformer: A `PixArtTransformer2DModel`.

    Returns:
        Names of the parameters that were not copied.

    Raises:
        ValueError: Width, heads, text channels or depth do not fit.
    """
    config: Any = transformer.config
    pixart_sizes = (config.num_attention_heads * config.attention_head_dim, config.num_attention_heads, config.caption_channels)
    sizes = (model.config.width, model.config.heads, model.config.text_width)
    if pixart_sizes != sizes or config.num_layers < model.config.depth:
        raise ValueError(
            f"PixArt with (width, heads, text channels) {pixart_sizes} and {config.num_layers} blocks does not fit a UniForm "
            f"with {sizes} and {model.config.depth} blocks: use the same sizes, and at most as many blocks"
        )
    for block in model.temporal:
        assert isinstance(block, Block)
        block.zero_init()
    parameters, copied = dict(model.named_parameters()), set()
    source = transformer.state_dict()
    for name, value in [
        *_convert_blocks(source, model.config.depth),
        *_convert_patch_layers(source, model, config.out_channels or config.in_channels),
    ]:
        if parameters[name].shape == value.shape:
            parameters[name].copy_(value)
            copied.add(name)
    return sorted(parameters.keys() - copied)


def _convert_blocks(source: dict[str, Tensor], depth: int) -> Iterator[tuple[str, Tensor]]:
    """Names in this package and tensors of PixArt for all weights that do not depend on the latents."""
    pairs = {
        "time.linear_1": "adaln_single.emb.timestep_embedder.linear_1",
        "time.linear_2": "adaln_single.emb.timestep_embedder.linear_2",
        "modulation": "adaln_single.linear",
        "text_in": "caption_projection.linear_1",
        "text_out": "caption_projection.linear_2",
    }
    for i in range(depth):
        target, source_block = f"spatial.{i}", f"transformer_blocks.{i}"
        yield f"{target}.table", source[f"{source_block}.scale_shift_table"]
        for kind in ("weight", "bias"):
            q, k, v = (source[f"{source_block}.attn1.to_{part}.{kind}"] for part in "qkv")
            yield f"{target}.attention.qkv.{kind}", torch.cat([q, k, v])
            yield f"{target}.cross.kv.{kind}", torch.cat([source[f"{source_block}.attn2.to_{part}.{kind}"] for part in "kv"])
        pairs |= {
            f"{target}.attention.out": f"{source_block}.attn1.to_out.0",
            f"{target}.cross.q": f"{source_block}.attn2.to_q",
            f"{target}.cross.out": f"{source_block}.attn2.to_out.0",
            f"{target}.mlp_in": f"{source_block}.ff.net.0.proj",
            f"{target}.mlp_out": f"{source_block}.ff.net.2",
        }
    for target, source_name in pairs.items():
        for kind in ("weight", "bias"):
            yield f"{target}.{kind}", source[f"{source_name}.{kind}"]
    yield "final_table", source["scale_shift_table"]


def _convert_patch_layers(source: dict[str, Tensor], model: UniForm, channels: int) -> Iterator[tuple[str, Tensor]]:
    """Patch embedding and output layer, with values ordered (channels frames rows columns), outputs first."""
    grid = model.grid
    assert isinstance(grid, ColumnsLayout | TokensLayout)
    embed, head = ("grid.embed", "grid.head") if isinstance(grid, ColumnsLayout) else ("grid.embed_video", "grid.head_video")
    pt, ph, pw = grid.patch
    if source["pos_embed.proj.weight"].shape[2:] != (ph, pw):
        return
    yield f"{embed}.weight", repeat(source["pos_embed.proj.weight"] / pt, "d c ph pw -> d (c pt ph pw)", pt=pt)
    yield f"{embed}.bias", source["pos_embed.proj.bias"]
    # PixArt predicts noise, then variance. A model without a variance only takes the noise.
    num_channels = grid.outputs * grid.video[0]
    if channels < num_channels or channels % grid.video[0]:
        return
    for kind in ("weight", "bias"):
        value = rearrange(source[f"proj_out.{kind}"], "(ph pw c) ... -> c ph pw ...", ph=ph, pw=pw)[:num_channels]
        yield f"{head}.{kind}", repeat(value, "c ph pw ... -> (c pt ph pw) ...", pt=pt)
