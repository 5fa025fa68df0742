"""CLAP on a tiny random ClapModel: windows, repetition, batches, words, and folders that hold something else."""

import numpy as np
import pytest

from sonovid.core.clip import Clip
from sonovid.metrics.base import Sample, UnusableClipError
from sonovid.metrics.extractors.clap import SAMPLE_RATE, ClapAudio, ClapText, cut_windows, repeat_to_length


def sound(seconds: float, seed: int = 0) -> Sample:
    noise = np.random.default_rng(seed).normal(0, 0.2, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
    return Sample(Clip(None, noise, sample_rate=SAMPLE_RATE))


@pytest.fixture(scope="module")
def audio(clap_folder):
    extractor = ClapAudio()
    extractor.load([clap_folder])
    return extractor


@pytest.fixture(scope="module")
def text(clap_folder):
    extractor = ClapText()
    extractor.load([clap_folder])
    return extractor


def test_windows_begin_every_second_and_end_in_silence():
    ramp = np.arange(1, 26, dtype=np.float32)
    rows = cut_windows(ramp, 10, 10)
    assert rows.shape == (3, 10)
    assert rows[2].tolist() == [21, 22, 23, 24, 25, 0, 0, 0, 0, 0]
    assert [len(cut_windows(ramp[:n], 10, 4)) for n in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_a_short_sound_is_repeated_whole_and_a_long_one_cut():
    ramp = np.arange(1, 8, dtype=np.float32)
    assert repeat_to_length(ramp[:3], 8).tolist() == [1, 2, 3, 1, 2, 3, 0, 0]
    assert repeat_to_length(ramp[:5], 8).tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
    assert repeat_to_length(ramp, 4).tolist() == [1, 2, 3, 4]


def test_rows_per_second_and_of_length_one(audio):
    (arrays,) = audio.embed([audio.prepare(sound(2.5))])
    assert arrays["features"].shape == (3, 12)
    assert arrays["whole"].shape == (12,)
    assert np.allclose(np.linalg.norm(arrays["features"], axis=1), 1, atol=1e-5)
    assert not np.allclose(arrays["features"][0], arrays["whole"], atol=1e-3), "silence and repetition sound alike"


def test_the_first_window_of_a_long_sound_is_its_beginning(audio):
    """The published front end would crop at random: two calls on 11 s would differ."""
    long = audio.prepare(sound(11))
    first, second = audio.embed([long])[0], audio.embed([long])[0]
    assert np.array_equal(first["features"], second["features"])
    assert np.allclose(first["whole"], first["features"][0], atol=1e-5)


def test_the_same_whatever_the_batch_the_order_and_the_copies(audio):
    prepared = [audio.prepare(sound(seconds, seed)) for seed, seconds in enumerate((0.5, 2.2, 1.0))]
    alone = [audio.embed([p])[0] for p in prepared]
    together = audio.embed([prepared[2], prepared[0], prepared[1], prepared[0]])
    for one, other in zip([alone[2], alone[0], alone[1], alone[0]], together, strict=True):
        assert np.allclose(one["features"], other["features"], atol=1e-5)
        assert np.allclose(one["whole"], other["whole"], atol=1e-5)


def test_it_agrees_with_transformers_own_pipeline_on_ten_seconds(audio, clap_folder):
    import torch
    import transformers

    sample = sound(10)
    model = transformers.ClapModel.from_pretrained(clap_folder).eval()
    mel = transformers.ClapFeatureExtractor.from_pretrained(clap_folder)(
        sample.clip.waveform[0], sampling_rate=48000, return_tensors="pt"
    )
    with torch.no_grad():
        output = model.get_audio_features(**mel)
    expected = getattr(output, "pooler_output", output).numpy()[0]
    assert np.allclose(audio.embed([audio.prepare(sample)])[0]["whole"], expected, atol=1e-5)


def test_words_do_not_depend_on_their_neighbours(text):
    captions = ["a dog barks", "rain", "a wooden stick in the rain, and a dog", "a dog barks"]
    together = text.embed([text.prepare(Sample(None, caption)) for caption in captions])
    alone = [text.embed([text.prepare(Sample(None, caption))])[0] for caption in captions]
    for one, other in zip(together, alone, strict=True):
        assert one["features"].shape == (12,)
        assert np.allclose(one["features"], other["features"], atol=1e-5)
    assert not np.allclose(together[0]["features"], together[1]["features"], atol=1e-3)


def test_a_caption_longer_than_the_network_reads_is_cut(text):
    assert text.longest == 64
    (row,) = text.embed([text.prepare(Sample(None, "barks " * 300))])
    assert np.isfinite(row["features"]).all()


def test_clips_that_do_not_fit(audio, text):
    pictures = Clip(np.zeros((2, 4, 4, 3), np.uint8), None)
    with pytest.raises(UnusableClipError, match="no audio"):
        audio.prepare(Sample(pictures))
    with pytest.raises(UnusableClipError, match="no audio"):
        audio.prepare(Sample(None))
    with pytest.raises(UnusableClipError, match="no caption"):
        text.prepare(Sample(None, "  "))


def test_a_folder_with_something_else_is_refused_in_one_line(tmp_path, clap_folder):
    import transformers

    other = tmp_path / "videomae"
    config = transformers.VideoMAEConfig(
        image_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.VideoMAEModel(config).save_pretrained(other)
    fused = tmp_path / "fused"
    transformers.ClapModel.from_pretrained(clap_folder).save_pretrained(fused)
    transformers.ClapFeatureExtractor(truncation="fusion").save_pretrained(fused)
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in (
        (other, "a 'videomae'; expected a 'clap'"),
        (fused, "with fusion"),
        (empty, "no readable transformers model"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            ClapAudio().load([folder])
        assert "\n" not in str(caught.value)
        assert folder.name in str(caught.value)


def test_the_older_format_of_the_hub_is_read_too(tmp_path, clap_folder, audio):
    """The published folder holds pytorch_model.bin; it is read as weights alone."""
    import shutil

    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "clap-htsat-unfused"
    shutil.copytree(clap_folder, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    extractor = ClapAudio()
    extractor.load([folder])
    one, other = (e.embed([e.prepare(sound(1.5))])[0]["whole"] for e in (extractor, audio))
    assert np.allclose(one, other, atol=1e-6)


def test_a_folder_without_all_of_its_weights_is_refused(tmp_path, clap_folder):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "clap"
    shutil.copytree(clap_folder, folder)
    state = load_file(folder / "model.safetensors")
    name = "audio_projection.linear1.weight"
    wide = {**state, name: state[name].repeat(2, 1)}
    save_file({k: v for k, v in state.items() if k != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"no weights for {name}"):
        ClapAudio().load([folder])
    save_file(wide, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="another shape") as caught:
        ClapAudio().load([folder])
    assert "\n" not in str(caught.value)


def test_nothing_is_written_to_the_terminal(clap_folder, capfd):
    ClapAudio().load([clap_folder])
    ClapText().load([clap_folder])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
