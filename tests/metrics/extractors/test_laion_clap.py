"""LAION's CLAP in its own format: figures of its own code with the same weights, published names and sizes, windows, refusals."""

import numpy as np
import pytest
import torch
from peers import built, waves

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample
from sonovid.metrics.extractors.clap import SAMPLE_RATE
from sonovid.metrics.extractors.laion_clap import (
    BASE,
    TINY,
    LaionClapAudio,
    LaionClapAudioNetwork,
    LaionClapAudioSmall,
    LaionClapText,
    LaionClapTextNetwork,
    split_state_dict,
)

SIZES = {"width": 8, "depths": (1, 1), "heads": (2, 2), "out": 12}
TEXT = {"vocab_size": 320, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT |= {"max_position_embeddings": 30}
# Names of transformers' HTSAT and their published names.
PUBLISHED = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "attention.self.relative_position_bias_table": "attn.relative_position_bias_table",
    "attention.self.relative_position_index": "attn.relative_position_index",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "batch_norm.": "bn0.",
}


class TinyAudio(LaionClapAudio):
    sizes = SIZES


class TinyText(LaionClapText):
    sizes = {"out": 12, "text": TEXT}  # noqa: RUF012


def published(audio: LaionClapAudioNetwork, text: LaionClapTextNetwork) -> dict[str, torch.Tensor]:
    """Both state dicts under the names of the released checkpoints."""
    found: dict[str, torch.Tensor] = {}
    for key, value in audio.state_dict().items():
        if key.startswith("projection."):
            found["audio_" + key] = value
            continue
        name = "logmel_extractor.melW" if key == "filters" else key.removeprefix("htsat.audio_encoder.")
        for here, there in PUBLISHED.items():
            name = name.replace(here, there)
        if "attention.self." in name:
            stem, kind = name.split("attention.self.")[0], name.rpartition(".")[2]
            joined = [audio.state_dict()[key.replace(".query.", f".{part}.")] for part in ("query", "key", "value")]
            if ".query." not in key:
                continue
            name, value = f"{stem}attn.qkv.{kind}", torch.cat(joined)
        found["audio_branch." + name] = value
    for key, value in text.state_dict().items():
        found["text_" + key if key.startswith("projection.") else key.replace("roberta.", "text_branch.", 1)] = value
    return found


