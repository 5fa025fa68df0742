"""Metrics of published networks, from files to numbers, with tiny random networks in the place of the published weights."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import semantic
from sonovid.metrics.base import ClipScore, PairedScore
from sonovid.metrics.cache import Cache
from sonovid.metrics.evaluate import EvaluationConfig, evaluate
from sonovid.metrics.extraction import Extraction
from sonovid.metrics.extractors.synchformer_network import Synchformer
from sonovid.metrics.kernels import kad
from sonovid.metrics.scores import desync
from sonovid.metrics.semantic import METRICS, kl_of_logits, one_cosine
from sonovid.metrics.sets import open_set

BY_NAME = {metric.name: metric for metric in METRICS}
CLAP = ["fad_clap_htsat_unfused", "fad_clap_htsat_unfused_per_sample", "kad_clap_htsat_unfused", "clap_score_htsat_unfused"]
WORDS = ["a dog barks", "rain", "a wooden stick in the rain", "a dog in the rain"]


def write(folder, count: int, seed: int, seconds: float = 2.2):
    """Clips of tones, each with its caption beside it."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for i in range(count):
        time = np.arange(round(8000 * seconds)) / 8000
        tone = 0.3 * np.sin(2 * np.pi * generator.uniform(200, 3000) * time) * generator.uniform(0.2, 1)
        waveform = (tone + generator.normal(0, 0.02, len(time)))[None].astype(np.float32)
        media.write(folder / f"{i}.wav", Clip(None, waveform, sample_rate=8000))
        (folder / f"{i}.txt").write_text(WORDS[i % len(WORDS)])
    return folder


