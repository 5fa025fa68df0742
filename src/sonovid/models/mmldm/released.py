"""Conversion of released checkpoints of the transformer and of its continuation network."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sonovid.models.mmldm.continuation import Continuation
from sonovid.models.mmldm.layers import StreamEmbedding

# Released name to the name in this package.
NAMES = (
    (r"eos_(audio|video)", r"entrances.\1.end"),
    (r"mod_embed_(audio|video)", r"entrances.\1.modality"),
    (r"pos_embed_(audio|video)", r"entrances.\1.position"),
    (r"x_embedder_(audio|video)\.proj\.(\w+)", r"entrances.\1.embed.\2"),
    (r"cond_embedder_(audio|video)\.proj\.(\w+)", r"given_in.\1.\2"),
    (r"final_layer_(audio|video)\.linear\.(\w+)", r"exits.\1.linear.\2"),
    (r"final_layer_(audio|video)\.adaLN_modulation\.1\.(\w+)", r"exits.\1.modulation.\2"),
    (r"t_embedder\.mlp\.0\.(\w+)", r"time.linear_1.\1"),
    (r"t_embedder\.mlp\.2\.(\w+)", r"time.linear_2.\1"),
    (r"c_embedder\.(\w+)", r"context_in.\1"),
    (r"blocks\.(\d+)\.attn\.qkv\.(\w+)", r"blocks.\1.attention.qkv.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"blocks.\1.attention.out.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(\w+)", r"blocks.\1.mlp.widen.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(\w+)", r"blocks.\1.mlp.narrow.\2"),
    (r"blocks\.(\d+)\.adaLN_modulation\.1\.(\w+)", r"blocks.\1.modulation.\2"),
    (r"zero_layers\.(\d+)\.0\.weight", r"outs.\1.weight"),
)
# Prefixes in the checkpoint of the continuation network, which includes the training module.
PARTS = (
    (r"model\.diffusion_model\.(.+)", "network."),
    (r"prevideo_enc\.(.+)", "before."),
)
OUTER = (
    (r"(audio|video)_emb\.(\w+)", r"before_in.\1.\2"),
    (r"context_emb", "network.learnt_context"),
)
# Tensors that the released continuation network holds but does not use.
UNUSED = re.compile(r"before\.exits\.")


def convert_key(name: str) -> str:
    """Convert the name of a tensor of the released transformer or continuation network to the name in this package.

    Raises:
        ValueError: The name is not one of a released checkpoint.
    """
    for pattern, prefix in PARTS:
        if found := re.fullmatch(pattern, name):
            return prefix + convert_key(found[1])
    for pattern, replacement in (*OUTER, *NAMES):
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    raise ValueError(f"{name}: no tensor of a released MM-LDM checkpoint")


def check_patches(state_dict: Mapping[str, Tensor]) -> None:
    """Raise ValueError if a token of the checkpoint is a patch of several latent positions."""
    for name, value in state_dict.items():
        if name.endswith(".embed.weight") and value.ndim == 4 and value.shape[2:] != (1, 1):
            rows, columns = value.shape[2:]
            raise ValueError(
                f"MM-LDM checkpoint: {name} has patches of {rows}x{columns} latents; only patches of 1x1, as in the published "
                "configurations, are supported"
            )


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors of a released checkpoint into an `MMLDM` or a `Continuation`.

    Position embeddings that were trained away from the fixed ones are kept: the difference is added to the learnt embeddings. The
    first released version of the transformer has no modality embeddings (mod_embed_*): they become zeros. The released learnt
    context is skipped if the model's context is text.

    Args:
        model: An `MMLDM` or a `Continuation`.
        tensors: State dict of the released checkpoint.

    Raises:
        ValueError: A tensor is missing, unexpected or of another shape, or the checkpoint uses patches of several positions.
    """
    state_dict = {convert_key(name): value for name, value in tensors.items()}
    state_dict = {name: value for name, value in state_dict.items() if not UNUSED.match(name)}
    check_patches(state_dict)
    expected = model.state_dict()
    modality = [name for name in expected if name.endswith(".modality")]
    if not any(name in state_dict for name in modality):
        state_dict |= {name: torch.zeros_like(expected[name]) for name in modality}
    learnt_context = "network.learnt_context" if isinstance(model, Continuation) else "learnt_context"
    if learnt_context not in expected:
        state_dict.pop(learnt_context, None)
    modules = dict(model.named_modules())
    for name in [name for name in state_dict if name.endswith(".position")]:
        embedding = modules.get(name.removesuffix(".position"))
        if not isinstance(embedding, StreamEmbedding):
            continue
        if state_dict[name].numel() != embedding.position.numel():
            raise ValueError(
                f"MM-LDM checkpoint: {name} is {tuple(state_dict[name].shape)}, expected {tuple(embedding.position.shape)}: "
                "it was trained on latents of another size, or at another width"
            )
        offset = state_dict.pop(name).reshape(embedding.position.shape) - embedding.position
        # Smaller differences are rounding errors of the sines.
        if float(offset.abs().max()) > 1e-6:
            key = name.removesuffix("position") + "modality"
            state_dict[key] = state_dict[key].reshape(offset.shape) + offset
    missing, unexpected = sorted(set(expected) - set(state_dict)), sorted(set(state_dict) - set(expected))
    if missing or unexpected:
        raise ValueError(
            f"MM-LDM checkpoint: {len(missing)} tensors missing ({', '.join(missing[:2]) or 'none'}) and {len(unexpected)} "
            f"unexpected ({', '.join(unexpected[:2]) or 'none'}): the file is incomplete, or the settings belong to another model"
        )
    for name, value in state_dict.items():
        if value.numel() != expected[name].numel():
            raise ValueError(f"MM-LDM checkpoint: {name} is {tuple(value.shape)}, expected {tuple(expected[name].shape)}")
    # Convolutions with 1x1 patches are linear layers here, with equal values.
    with torch.no_grad():
        model.load_state_dict(
            {name: value.reshape(expected[name].shape).to(expected[name].dtype) for name, value in state_dict.items()}
        )
