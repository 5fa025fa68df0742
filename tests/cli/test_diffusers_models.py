"""sonovid generate and sonovid info with models of diffusers."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from sonovid import media
from sonovid.cli import main
from sonovid.core.clip import Clip


def packets(path, kind):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(getattr(container.streams, kind)[0]) if packet.size]


@pytest.fixture
def film(tmp_path):
    """A video of the user: 40x24, 12 frames at 24 per second."""
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (12, 24, 40, 3), dtype=np.uint8)
    sound = draw.uniform(-0.5, 0.5, (1, 8000)).astype(np.float32)
    return media.write(tmp_path / "film.mp4", Clip(frames, sound, fps=Fraction(24), sample_rate=16000))


def run(*words):
    return main([str(word) for word in words])


def test_words(foreign_folder, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    model = foreign_folder("ltx2")
    assert (
        run("generate", "a ball", "--model", model, "-o", out, "--size", "64x32", "--seconds", "0.5", "--steps", 1, "--quiet")
        == 0
    )
    info = media.probe(out)
    assert (info.size, info.fps, info.num_frames) == ((32, 64), 24, 12)
    assert info.duration == Fraction(1, 2)
    assert media.read(out).waveform.shape[0] == 2
    with av.open(str(out)) as container:
        assert "LTX-2" in container.metadata["comment"]


def test_somebodys_own_streams_stay_packet_for_packet(foreign_folder, film, tmp_path, capsys):
    model, out = foreign_folder("ltx2"), tmp_path / "out.mp4"
    how = ("--model", model, "--size", "32x32", "--steps", 1, "--quiet", "--overwrite", "-o", out)
    assert run("generate", "--video", film, *how) == 0
    assert packets(out, "video") == packets(film, "video")
    assert packets(out, "audio") != packets(film, "audio")
    assert run("generate", "a ball", "--audio", film, *how) == 0
    assert packets(out, "audio") == packets(film, "audio")
    assert media.probe(out).size == (32, 32)


def test_what_a_model_can_do_is_said_without_its_weights(foreign_folder, tmp_path, capsys):
    import shutil

    folder = shutil.copytree(foreign_folder("ltx2"), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    assert run("info", "--model", folder) == 0
    said = capsys.readouterr().out
    for fact in (
        "LTX-2, by LTX2Pipeline of diffusers",
        "video and audio from text  yes (diffusers>=0.37",
        "audio for a video          yes (diffusers>=0.37",
        "video for an audio         yes (diffusers>=0.41",
        "768x512 unless --size says otherwise; sides are multiples of 32",
        "24 frames per second unless --fps says otherwise",
        "2 channels, 24000 Hz",
        "unknown without the weight files",
    ):
        assert fact in said, said
    assert run("info", "--model", foreign_folder("minimax_h3")) == 0
    said = capsys.readouterr().out
    assert "24 frames per second\n" in said
    assert "audio for a video" not in said
    assert "MiB as stored" in said


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--offload", "model"), "there is no GPU to offload from"),
        (("--label", "dog"), "--label: LTX-2 does not support it"),
        (("--lora", "nowhere.safetensors"), "--lora nowhere.safetensors: cannot be loaded"),
        (("--image", "nowhere.png"), "--image nowhere.png: no such file"),
        (("--size", "60x32"), "width 60: LTX-2 needs multiples of 32"),
        (("--seconds", "40"), "generates 20 s at most"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(foreign_folder, tmp_path, capsys, options, complaint):
    out = tmp_path / "out.mp4"
    assert run("generate", "a ball", "--model", foreign_folder("ltx2"), "-o", out, "--device", "cpu", "--quiet", *options) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("sonovid: error: ")
    assert complaint in said
    assert not list(tmp_path.iterdir())


def test_our_own_models_take_lora_layers_too(tiny_folder, tmp_path, capsys):
    pytest.importorskip("peft", reason="LoRA layers are those of peft, which is not installed")
    from sonovid.pipelines import lora
    from sonovid.pipelines.light import LightPipeline

    network = LightPipeline.from_pretrained(tiny_folder).denoiser.requires_grad_(True)
    lora.add(network, 2, None, ["qkv", "head_video"])
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    lora.save(network, tmp_path / "lora")
    words = ("generate", "a ball", "--model", tiny_folder, "--steps", "2", "--exact", "--quiet")
    assert run(*words, "-o", tmp_path / "plain.mkv") == 0
    assert run(*words, "-o", tmp_path / "adapted.mkv", "--lora", tmp_path / "lora") == 0
    plain, adapted = (media.read(tmp_path / f"{name}.mkv") for name in ("plain", "adapted"))
    assert (plain.frames != adapted.frames).any()
    assert run(*words, "-o", tmp_path / "other.mkv", "--lora", tmp_path) == 2
    assert f"--lora {tmp_path}: cannot be loaded: LoRA {tmp_path}: expected a .safetensors file" in capsys.readouterr().err


def test_our_own_models_refuse_what_only_these_can(tmp_path, capsys):
    assert run("generate", "a ball", "-o", tmp_path / "out.mp4", "--tiling", "--quiet") == 2
    assert "--tiling: only models of diffusers support it" in capsys.readouterr().err
