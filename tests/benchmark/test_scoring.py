"""Scoring: true clips reach the ceiling, another scene's the floor, and the table tells them apart."""

import json
import math
import shutil
from fractions import Fraction
from html.parser import HTMLParser

import pytest
import torch

from sonovid import media
from sonovid.benchmark import report, scoring
from sonovid.benchmark.held_out import HeldOut, export
from sonovid.benchmark.reader import WEIGHTS, EventReader, packaged
from sonovid.benchmark.scoring import System, score
from sonovid.core.av import Task
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.metrics.alignment import agreement
from sonovid.metrics.evaluate import EvaluationConfig
from sonovid.metrics.sets import open_set

COUNT = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Held-out scenes and three systems: the truth itself, the next scene's clips, and one that made a few sounds alone."""
    root = tmp_path_factory.mktemp("benchmark")
    held_out = HeldOut(count=COUNT)
    export(held_out, root)
    names = [scene.name for scene in held_out.scenes]
    for task in ("video_to_audio", "audio_to_video", "joint"):
        for title in ("truth", "other"):
            (root / title / task).mkdir(parents=True)
        for i, name in enumerate(names):
            shutil.copy(root / "reference" / f"{name}.mkv", root / "truth" / task / f"{name}.mkv")
            partner = media.read(root / "reference" / f"{names[held_out.partner(i)]}.mkv")
            own = media.read(root / "reference" / f"{name}.mkv")
            generated = {
                "video_to_audio": Clip(own.frames, partner.waveform, own.fps, own.sample_rate),
                "audio_to_video": Clip(partner.frames, own.waveform, own.fps, own.sample_rate),
                "joint": Clip(own.frames, partner.waveform, own.fps, own.sample_rate),
            }[task]
            media.write(root / "other" / task / f"{name}.mkv", generated)
    (root / "sounds" / "video_to_audio").mkdir(parents=True)
    for name in names[:6]:
        shutil.copy(root / "audio" / f"{name}.wav", root / "sounds" / "video_to_audio" / f"{name}.wav")
    return root, held_out


