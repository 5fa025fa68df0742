"""sonovid import of a release of tiny random networks, then sampling and evaluation from the command line."""

import json

import pytest
import torch
from released_svg import network, pipeline, their_name

from sonovid import media
from sonovid.cli import main
from sonovid.models.svg import released
from sonovid.pipelines.pipeline import SoundingVideoPipeline


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return pipeline(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def imported(release, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "model"
    assert main(["import", "svg-baseline", str(release), str(out), "--frames", "16", "--size", "64x32"]) == 0
    return out


def test_names_of_ours_and_theirs_lead_to_each_other():
    names = [name for name in network().state_dict() if not name.startswith(("unets.", "null_"))]
    assert len({their_name(name) for name in names}) == len(names)
    assert [released.convert_key(their_name(name), "cmc_pe") for name in names] == names


def test_half_precision_pickles_become_safetensors_in_single_precision(release, imported):
    assert not [path for path in imported.rglob("*") if path.suffix == ".bin"]
    pipe = SoundingVideoPipeline.from_pretrained(imported)
    parts = (pipe.denoiser, pipe.video_codec, pipe.audio_codec, pipe.text_encoder)
    assert {parameter.dtype for part in parts for parameter in part.parameters()} == {torch.float32}
    theirs = torch.load(release / "pipe" / "unet_svg" / "diffusion_pytorch_model.fp16.bin", weights_only=True)
    for name, value in pipe.denoiser.state_dict().items():
        if not name.startswith(("unets.", "null_")):
            assert torch.equal(value.flatten(), theirs[their_name(name)].float().flatten()), name


def test_the_released_way_of_sampling_lies_in_the_folder(imported):
    index = json.loads((imported / "model_index.json").read_text())
    assert index["options"]["spacing"] == ["linspace", "leading"]
    assert index["options"]["negative_prompt"] == "bad quality, worse quality"
    pipe = SoundingVideoPipeline.from_pretrained(imported)
    times = pipe.sampling_times(25, 1.5).map(lambda stream: [round(1000 * t) - 1 for t in stream])
    assert times.video[:3] == [999, 948, 898]
    assert times.audio[-3:] == [74, 4, 0]


def test_the_config_of_512_pixels_is_not_what_is_made(release, tmp_path, capsys):
    """sample_size is 64 in every U-Net of Stable Diffusion 1.5's family; the release samples 256x256."""
    from sonovid.cli.import_checkpoint import load_svg_baseline

    assert json.loads((release / "pipe" / "unet_v" / "config.json").read_text())["sample_size"] == 64
    assert main(["import", "svg-baseline", str(release), str(tmp_path / "out")]) == 0
    own = SoundingVideoPipeline.from_pretrained(tmp_path / "out").geometry
    assert (own.width, own.height, own.num_frames, own.fps) == (256, 256, 32, 8)
    with pytest.raises(ValueError, match="frames of 60x60"):
        load_svg_baseline(release, size=(60, 60))
    with pytest.raises(ValueError, match="40 frames; the motion layers take up to 32"):
        load_svg_baseline(release, num_frames=40)


def test_words_become_a_file_that_is_measured(imported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    generated = ["generate", "a red ball bounces", "--model", str(imported), "--steps", "1", "--quiet"]
    assert main([*generated, "--count", "2", "-o", "made/clip.mp4"]) == 0
    info = media.probe(tmp_path / "made" / "clip-0.mp4")
    assert (info.size, info.fps, info.duration) == ((32, 64), 8, 2)
    measured = ["evaluate", "made", "--metrics", "sync_scenes", "--workers", "0", "--no-cache", "--resamples", "5"]
    assert main([*measured, "--json", "table.json", "--quiet"]) == 0
    assert "sync_scenes" in (tmp_path / "table.json").read_text()