def filled(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights that any code can make alike, in the order of the published names."""
    constant = ("relative_position_index", "num_batches_tracked")
    names = sorted(key for key in state if not key.endswith(constant))
    done = {key: value for key, value in state.items() if key.endswith(constant)}
    for i, key in enumerate(names):
        wave = waves(tuple(state[key].shape), 0.1 + 0.01 * i)
        scale = 1.0 if wave.ndim == 1 and key.endswith("weight") else 0.0
        done[key] = (
            wave.abs() + 0.5 if key.endswith("running_var") else wave.abs() if key.endswith("melW") else scale + 0.3 * wave
        )
    return done


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "music_speech_audioset_epoch_15_esc_89.98.pt"
    state = filled(published(LaionClapAudioNetwork(**SIZES), LaionClapTextNetwork(12, TEXT)))
    state |= {"logit_scale_a": torch.tensor(1.0), "audio_branch.tscam_conv.weight": torch.zeros(7, 16, 2, 3)}
    torch.save({"epoch": 15, "state_dict": {"module." + key: value for key, value in state.items()}}, path)
    return path


@pytest.fixture(scope="module")
def audio(file):
    extractor = TinyAudio()
    extractor.load([file])
    return extractor


@pytest.mark.parametrize(("sizes", "count"), [(BASE, 67_824_408), (TINY, 27_534_488)])
def test_sizes_are_those_of_the_published_encoders(sizes, count):
    with torch.device("meta"):
        network = LaionClapAudioNetwork(**sizes)
        text = LaionClapTextNetwork()
    # As laion_clap 1.1.7 counts them, without classifiers and constants.
    assert sum(p.numel() for p in network.htsat.parameters()) == count
    # RoBERTa base, which LAION's CLAP was initialised from.
    assert sum(p.numel() for p in text.roberta.parameters()) == 124_645_632
    assert network.projection[2].weight.shape == text.projection[2].weight.shape == (512, 512)


def test_it_gives_the_figures_of_the_published_code(audio, file):
    """Computed by laion_clap 1.1.7 (HTSAT of these sizes, its projections; transformers' RoBERTa) from the same weights."""
    sound = waves((2, 10 * SAMPLE_RATE), 0.37)[:1] * 0.3 + waves((2, 10 * SAMPLE_RATE), 0.011)[:1] * 0.2
    expected = [0.4463412, 0.4871682, 0.4619761, 0.3776652, 0.2563925, 0.129716, 0.03025385, -0.01693265, -0.0009575543]
    expected += [0.07202177, 0.1804432, 0.293054]
    with torch.no_grad():
        assert np.allclose(audio.network(sound)[0].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_words_give_the_figures_of_the_published_code(clap_folder, tmp_path):
    """The same, for tokens 0, 7, 2 and two of padding, and a vocabulary of 40."""
    sizes = TEXT | {"vocab_size": 40}
    state = filled(published(LaionClapAudioNetwork(**SIZES), LaionClapTextNetwork(12, sizes)))
    network = LaionClapTextNetwork(12, sizes).eval()
    network.load_state_dict(split_state_dict(state)[1])
    tokens, mask = torch.tensor([[0, 7, 2, 1, 1], [0, 5, 9, 11, 2]]), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    expected = [0.4324633, 0.3365881, -0.06044428, -0.388118, -0.3527071, -0.002571444, 0.3310097, 0.3492862, 0.05561834]
    expected += [-0.265959, -0.326657, -0.09426126]
    with torch.no_grad():
        assert np.allclose(network(tokens, mask)[0].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_captions_do_not_depend_on_their_neighbours(clap_folder, file):
    extractor = TinyText()
    extractor.load([file, clap_folder])
    captions = ["a dog", "a wooden stick in the rain", "a dog barks"]
    prepared = [extractor.prepare(Sample(None, caption)) for caption in captions]
    together = extractor.embed(prepared)
    for one, row in zip(prepared, together, strict=True):
        assert np.allclose(extractor.embed([one])[0]["features"], row["features"], atol=1e-5)
        assert np.isclose(np.linalg.norm(row["features"]), 1, atol=1e-5)


def test_rows_per_second_and_of_length_one(audio):
    def sample(seconds: float) -> Sample:
        noise = np.random.default_rng(round(seconds * 10)).normal(0, 0.1, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
        return Sample(Clip(None, noise, sample_rate=SAMPLE_RATE))

    prepared = [audio.prepare(sample(s)) for s in (1.8, 0.4)]
    together = audio.embed(prepared)
    assert [one["features"].shape for one in together] == [(2, 12), (1, 12)]
    for one, p in zip(together, prepared, strict=True):
        assert one["whole"].shape == (12,)
        assert np.allclose(np.linalg.norm(one["features"], axis=-1), 1, atol=1e-5)
        assert np.allclose(audio.embed([p])[0]["features"], one["features"], atol=1e-5)


def test_other_files_are_refused_in_one_line(file, tmp_path, clap_folder):
    with pytest.raises(ValueError, match="another network than LaionClapAudioNetwork"):
        LaionClapAudioSmall().load([file])
    other = tmp_path / "other.pt"
    torch.save(built(lambda: torch.nn.Linear(2, 2)).state_dict(), other)
    with pytest.raises(ValueError, match="no audio encoder of LAION's CLAP"):
        LaionClapAudio().load([other])
    with pytest.raises(ValueError, match="no text encoder of LAION's CLAP"):
        LaionClapText().load([other, clap_folder])
