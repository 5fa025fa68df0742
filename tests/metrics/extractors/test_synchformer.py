"""Synchformer: every part against another way of computing it, published names and sizes, lengths, offsets of pairs."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from peers import filled_with_waves, waves
from torch import nn

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors import synchformer as subject
from sonovid.metrics.extractors.synchformer import (
    SAMPLE_RATE,
    SyncAudio,
    SyncVideo,
    filters,
    log_mel,
    offset_logits,
    resize_and_crop_frames,
)
from sonovid.metrics.extractors.synchformer_network import DividedAttention, JointBlock, Synchformer

TINY = {"width": 8, "depth": 1, "heads": 2, "patch": 112, "stride": 50, "joint_heads": 2}


class TinyVideo(SyncVideo):
    sizes = TINY


class TinyAudio(SyncAudio):
    sizes = TINY


@pytest.fixture(scope="module")
def file(tmp_path_factory, randomised):
    path = tmp_path_factory.mktemp("weights") / "synchformer_state_dict.pth"
    state = randomised(Synchformer(**TINY)).state_dict()
    unused = {"vfeat_extractor.patch_embed.proj.weight": torch.zeros(8, 3, 112, 112)}
    torch.save(state | unused | {"vfeat_extractor.patch_embed.proj.bias": torch.zeros(8)}, path)
    return path


@pytest.fixture(scope="module")
def both(file):
    video, audio = TinyVideo(), TinyAudio()
    video.load([file])
    audio.load([file])
    return video, audio


def clip(seconds: float, seed: int = 0) -> Sample:
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (round(25 * seconds), 24, 32, 3), dtype=np.uint8)
    waveform = generator.normal(0, 0.1, (1, round(SAMPLE_RATE * seconds))).astype(np.float32)
    return Sample(Clip(frames, waveform, fps=Fraction(25), sample_rate=SAMPLE_RATE))


def test_names_and_sizes_are_the_published_ones():
    with torch.device("meta"):
        network = Synchformer()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # With the flat patches that lie in the file unused (590,592): 237,460,245, the 237.5 million of the released file.
    assert sum(p.numel() for p in network.parameters()) == 237_460_245 - 590_592
    assert shapes["vfeat_extractor.pos_embed"] == (1, 197, 768)
    assert shapes["vfeat_extractor.temp_embed"] == (1, 8, 768)
    assert shapes["vfeat_extractor.patch_embed_3d.proj.weight"] == (768, 3, 2, 16, 16)
    assert shapes["vfeat_extractor.blocks.11.timeattn.qkv.weight"] == (2304, 768)
    assert shapes["vfeat_extractor.spatial_attn_agg.self_attn.in_proj_weight"] == (2304, 768)
    assert shapes["afeat_extractor.ast.embeddings.position_embeddings"] == (1, 74, 768)
    assert shapes["afeat_extractor.ast.encoder.layer.11.attention.output.dense.bias"] == (768,)
    assert shapes["afeat_extractor.freq_attn_agg.cls_token"] == (1, 1, 768)
    assert shapes["transformer.pos_emb_cfg.pos_emb"] == (1, 198, 768)
    assert shapes["transformer.off_head.weight"] == (21, 768)


@pytest.mark.parametrize("axis", ["f", "n"])
def test_divided_attention_is_attention_under_a_mask(axis, randomised):
    frames, places, width, heads = 3, 4, 8, 2
    layer = randomised(DividedAttention(width, heads))
    x = torch.randn(2, 1 + frames * places, width, generator=torch.Generator().manual_seed(1))
    frame, place = torch.arange(frames * places) // places, torch.arange(frames * places) % places
    same = (place[:, None] == place) if axis == "f" else (frame[:, None] == frame)
    seen = torch.ones(1 + frames * places, 1 + frames * places, dtype=torch.bool)
    seen[1:, 1:] = same
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in layer.qkv(x).chunk(3, -1))
    weight = (q @ k.mT / (width // heads) ** 0.5).masked_fill(~seen, -torch.inf).softmax(-1)
    expected = layer.proj((weight @ v).transpose(1, 2).flatten(2))
    assert torch.allclose(layer(x, frames, axis), expected, atol=1e-6)


def test_a_joining_block_is_a_transformer_layer(randomised):
    width, heads = 8, 2
    block = randomised(JointBlock(width, heads))
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, nn.functional.gelu, batch_first=True, norm_first=True).eval()
    own = block.state_dict()
    state = {"norm1": "ln1", "norm2": "ln2", "linear1": "mlp.0", "linear2": "mlp.2", "self_attn.out_proj": "attn.proj"}
    state = {f"{a}.{kind}": own[f"{b}.{kind}"] for a, b in state.items() for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        state[f"self_attn.in_proj_{kind}"] = torch.cat([own[f"attn.{name}.{kind}"] for name in ("query", "key", "value")])
    layer.load_state_dict(state)
    x = torch.randn(2, 5, width, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(block(x), layer(x), atol=1e-5)


def test_the_sound_s_transformer_is_that_of_transformers(randomised):
    import transformers

    own = randomised(Synchformer(**TINY)).afeat_extractor.ast
    config = transformers.ASTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, frequency_stride=50, time_stride=50,
        max_length=66, num_mel_bins=128, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.ASTModel(config).eval()
    # The names of transformers 5, where they differ from those of 4, which Synchformer was published under.
    changed = {"attention.attention.query": "attention.q_proj", "attention.attention.key": "attention.k_proj"}
    changed |= {"attention.attention.value": "attention.v_proj", "attention.output.dense": "attention.o_proj"}
    changed |= {"intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2", "encoder.layer.": "layers."}
    state = own.state_dict()
    for here, there in changed.items():
        state = {name.replace(here, there) if name not in theirs.state_dict() else name: v for name, v in state.items()}
    theirs.load_state_dict(state)
    mel = torch.randn(2, 66, 128, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.allclose(own(mel), theirs(mel).last_hidden_state, atol=1e-5)


def test_the_filters_and_the_spectrogram_are_torchaudio_s():
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    filter_bank = mel_filter_bank(513, 128, 0.0, 8000.0, 16000, norm=None, mel_scale="htk")
    assert np.allclose(filters().numpy(), filter_bank, atol=1e-6)
    sound = np.random.default_rng(0).normal(0, 0.1, 10240).astype(np.float32)
    power = spectrogram(sound, window_function(400, "hann"), 400, 160, fft_length=1024, power=2.0, mel_filters=filter_bank)
    # A window shorter than its transform begins at the first sample there and lies in the middle in torch.
    centred = np.pad(window_function(400, "hann"), 312)
    power = spectrogram(sound, centred, 1024, 160, power=2.0, mel_filters=filter_bank).T
    expected = (np.log(power + 1e-6) + 4.2677393) / (2 * 4.5689974)
    found = log_mel(torch.from_numpy(sound)[None])[0].numpy()
    assert found.shape == (66, 128)
    assert np.allclose(found[:65], expected, atol=2e-3)
    assert np.allclose(found[65], 4.2677393 / (2 * 4.5689974), atol=1e-6), "nought behind the end, not silence"


def test_segments_and_the_least_length(both):
    video, audio = both
    for extractor, key in ((video, "video"), (audio, "audio")):
        with pytest.raises(UnusableClipError, match=f"of {key}; Synchformer needs 4.8 s"):
            extractor.prepare(clip(4.76))
        (arrays,) = extractor.embed([extractor.prepare(clip(4.8))])
        assert len(arrays["tokens"]) == 14
    assert video.embed([video.prepare(clip(8))])[0]["tokens"].shape == (24, 8, 8)
    assert audio.embed([audio.prepare(clip(8))])[0]["tokens"].shape == (24, 2, 8)


def test_offsets_of_pairs_are_the_whole_network_s(both, file):
    video, audio = both
    one, other = clip(5.2, 1), clip(6, 2)
    pictures, sound = video.embed([video.prepare(one)])[0], audio.embed([audio.prepare(other)])[0]
    logits = offset_logits(pictures, sound, TINY)
    assert logits.shape == (2, 21)
    network = video.network
    with torch.no_grad():
        # 15 segments of pictures, 17 of sound: the last are the 14 before the end of the shorter.
        expected = [
            network.transformer(
                torch.from_numpy(pictures["tokens"][i : i + 14]).flatten(0, 1)[None],
                torch.from_numpy(sound["tokens"][i : i + 14]).flatten(0, 1)[None],
            )[0].numpy()
            for i in (0, 1)
        ]
    assert np.allclose(logits, expected, atol=1e-5)
    shuffled = offset_logits(pictures, audio.embed([audio.prepare(one)])[0], TINY)
    assert not np.allclose(shuffled, logits, rtol=0, atol=1e-5)


def test_tokens_outlive_the_place_of_their_weights(both, file, monkeypatch, tmp_path):
    from sonovid.metrics.base import UnavailableError

    video, audio = both
    pictures, sound = video.embed([video.prepare(clip(5))])[0], audio.embed([audio.prepare(clip(5))])[0]
    here = offset_logits(pictures, sound, TINY)
    gone = {**pictures, "weights": np.frombuffer(str(tmp_path / "gone.pth").encode(), np.uint8)}
    monkeypatch.setattr(subject, "WEIGHTS", replace(subject.WEIGHTS, md5=""))
    monkeypatch.setenv("SONOVID_WEIGHTS", str(file.parent))
    assert np.allclose(offset_logits(gone, sound, TINY), here)
    monkeypatch.setenv("SONOVID_WEIGHTS", str(tmp_path))
    subject._joint.cache_clear()
    with pytest.raises(UnavailableError, match=r"synchformer_state_dict\.pth"):
        offset_logits(gone, sound, TINY)


def test_the_middle_square_at_224():
    frames = np.zeros((2, 24, 48, 3), np.uint8)
    frames[:, :, 24:] = 200
    square = resize_and_crop_frames(frames)
    assert square.shape == (2, 224, 224, 3)
    assert square[:, :, :90].max() == 0
    assert square[:, :, 134:].min() == 200
    same = np.random.default_rng(0).integers(0, 256, (1, 224, 300, 3), dtype=np.uint8)
    assert np.array_equal(resize_and_crop_frames(same), same[:, :, 38:262])


def test_another_network_is_refused(tmp_path, file):
    with pytest.raises(ValueError, match="another network than Synchformer"):
        SyncVideo().load([file])


def test_it_gives_the_figures_that_it_gave_when_it_equalled_the_authors_code():
    """At full size, with equal random weights, tokens were within 1.7e-6 and logits within 3.6e-7 of theirs; these hold that."""
    with torch.no_grad():
        network = filled_with_waves(Synchformer(**TINY))
        video = network.encode_video(waves((1, 3, 16, 224, 224), 0.37).expand(14, -1, -1, -1, -1))
        audio = network.encode_audio(waves((1, 66, 128), 0.011).expand(14, -1, -1))
        logits = network.transformer(video.reshape(1, -1, 8), audio.reshape(1, -1, 8))
    np.testing.assert_allclose(
        video[0, 0], [1.812659, 0.5068227, -1.36762, -2.02495, -0.9461321, 0.6768974, 1.518767, 1.326958], atol=1e-4
    )
    np.testing.assert_allclose(
        audio[0, 0], [2.099591, -1.359614, 1.136262, 0.4725133, -1.197901, 1.784511, -1.872075, 0.6711245], atol=1e-4
    )
    np.testing.assert_allclose(logits[0, ::4], [1.065014, -0.8056206, -0.7621552, 0.6678874, 0.5666089, -0.2672475], atol=1e-4)
