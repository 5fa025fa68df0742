"""The tutorials run from top to bottom as they are printed, with a tiny packaged model and tiny trainings."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from printed_pages import ROOT, packaged_models, run_page
from sonovid import media
from sonovid.core.geometry import Geometry
from sonovid.data import clips

PAGES = ROOT / "docs" / "tutorials"


@pytest.fixture(autouse=True)
def workplace(tiny_folder, tmp_path, monkeypatch):
    """An empty working folder, with a tiny model in place of the packaged ones."""
    packaged_models(tmp_path / "weights", tiny_folder, monkeypatch)
    tmp_path /= "work"
    tmp_path.mkdir()
    monkeypatch.chdir(tmp_path)


def write_clips(folder: str, count: int, seed: int) -> None:
    clips.write_scenes(Path(folder), "hits", count, seed, Geometry(24, Fraction(12), 48, 64, 16000), quiet=True)


def test_every_tutorial_is_tested_and_in_the_navigation():
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages == {"editor", "diffusers", "own-clips"}
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert all(f"tutorials/{page}.md" in navigation for page in pages)


def test_the_editor_s_tutorial(capsys):
    write_clips("films", 2, 0)
    film, other = sorted(Path("films").glob("*.mp4"))
    film.replace("film.mp4")
    run_page(PAGES / "editor.md")
    assert "replaced" in capsys.readouterr().err
    own = media.read("film.mp4")
    for name in ("replaced.mp4", "take-2.mp4", "glass.mp4", "mixed.mp4", "two-tracks.mov"):
        made = media.read(name)
        assert (made.frames == own.frames).all(), name
        assert made.waveform.shape[1] / made.sample_rate == pytest.approx(2, abs=0.01), name
    assert Path("replaced.png").is_file()
    with av.open("two-tracks.mov") as container:
        assert len(container.streams.audio) == 2
    effects = media.probe("effects.wav")
    assert (effects.sample_rate, effects.channels) == (48000, 2)
    assert len(media.read("scene.mp4").frames) == 12
    assert (Path("with-sound") / other.name).is_file()


def test_the_tutorial_for_users_of_diffusers():
    names = run_page(PAGES / "diffusers.md")
    assert names["out"].clips is names["out"]["clips"] is names["out"][0]
    assert len(names["images"]) == len(names["clip"].frames) == 8
    assert names["several"].seeds == [0, 1, 2, 3]
    assert (names["by_noise"].clips[0].frames == names["pipe"]("a stick hits a can", generator=0).clips[0].frames).all()
    assert len(names["norms"]) == 3
    assert (names["adapted"].clips[0].frames.shape) == (8, 16, 16, 3)
    assert (names["found"].name, names["found"].reference) == ("av_align_sony", 8)


def test_the_tutorial_for_owners_of_clips():
    write_clips("clips", 4, 0)
    write_clips("held-out", 2, 10)
    for number, path in enumerate(sorted(Path("held-out").glob("*.mp4"))):
        path.replace(f"held-out/{number + 1:04d}.mp4")
    run_page(PAGES / "own-clips.md")
    assert replace(media.read("first.mp4").geometry, sample_rate=16000) == Geometry(16, Fraction(8), 128, 128, 16000)
    assert {path.name for path in Path("generated").glob("*.mp4")} == {"0001.mp4", "0002.mp4"}
    found = Path("found.json").read_text()
    assert '"av_align_sony"' in found
    assert '"lsd"' in found
    assert Path("small/lora/pytorch_lora_weights.safetensors").is_file()
