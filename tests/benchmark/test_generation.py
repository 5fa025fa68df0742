"""Generation of a system's clips, and shapes and numbers that are scored in them."""

import json

import numpy as np
import pytest

from sonovid import media
from sonovid.benchmark.generation import GenerationConfig, generate_system
from sonovid.benchmark.held_out import HeldOut, export
from sonovid.benchmark.reader import EventReader, save
from sonovid.benchmark.scoring import number_in_prompt
from sonovid.benchmark.shape_scores import MEASURES, read_shape, values
from sonovid.cli import main
from sonovid.core.av import Task


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Four scenes of two worlds, exported."""
    out = tmp_path_factory.mktemp("bench")
    held_out = HeldOut(count=4)
    export(held_out, out)
    return held_out, out


def test_missing_clips_alone_are_generated(bench, tiny_pipeline):
    held_out, out = bench
    config = GenerationConfig(steps=2, guidance_scale=3.0)
    assert generate_system(tiny_pipeline, held_out, out, "tiny", config) == 12
    clips = sorted((out / "tiny").glob("*/*.mp4"))
    assert [path.stem for path in clips] == [scene.name for scene in held_out.scenes] * 3
    facts = json.loads((out / "tiny" / "system.json").read_text())
    assert facts["parameters"] == sum(
        p.numel() for name in ("denoiser", "video_codec", "audio_codec") for p in getattr(tiny_pipeline, name).parameters()
    )
    # Two steps, each evaluated with and without the prompt.
    assert facts["evaluations"] == 4
    kept, gone = clips[0].read_bytes(), clips[-1]
    before = media.read(gone)
    gone.unlink()
    assert generate_system(tiny_pipeline, held_out, out, "tiny", config) == 1
    assert clips[0].read_bytes() == kept
    # Its seed is the scene's index, whatever runs beside it.
    assert np.abs(media.read(gone).frames.astype(int) - before.frames).mean() < 2


def test_tasks_and_prompts_are_chosen(bench, tiny_pipeline):
    held_out, out = bench
    config = GenerationConfig(tasks=(Task.VIDEO_TO_AUDIO,), prompts=True, steps=1)
    assert generate_system(tiny_pipeline, held_out, out, "sound", config) == 4
    assert not (out / "sound" / "joint").exists()


def test_one_command_exports_generates_and_scores(tmp_path, tiny_folder, monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setenv("SONOVID_CACHE", str(tmp_path / "cache"))
    save(EventReader({"world": ["bounces", "hits"], "material": ["wood"], "colour": ["red"]}), tmp_path / "r.safetensors", {})
    out = str(tmp_path / "bench")
    options = ["--clips", "4", "--steps", "1", "--reader", str(tmp_path / "r.safetensors"), "--workers", "0", "--resamples", "5"]
    assert main(["benchmark", out, "--systems", f"tiny={tiny_folder}", *options]) == 0
    shown = capsys.readouterr().out
    assert "12 clips generated" in shown
    found = json.loads((tmp_path / "bench" / "results.json").read_text())
    assert found["systems"]["tiny"]["evaluations"] >= 1
    measures = {row["measure"] for row in found["scores"]}
    assert {"onsets_f1", "events_read_f1", "stick_whole", "text_world"} <= measures
    assert main(["benchmark", "generate", out]) == 2
    assert "--systems: expected the models" in capsys.readouterr().err
    assert main(["benchmark", "scored", out, "x"]) == 2
    assert "expected OUT, or one of export, generate, score and OUT" in capsys.readouterr().err


def test_shapes_of_true_clips(bench):
    held_out, out = bench
    readings = {i: read_shape(str(out / "reference" / f"{s.name}.mkv"), s, held_out) for i, s in enumerate(held_out.scenes)}
    found = {measure.name: values(readings, measure, held_out) for measure in MEASURES}
    assert set(found["stick_whole"]) == {0, 2}
    assert min(found["stick_whole"].values()) > 0.5
    assert set(found["ball_whole"]) == {1, 3}
    assert np.nanmax(list(found["ball_circularity"].values())) < 1


@pytest.mark.parametrize(
    ("prompt", "number"),
    [
        ("a stick hits a metal can twice", 2),
        ("hitting a drum with a stick one time", 1),
        ("a stick taps some leaves three times", 3),
        ("a stick hits a metal can", None),
        ("a red ball bounces", None),
    ],
)
def test_the_number_of_events_is_read_from_prompts(prompt, number):
    assert number_in_prompt(prompt) == number