@pytest.fixture(scope="module")
def reader():
    """One of random weights: what it reads is nonsense, and the same nonsense of the same clip."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(1)
        generated = EventReader({"world": ["bounces", "hits"], "material": ["wood", "glass"], "colour": ["red", "blue"]})
        generated.events.weight.data *= 20
        return generated.eval()


@pytest.fixture(scope="module")
def found(place, reader):
    root, held_out = place
    systems = [System(title, root / title, {"parameters": 7}) for title in ("truth", "other", "sounds")]
    return systems, score(held_out, root / "reference", systems, config=EvaluationConfig(resamples=20), reader=reader)


def test_the_truth_is_the_ceiling_and_another_scene_the_floor(found):
    _, scores = found
    for task, (measure, _) in scoring.EVENTS.items():
        name = task.name.lower()
        truth, other = (scores.of(name, measure, title) for title in ("truth", "other"))
        assert truth.value == pytest.approx(truth.ceiling)
        assert other.value < truth.value or task is not Task.VIDEO_TO_AUDIO
        assert truth.low <= truth.value <= truth.high
        assert truth.clips == COUNT
    floor = scores.of("video_to_audio", "onsets_f1", "other")
    assert floor.value == pytest.approx(floor.floor)
    assert scores.of("video_to_audio", "onsets_f1", "truth").ceiling > 0.85


def test_measures_of_every_task(found):
    _, scores = found
    measures = {}
    for one in scores.scores:
        measures.setdefault(one.task, set()).add(one.measure)
    shapes = {"ball_whole", "ball_circularity", "ball_area_change", "stick_whole"}
    # Whether any of few prompts names a number, or any ball can be read, is up to their seeds.
    shapes &= measures["joint"]
    measures["joint"] -= {"text_number"}
    assert "stick_whole" in shapes
    assert measures == {
        "video_to_audio": {"onsets_f1", "sync_scenes", "kad_scenes"},
        "audio_to_video": {"events_read_f1", "sync_scenes", "fvd_scenes", "stick_struck"},
        "joint": {
            "onsets_events_read_f1",
            "sync_scenes",
            "fvd_scenes",
            "kad_scenes",
            "text_world",
            "text_material",
            "text_colour",
            *shapes,
        },
    }
    assert scores.of("joint", "text_world", "truth").value == scores.of("joint", "text_world", "truth").ceiling
    assert scores.of("joint", "sync_scenes", "truth").value > scores.of("joint", "sync_scenes", "other").value


def test_sounds_alone_are_scored_beside_the_given_pictures(found):
    _, scores = found
    sounds, truth = (scores.of("video_to_audio", "sync_scenes", title) for title in ("sounds", "truth"))
    assert (sounds.clips, sounds.missing) == (6, 2)
    assert abs(sounds.value - truth.value) < 0.2
    assert scores.of("joint", "sync_scenes", "sounds") is None
    assert "sounds, video_to_audio: clips of 2 of 8 scenes are missing" in scores.notes


def test_differences_are_held_over_the_whole_table(found):
    _, scores = found
    assert all(pair.adjusted >= pair.p for pair in scores.pairs)
    pair = next(p for p in scores.pairs if p.measure == "onsets_f1" and {p.first, p.second} == {"truth", "other"})
    assert pair.p < 0.1
    marks = scores.marks("video_to_audio", "onsets_f1")
    assert marks["other"] in ("", "same")
    assert "best" in marks.values()


def test_reports_hold_every_number_and_the_clips(found, place):
    systems, scores = found
    root, _ = place
    text = report.to_markdown(scores)
    assert "onsets_f1 ↑" in text
    assert "parameters" in text
    held_out = json.loads(report.to_json(scores))
    assert len(held_out["scores"]) == len(scores.scores)
    assert held_out["held_out"]["count"] == COUNT
    assert all(math.isfinite(pair["p"]) for pair in held_out["pairs"])
    page = report.to_html(scores, systems, root / "reference", root / "results.html")
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    parser.feed(page)
    assert sum(tag == "audio" for tag, _ in tags) == report.SHOWN
    links = [attrs["href"] for tag, attrs in tags if tag == "a"]
    assert links
    assert all(link.startswith("./") and (root / link).is_file() for link in links)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="this checkout holds no trained reader")
def test_the_packaged_reader_reads_scenes(place):
    root, held_out = place
    true = scoring._detect_truth(held_out, open_set(root / "reference"), packaged())
    pairs = [(one.events, list(scene.events)) for one, scene in zip(true, held_out.scenes, strict=True)]
    assert agreement(pairs).f1 > 0.7
    assert all(one.attributes["world"] == scene.world for one, scene in zip(true, held_out.scenes, strict=True))


def test_faults_are_one_line(place, reader, tmp_path):
    root, held_out = place
    with pytest.raises(ValueError, match="different titles"):
        score(held_out, root / "reference", [System("a", root), System("a", root)], reader=reader)
    (tmp_path / "joint").mkdir()
    with pytest.raises(ValueError, match="no clips of the held-out scenes"):
        score(held_out, root / "reference", [System("a", tmp_path)], tasks=[Task.JOINT], reader=reader)
    with pytest.raises(ValueError, match="the reader of events knows bounces, hits"):
        score(HeldOut(worlds=("dance",), count=4), root / "reference", [System("a", root / "truth")], reader=reader)


def test_scenes_without_events_and_of_other_rates_are_scored(tmp_path):
    """Most landscapes have no events, and none has a material. The reader sees all rates and sizes at its own."""
    held_out = HeldOut(worlds=("hits", "landscape"), count=4, first=3, geometry=Geometry(32, Fraction(16), 32, 32, 16000))
    export(held_out, tmp_path)
    for task in ("joint", "video_to_audio"):
        shutil.copytree(tmp_path / "reference", tmp_path / "truth" / task)
    classes = {"world": ["hits", "landscape"], "material": ["wood"], "colour": ["red"]}
    shown = []

    class Watched(EventReader):
        def forward(self, frames, mel):
            shown.append(tuple(frames.shape))
            return super().forward(frames, mel)

    scores = score(
        held_out,
        tmp_path / "reference",
        [System("truth", tmp_path / "truth")],
        tasks=(Task.JOINT, Task.VIDEO_TO_AUDIO),
        config=EvaluationConfig(resamples=5),
        reader=Watched(classes).eval(),
    )
    assert set(shown) == {(1, 3, 16, 64, 64)}
    assert [scores.of("joint", f"text_{name}", "truth").clips for name in ("world", "material")] == [4, 2]
    eventful = sum(bool(scene.events) for scene in held_out.scenes)
    assert scores.of("video_to_audio", "onsets_f1", "truth").clips == eventful < 4
