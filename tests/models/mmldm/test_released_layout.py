"""Checkpoints with released names, converted from a model of this package: supported and unsupported forms."""

import pytest
import torch

from sonovid.models.mmldm import MMLDM, released

TINY = {
    "video": (4, 4, 4), "audio": (4, 4, 2), "width": 32, "depth": 2, "heads": 2, "context": "text", "context_tokens": 3,
    "context_width": 8,
}  # fmt: skip
# Names that a pattern cannot be turned back into.
THEIRS = (
    ("entrances.{s}.end", "eos_{s}"),
    ("entrances.{s}.modality", "mod_embed_{s}"),
    ("entrances.{s}.embed.", "x_embedder_{s}.proj."),
    ("given_in.{s}.", "cond_embedder_{s}.proj."),
    ("exits.{s}.linear.", "final_layer_{s}.linear."),
    ("exits.{s}.modulation.", "final_layer_{s}.adaLN_modulation.1."),
)
SHARED = (
    ("time.linear_1.", "t_embedder.mlp.0."), ("time.linear_2.", "t_embedder.mlp.2."), ("context_in.", "c_embedder."),
    (".attention.qkv.", ".attn.qkv."), (".attention.out.", ".attn.proj."), (".mlp.widen.", ".mlp.fc1."),
    (".mlp.narrow.", ".mlp.fc2."), (".modulation.", ".adaLN_modulation.1."),
)  # fmt: skip


def their_name(name):
    for stream in ("video", "audio"):
        for ours, theirs in THEIRS:
            if name.startswith(ours.format(s=stream)):
                return name.replace(ours.format(s=stream), theirs.format(s=stream))
    for ours, theirs in SHARED:
        name = name.replace(ours, theirs)
    return name


def checkpoint():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        model = MMLDM(**TINY)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model, {their_name(name): value for name, value in model.state_dict().items()}


def test_the_first_released_form_without_modality_embeddings_is_loaded():
    model, tensors = checkpoint()
    first = {name: value for name, value in tensors.items() if not name.startswith("mod_embed")}
    assert len(first) == len(tensors) - 2
    read = MMLDM(**TINY)
    released.load_weights(read, first)
    for name, value in model.state_dict().items():
        expected = torch.zeros_like(value) if name.endswith(".modality") else value
        assert torch.equal(read.state_dict()[name], expected), name
    # One of the two missing is a file that is not whole.
    with pytest.raises(ValueError, match="1 tensors missing"):
        released.load_weights(MMLDM(**TINY), {name: value for name, value in tensors.items() if name != "mod_embed_audio"})


def test_other_patch_and_latent_sizes_are_refused_in_one_line():
    _, tensors = checkpoint()
    weight = tensors["x_embedder_video.proj.weight"]
    patches = tensors | {"x_embedder_video.proj.weight": torch.zeros(*weight.shape[:2], 2, 2)}
    places = tensors | {"pos_embed_video": torch.zeros(1, 64, 32)}
    wider = tensors | {"c_embedder.weight": torch.zeros(32, 9)}
    for changed, said in (
        (patches, r"has patches of 2x2 latents; only patches of 1x1"),
        (places, r"entrances\.video\.position is \(1, 64, 32\), expected"),
        (wider, r"context_in\.weight is \(32, 9\), expected \(32, 8\)"),
    ):
        with pytest.raises(ValueError, match=said) as raised:
            released.load_weights(MMLDM(**TINY), changed)
        assert "\n" not in str(raised.value)