@pytest.fixture(scope="module")
def weights(clap_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    (folder / "clap-htsat-unfused").symlink_to(clap_folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    return write(root / "generated", 4, 1), write(root / "reference", 5, 2)


def measured(folders, weights, **extraction):
    generated, reference = (open_set(folder) for folder in folders)
    return evaluate(
        generated,
        reference,
        [BY_NAME[n] for n in CLAP],
        EvaluationConfig(weights, resamples=5, extraction=Extraction(**extraction)),
    )


def test_names_bear_their_checkpoints_and_families_do_not_clash():
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert any(kind.name.split("_")[0] in metric.name for kind in metric.extractors), metric.name
        assert metric.source
        for kind in metric.extractors:
            for file in kind.weights:
                assert file.source
                assert "\n" not in file.source


def test_clap_from_files_to_numbers(folders, weights):
    found = measured(folders, weights)
    assert [result.name for result in found.results] == CLAP
    score = found["clap_score_htsat_unfused"]
    assert len(score.clips) == 4
    assert score.floor is not None
    assert score.ceiling is not None
    assert -1 <= score.value <= 1
    assert found["fad_clap_htsat_unfused"].value > 0
    assert found["fad_clap_htsat_unfused"].record["extractors"], "the hash of the weights is on record"
    assert set(found["fad_clap_htsat_unfused_per_sample"].clips) == {"0", "1", "2", "3"}


def test_the_same_numbers_whatever_the_batch_the_cache_and_the_run(folders, weights, tmp_path):
    numbers = []
    for extraction in ({}, {"batch_size": 1}, {"cache": Cache(tmp_path)}, {"cache": Cache(tmp_path)}):
        found = measured(folders, weights, **extraction)
        numbers.append([found[name].value for name in CLAP])
    assert np.allclose(numbers, numbers[0], rtol=1e-4)
    assert numbers[2] == numbers[3]


def test_a_folder_against_itself(folders, weights):
    found = measured((folders[1], folders[1]), weights)
    assert found["fad_clap_htsat_unfused"].value == pytest.approx(0, abs=1e-6)
    assert found["clap_score_htsat_unfused"].value == pytest.approx(found["clap_score_htsat_unfused"].ceiling)


def test_what_is_not_at_hand_is_skipped_in_one_line(folders, tmp_path):
    generated, reference = (open_set(folder) for folder in folders)
    with pytest.raises(ValueError, match="is not available: fetch it from") as caught:
        evaluate(generated, reference, METRICS, EvaluationConfig(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_wrong_folder_under_the_right_name_is_refused(folders, tmp_path):
    import transformers

    config = transformers.VideoMAEConfig(
        image_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.VideoMAEModel(config).save_pretrained(tmp_path / "clap-htsat-unfused")
    generated, reference = (open_set(folder) for folder in folders)
    with pytest.raises(ValueError, match="contains a 'videomae'; expected a 'clap'"):
        evaluate(generated, reference, [BY_NAME["fad_clap_htsat_unfused"]], EvaluationConfig(tmp_path))


def test_scores_of_arrays():
    arrays = {"a": np.array([3.0, 4.0]), "b": np.array([4.0, 3.0])}
    assert one_cosine("a", "b")(arrays, arrays) == pytest.approx(24 / 25)
    logits = {"logits": np.log(np.array([0.25, 0.75]))}
    flat = {"logits": np.zeros(2)}
    assert kl_of_logits(flat, logits) == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5))
    assert kl_of_logits(logits, logits) == pytest.approx(0)
    assert isinstance(BY_NAME["kl_ast527"], PairedScore)
    assert BY_NAME["kad_clap_htsat_unfused"].distance is kad


def test_desync_of_a_pair_and_its_sign(monkeypatch):
    """Synchformer's class 0 says the sound is 2 s behind, class 20 that it is 2 s ahead."""
    for classes, apart, sign in (((10, 10), 0.0, 0.0), ((0, 0), 2.0, 2.0), ((20, 10), 1.0, -1.0), ((12, 8), 0.4, 0.0)):
        logits = np.eye(21, dtype=np.float32)[list(classes)]
        monkeypatch.setattr(semantic, "offset_logits", lambda video, audio, logits=logits: logits)
        assert semantic.desync_of({}, {}) == pytest.approx(apart)
        assert semantic.offset_of({}, {}) == pytest.approx(sign, abs=1e-9)
        assert semantic.desync_of({}, {}) == pytest.approx(float(desync(logits[:1], logits[1:])[0]))


def test_desync_from_files_with_its_floor(tmp_path, randomised, monkeypatch):
    """The floor puts other sounds to the same pictures, though the network is joint."""
    from sonovid.metrics.extractors.synchformer import SyncAudio, SyncVideo, offset_logits

    sizes = {"width": 8, "depth": 1, "heads": 2, "patch": 112, "stride": 50, "joint_heads": 2}
    torch.save(randomised(Synchformer(**sizes)).state_dict(), tmp_path / "synchformer_state_dict.pth")

    # The file is of another size than the published one, and so of another hash.
    own = (replace(SyncVideo.weights[0], md5=""),)

    class TinyVideo(SyncVideo):
        weights = own

    class TinyAudio(SyncAudio):
        weights = own

    TinyVideo.sizes = TinyAudio.sizes = sizes
    monkeypatch.setattr(semantic, "offset_logits", lambda video, audio: offset_logits(video, audio, sizes))
    generator = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    for name, seconds in (("a", 5.2), ("b", 4.9), ("c", 6.0), ("short", 3.0)):
        frames = generator.integers(0, 256, (round(10 * seconds), 16, 16, 3), dtype=np.uint8)
        waveform = generator.normal(0, 0.2, (1, round(16000 * seconds))).astype(np.float32)
        media.write(tmp_path / "clips" / f"{name}.mp4", Clip(frames, waveform, fps=Fraction(10), sample_rate=16000))
    metric = BY_NAME["desync_synchformer"]
    assert isinstance(metric, ClipScore)
    tiny = replace(metric, of=TinyVideo, to=TinyAudio)
    config = EvaluationConfig(tmp_path, resamples=5, extraction=Extraction(cache=Cache(tmp_path / "cache")))
    found = evaluate(open_set(tmp_path / "clips"), None, [tiny], config)["desync_synchformer"]
    again = evaluate(open_set(tmp_path / "clips"), None, [tiny], config)["desync_synchformer"]
    assert again.clips == found.clips
    assert again.floor == found.floor
    assert set(found.clips) == {"a", "b", "c"}
    assert "needs 4.8 s" in str(found.left_out)
    assert found.floor is not None
    assert all(0 <= value <= 2 for value in found.clips.values())


def test_weights_without_their_code_skip_one_metric_and_no_other(folders, weights, tmp_path, monkeypatch):
    """ImageBind's file is at hand, its code is not: CLAP's number comes all the same."""
    (tmp_path / "clap-htsat-unfused").symlink_to(weights / "clap-htsat-unfused")
    (tmp_path / "imagebind_huge.pth").write_bytes(b"weights")
    for kind in BY_NAME["imagebind_ta"].extractors:
        monkeypatch.setattr(kind, "weights", (replace(kind.weights[0], sha256=""),))
    generated = open_set(folders[0])
    chosen = [BY_NAME["clap_score_htsat_unfused"], BY_NAME["imagebind_ta"]]
    found = evaluate(generated, None, chosen, EvaluationConfig(tmp_path, resamples=5))
    assert [result.name for result in found.results] == ["clap_score_htsat_unfused"]
    (skipped,) = found.skipped
    assert skipped.name == "imagebind_ta"
    assert "non-commercial use" in skipped.reason
    assert "\n" not in skipped.reason
