"""Checkpoints of the released transformer and of its continuation network in this package's names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sonovid.models.mmldm.continuation import Continuation
from sonovid.models.mmldm.layers import Entrance

# Released name to ours. A stream's name stands at the end of the first part there, and in the middle here.
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
# The continuation network is kept with the module that trains it.
PARTS = (
    (r"model\.diffusion_model\.(.+)", "network."),
    (r"prevideo_enc\.(.+)", "before."),
)
OUTER = (
    (r"(audio|video)_emb\.(\w+)", r"before_in.\1.\2"),
    (r"context_emb", "network.learnt_context"),
)
# What the released continuation network keeps and never uses.
UNUSED = re.compile(r"before\.exits\.")


def our_name(name: str) -> str:
    """Our name of a tensor of the released transformer, or of the released continuation network.

    Raises:
        ValueError: no name of either.
    """
    for pattern, prefix in PARTS:
        if found := re.fullmatch(pattern, name):
            return prefix + our_name(found[1])
    for pattern, ours in (*OUTER, *NAMES):
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    raise ValueError(f"{name}: no tensor of a released MM-LDM checkpoint")


def check_patches(given: Mapping[str, Tensor]) -> None:
    """Raises ValueError where a token of the checkpoint is a patch of several places of the latents."""
    for name, value in given.items():
        if name.endswith(".embed.weight") and value.ndim == 4 and value.shape[2:] != (1, 1):
            rows, columns = value.shape[2:]
            raise ValueError(
                f"MM-LDM checkpoint: {name} has patches of {rows}x{columns} latents; only those of 1x1, as in the published "
                "configurations, are known"
            )


def load(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill an `MMLDM` or a `Continuation` with the tensors of a released checkpoint.

    Places that were trained away from the fixed ones are kept: what they differ by goes into the learnt ones. The first released
    form of the transformer has no modality embeddings (mod_embed_*): they are zeros. Where the model's context is text, the
    released learnt context is left out.

    Raises:
        ValueError: a tensor is missing, surplus or of another shape, or the checkpoint has patches of several places.
    """
    given = {our_name(name): value for name, value in tensors.items()}
    given = {name: value for name, value in given.items() if not UNUSED.match(name)}
    check_patches(given)
    own = model.state_dict()
    without = [name for name in own if name.endswith(".modality")]
    if not any(name in given for name in without):
        given |= {name: torch.zeros_like(own[name]) for name in without}
    learnt = "network.learnt_context" if isinstance(model, Continuation) else "learnt_context"
    if learnt not in own:
        given.pop(learnt, None)
    modules = dict(model.named_modules())
    for name in [name for name in given if name.endswith(".position")]:
        entrance = modules.get(name.removesuffix(".position"))
        if not isinstance(entrance, Entrance):
            continue
        if given[name].numel() != entrance.position.numel():
            raise ValueError(
                f"MM-LDM checkpoint: {name} is {tuple(given[name].shape)}, expected {tuple(entrance.position.shape)}: it was "
                "trained on latents of another size, or at another width"
            )
        moved = given.pop(name).reshape(entrance.position.shape) - entrance.position
        # Rounding of the sines is no training.
        if float(moved.abs().max()) > 1e-6:
            place = name.removesuffix("position") + "modality"
            given[place] = given[place].reshape(moved.shape) + moved
    missing, surplus = sorted(set(own) - set(given)), sorted(set(given) - set(own))
    if missing or surplus:
        raise ValueError(
            f"MM-LDM checkpoint: {len(missing)} tensors missing ({', '.join(missing[:2]) or 'none'}) and {len(surplus)} surplus "
            f"({', '.join(surplus[:2]) or 'none'}): it is not whole, or the model's settings are another one's"
        )
    for name, value in given.items():
        if value.numel() != own[name].numel():
            raise ValueError(f"MM-LDM checkpoint: {name} is {tuple(value.shape)}, expected {tuple(own[name].shape)}")
    # Convolutions of a patch of one are linear layers here: the values are the same.
    with torch.no_grad():
        model.load_state_dict({name: value.reshape(own[name].shape).to(own[name].dtype) for name, value in given.items()})
