"""UniForm from the weights of PixArt-alpha, an image model of the same blocks (UniForm, section 4.1)."""

import os
from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from sonovid.models.uniform.blocks import Block
from sonovid.models.uniform.layouts import Columns, Tokens
from sonovid.models.uniform.transformer import UniForm


def load_pixart(source: "str | os.PathLike", *, subfolder: str | None = "transformer") -> Any:
    """PixArt's transformer by hub id or local folder, safetensors only; `subfolder` is where a whole pipeline keeps it."""
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel.from_pretrained(source, subfolder=subfolder, use_safetensors=True)


@torch.no_grad()
def init_from_pixart(model: UniForm, transformer: nn.Module) -> list[str]:
    """Copies what PixArt knows into a model and silences its temporal blocks; returns the names of what PixArt does not know.

    Spatial blocks, the embedders of time, words and patches, the modulation and the final layer are taken; the patches' embedder
    and head where their sizes fit: a patch of several frames starts with the mean of its frames and gives each the same. Task
    tokens, the null text, QK-norms, the frame rate, the audio of the tokens layout and temporal blocks stay as they were.

    Deviation: PixArt does not normalise queries and keys, so that attention differs from its own from the start.

    Raises:
        ValueError: width, heads, words or depth differ.
    """
    config: Any = transformer.config
    theirs = (config.num_attention_heads * config.attention_head_dim, config.num_attention_heads, config.caption_channels)
    ours = (model.config.width, model.config.heads, model.config.text_width)
    if theirs != ours or config.num_layers < model.config.depth:
        raise ValueError(
            f"PixArt of width, heads, words {theirs} and {config.num_layers} blocks does not fit a UniForm of {ours} and "
            f"{model.config.depth}: make it of the same width, heads and words, and of no more blocks"
        )
    for block in model.temporal:
        assert isinstance(block, Block)
        block.silence()
    parameters, known = dict(model.named_parameters()), set()
    source = transformer.state_dict()
    for name, value in [*_trunk(source, model.config.depth), *_ends(source, model, config.out_channels or config.in_channels)]:
        if parameters[name].shape == value.shape:
            parameters[name].copy_(value)
            known.add(name)
    return sorted(parameters.keys() - known)


def _trunk(source: dict[str, Tensor], depth: int) -> Iterator[tuple[str, Tensor]]:
    """Our names and PixArt's tensors of all that does not depend on the latents."""
    pairs = {
        "time.linear_1": "adaln_single.emb.timestep_embedder.linear_1",
        "time.linear_2": "adaln_single.emb.timestep_embedder.linear_2",
        "modulation": "adaln_single.linear",
        "text_in": "caption_projection.linear_1",
        "text_out": "caption_projection.linear_2",
    }
    for i in range(depth):
        mine, other = f"spatial.{i}", f"transformer_blocks.{i}"
        yield f"{mine}.table", source[f"{other}.scale_shift_table"]
        for kind in ("weight", "bias"):
            q, k, v = (source[f"{other}.attn1.to_{part}.{kind}"] for part in "qkv")
            yield f"{mine}.attention.qkv.{kind}", torch.cat([q, k, v])
            yield f"{mine}.cross.kv.{kind}", torch.cat([source[f"{other}.attn2.to_{part}.{kind}"] for part in "kv"])
        pairs |= {
            f"{mine}.attention.out": f"{other}.attn1.to_out.0",
            f"{mine}.cross.q": f"{other}.attn2.to_q",
            f"{mine}.cross.out": f"{other}.attn2.to_out.0",
            f"{mine}.mlp_in": f"{other}.ff.net.0.proj",
            f"{mine}.mlp_out": f"{other}.ff.net.2",
        }
    for mine, other in pairs.items():
        for kind in ("weight", "bias"):
            yield f"{mine}.{kind}", source[f"{other}.{kind}"]
    yield "final_table", source["scale_shift_table"]


def _ends(source: dict[str, Tensor], model: UniForm, channels: int) -> Iterator[tuple[str, Tensor]]:
    """The patch embedder and the head, in our order of values: (channels frames rows columns), the output's kinds outermost."""
    grid = model.grid
    assert isinstance(grid, Columns | Tokens)
    embed, head = ("grid.embed", "grid.head") if isinstance(grid, Columns) else ("grid.embed_video", "grid.head_video")
    pt, ph, pw = grid.patch
    if source["pos_embed.proj.weight"].shape[2:] != (ph, pw):
        return
    yield f"{embed}.weight", repeat(source["pos_embed.proj.weight"] / pt, "d c ph pw -> d (c pt ph pw)", pt=pt)
    yield f"{embed}.bias", source["pos_embed.proj.bias"]
    # PixArt predicts the variance behind the noise; a model without one takes the noise alone.
    wanted = grid.outputs * grid.video[0]
    if channels < wanted or channels % grid.video[0]:
        return
    for kind in ("weight", "bias"):
        value = rearrange(source[f"proj_out.{kind}"], "(ph pw c) ... -> c ph pw ...", ph=ph, pw=pw)[:wanted]
        yield f"{head}.{kind}", repeat(value, "c ph pw ... -> (c pt ph pw) ...", pt=pt)
