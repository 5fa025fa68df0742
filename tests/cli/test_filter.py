"""sonovid filter keeps clips with simultaneous flashes and clicks."""

import json
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import main
from sonovid.core.clip import Clip
from sonovid.data import manifest

FPS, RATE = 8, 16000


def clip(seen, heard, seconds=3):
    """A square that jumps at some times, and clicks at others."""
    frames = np.zeros((seconds * FPS, 64, 64, 3), np.uint8)
    for i in range(len(frames)):
        # Peaks of motion are at the jumps.
        side = 24 * sum(i / FPS >= t for t in seen) % 48
        frames[i, 16:48, side : side + 16] = 230
    sound = np.zeros((1, seconds * RATE), np.float32)
    noise = np.random.default_rng(0).standard_normal(800).astype(np.float32) * np.exp(-np.arange(800) / 150).astype(np.float32)
    for t in heard:
        at = int(t * RATE)
        sound[0, at : at + 800] = 0.3 * noise
    return Clip(frames, sound, fps=Fraction(FPS), sample_rate=RATE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    pytest.importorskip("librosa")
    folder = tmp_path_factory.mktemp("clips")
    times = (0.75, 1.5, 2.25)
    media.write(folder / "together.mp4", clip(times, times))
    media.write(folder / "apart.mp4", clip(times, [t + 0.375 for t in times]))
    media.write(folder / "mute.mp4", Clip(clip(times, times).frames, None, fps=Fraction(FPS)))
    (folder / "together.txt").write_text("a click")
    (folder / "broken.mp4").write_bytes(b"no film")
    return folder


def filtered(clips, out, *words):
    return main(["filter", str(clips), str(out), "--no-cache", "--workers", "0", "--quiet", *words])


def test_weakly_aligned_clips_are_left_out(clips, tmp_path, capsys):
    out = tmp_path / "kept.jsonl"
    assert filtered(clips, out, "--least", "0.5") == 0
    said = capsys.readouterr().out
    assert "1 kept, 1 outside" in said
    assert "broken" in said
    (entry,) = manifest.read(out)
    assert entry.path == str(clips / "together.mp4")
    assert entry.caption == "a click"
    score = json.loads(out.read_text())["av_align_sony"]
    assert 0.5 <= score <= 1
    assert filtered(clips, tmp_path / "weak.csv", "--most", "0.4") == 0
    assert [entry.path for entry in manifest.read(tmp_path / "weak.csv")] == [str(clips / "apart.mp4")]
    assert filtered(out, tmp_path / "again.jsonl", "--metric", "av_align_recall", "--least", "0.1") == 0
    assert len(manifest.read(tmp_path / "again.jsonl")) == 1


def test_stretches_of_files_are_scored_and_listed_as_stretches(clips, tmp_path):
    """As the clips of Greatest Hits are: cut out to be measured, and never copied."""
    rows = [{"path": str(clips / name), "start": 0.5, "seconds": 2} for name in ("together.mp4", "apart.mp4")]
    (tmp_path / "cut.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert filtered(tmp_path / "cut.jsonl", tmp_path / "kept.jsonl", "--least", "0.5") == 0
    (entry,) = manifest.read(tmp_path / "kept.jsonl")
    assert (entry.path, entry.start, entry.seconds) == (str(clips / "together.mp4"), 0.5, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.jsonl", "kept.jsonl"]


def test_bad_input_is_one_line(clips, tmp_path, capsys):
    def fails(said, *words, out="a.jsonl", source=clips):
        assert filtered(source, tmp_path / out, *words) == 2
        line = capsys.readouterr().err
        assert said in line, line
        assert line.count("\n") == 1

    fails("give one of them")
    fails("give one of them, or two in order", "--least", "1", "--most", "0")
    fails("a manifest is .jsonl or .csv", "--least", "0", out="a.txt")
    fails("no clip is left", "--least", "3")
    assert not (tmp_path / "a.jsonl").exists()
    fails("is a rendered scene", "--least", "0", source="scenes:hits:2")
    fails("such metrics are ", "--least", "0", "--metric", "fvd_i3d400")
    fails("a family of metrics; name one of it", "--least", "0", "--metric", "av_align")
    fails("did you mean", "--least", "0", "--metric", "av_align_sonny")
    (tmp_path / "there.jsonl").touch()
    fails("exists already", "--least", "0", out="there.jsonl")
