"""UniForm initialised from a tiny random PixArt: copied weights behave as in PixArt."""

import pytest
import torch
from diffusers import PixArtTransformer2DModel

from sonovid.models.uniform.pixart import init_from_pixart, load_pixart
from sonovid.models.uniform.transformer import UniForm

COLUMNS = {
    "layout": "columns", "depth": 2, "width": 16, "heads": 2, "patch_size": (1, 2, 2),
    "video": (4, 8, 8), "audio": (8, 4, 3), "text_width": 6, "learn_variance": True,
}  # fmt: skip


def pixart(**changes) -> PixArtTransformer2DModel:
    torch.manual_seed(0)
    sizes = {
        "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 2,
        "cross_attention_dim": 16, "sample_size": 8, "patch_size": 2, "caption_channels": 6, "use_additional_conditions": False,
    }  # fmt: skip
    model = PixArtTransformer2DModel(**{**sizes, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def test_only_parameters_without_a_pixart_counterpart_remain():
    left = init_from_pixart(UniForm(**COLUMNS), pixart())
    spatial = [name for name in left if not name.startswith("temporal.")]
    norms = [f"spatial.{i}.attention.{kind}_norm" for i in (0, 1) for kind in ("key", "query")]
    rate = [f"rate.linear_{i}.{kind}" for i in (1, 2) for kind in ("bias", "weight")]
    assert spatial == sorted(["grid.task.weight", "null_text", *norms, *rate])


def test_a_block_matches_pixart():
    """On single tokens, where attention has one key and queries do not matter, the whole block agrees."""
    model, source = UniForm(**COLUMNS).eval(), pixart()
    init_from_pixart(model, source)
    x, text, mask = torch.randn(3, 1, 16), torch.randn(3, 5, 16), torch.tensor([[True] * 4 + [False]] * 3)
    shared = torch.randn(3, 6 * 16)
    bias = (~mask)[:, None].float() * -1e4
    theirs = source.transformer_blocks[1](x, encoder_hidden_states=text, encoder_attention_mask=bias, timestep=shared)
    ours = model.spatial[1](x[:, None], shared[:, None, None], text, mask)[:, 0]
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_queries_and_keys_are_copied_in_order():
    model, source = UniForm(**COLUMNS), pixart()
    init_from_pixart(model, source)
    q, k, v = model.spatial[0].attention.qkv.weight.chunk(3)
    attention = source.transformer_blocks[0].attn1
    assert torch.equal(q, attention.to_q.weight)
    assert torch.equal(k, attention.to_k.weight)
    assert torch.equal(v, attention.to_v.weight)


def test_timestep_and_text_embeddings_match_pixart():
    model, source = UniForm(**COLUMNS), pixart()
    init_from_pixart(model, source)
    t = torch.tensor([0.0, 0.25, 0.999])
    theirs, embedded = source.adaln_single(
        1000 * t, {"resolution": None, "aspect_ratio": None}, batch_size=3, hidden_dtype=torch.float32
    )
    ours = model.time(1000 * t)
    assert torch.allclose(ours, embedded, atol=1e-5)
    assert torch.allclose(model.modulation(torch.nn.functional.silu(ours)), theirs, atol=1e-5)
    words = torch.randn(2, 3, 6)
    ours = model.text_out(torch.nn.functional.gelu(model.text_in(words), approximate="tanh"))
    assert torch.allclose(ours, source.caption_projection(words), atol=1e-5)


def test_patch_and_position_embeddings_match_pixart():
    model, source = UniForm(**COLUMNS), pixart()
    init_from_pixart(model, source)
    from sonovid.core.av import AV

    x = AV(torch.randn(2, 4, 3, 8, 8), torch.randn(2, 8, 9, 4))
    tokens = model.grid.pack(x, torch.zeros(2, dtype=torch.long))[:, 1, model.grid.num_leading_tokens :]
    theirs = source.pos_embed(x.video[:, :, 1]).unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
    assert torch.allclose(tokens, theirs, atol=1e-5)


def test_the_output_layer_matches_pixart():
    model, source = UniForm(**COLUMNS), pixart()
    init_from_pixart(model, source)
    from sonovid.core.av import AV

    like = AV(torch.zeros(1, 4, 1, 8, 8), torch.zeros(1, 8, 3, 4))
    tokens = torch.randn(1, 1, model.grid.num_leading_tokens + 16, 16)
    noise, variance = (pair.video[:, :, 0] for pair in model.grid.unpack(tokens, like))
    video = tokens[:, 0, model.grid.num_leading_tokens :].unflatten(1, (4, 4)).transpose(1, 2)
    theirs = torch.einsum("nhwpqc->nchpwq", source.proj_out(video).unflatten(-1, (2, 2, 8))).reshape(1, 8, 8, 8)
    assert torch.allclose(torch.cat([noise, variance], 1), theirs, atol=1e-5)


def test_patches_of_several_frames_start_as_their_mean(tmp_path):
    pixart().save_pretrained(tmp_path / "transformer")
    source = load_pixart(tmp_path)
    config = {**COLUMNS, "layout": "tokens", "patch_size": (2, 2, 2), "learn_variance": False, "depth": 1}
    model = UniForm(**config)
    left = init_from_pixart(model, source)
    assert "grid.embed_video.weight" not in left
    assert "grid.head_video.weight" not in left
    assert "grid.embed_audio.weight" in left
    frame = torch.randn(4, 2, 2)
    still = frame[:, None].expand(-1, 2, -1, -1).flatten()
    assert torch.allclose(model.grid.embed_video(still), source.pos_embed.proj(frame[None]).flatten(), atol=1e-5)


def test_an_incompatible_pixart_is_refused_or_partly_copied():
    with pytest.raises(ValueError, match="does not fit"):
        init_from_pixart(UniForm(**COLUMNS), pixart(caption_channels=7))
    with pytest.raises(ValueError, match="does not fit"):
        init_from_pixart(UniForm(**{**COLUMNS, "depth": 3}), pixart())
    left = init_from_pixart(UniForm(**COLUMNS), pixart(in_channels=3, out_channels=3))
    assert {"grid.embed.weight", "grid.head.weight"} <= set(left)
