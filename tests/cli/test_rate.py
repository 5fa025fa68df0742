import json
from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.cli import main
from sonovid.core.clip import Clip
from sonovid.metrics.rating.page import ANSWERS
from sonovid.metrics.rating.study import read_key

SYSTEMS = ("theirs", "ours", "reference")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Clips of three systems, a study of them, and the answers of three raters."""
    path = tmp_path_factory.mktemp("rate")
    for i, system in enumerate(SYSTEMS):
        (path / system).mkdir()
        for item in range(4):
            frames, wave = np.full((4, 16, 16, 3), 40 * i + 9 * item, np.uint8), np.full((1, 4000), 0.1, np.float32)
            media.write(path / system / f"{item}.mp4", Clip(frames, wave, Fraction(8), 8000))
    words = ["--system", f"ours={path}/ours", "--system", f"theirs={path}/theirs", "--reference", f"{path}/reference"]
    assert main(["rate", "make", f"{path}/study", *words, "--task", "audio-to-video", "--clips", "4", "--raters", "3"]) == 0
    study = read_key(path / "study" / "key.json")
    system = {clip.id: clip.system for clip in study.clips}
    for rater, order in study.raters.items():
        keys = [question.key for question in study.form.questions]
        rows = [{"clip": name, "ratings": dict.fromkeys(keys, 1 + SYSTEMS.index(system[name]))} for name in order]
        content = {"format": ANSWERS, "study": study.study, "rater": rater, "answers": rows}
        (path / f"{rater}.json").write_text(json.dumps(content))
    return path


def test_a_study_is_made_and_its_answers_are_reported(place, capsys):
    files = [f"--{kind}={place}/report.{kind}" for kind in ("json", "markdown", "html", "svg")]
    assert main(["rate", "report", *(f"{place}/{r}.json" for r in "123"), f"--key={place}/study/key.json", *files]) == 0
    said = capsys.readouterr().out
    assert "Mean opinion scores (1 to 5)" in said
    record = json.loads((place / "report.json").read_text())
    assert {(found["system"], found["mean"]) for found in record["opinions"]} == {("theirs", 1), ("ours", 2), ("reference", 3)}
    assert all((place / f"report.{kind}").stat().st_size > 500 for kind in ("markdown", "html", "svg"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["make", "{p}/new"], "nothing to rate"),
        (["make", "{p}/new", "--system", "ours"], "expected NAME=FOLDER"),
        (["make", "{p}/new", "--system", "a={p}/ours", "--system", "a={p}/theirs"], "the name a is taken"),
        (["make", "{p}/new", "--system", "reference={p}/ours", "--reference", "{p}/ours"], "called reference already"),
        (["make", "{p}/new", "--system", "a={p}/ours", "--clips", "9"], "4 items of the same name"),
        (["make", "{p}/study", "--system", "a={p}/ours", "--clips", "2"], "not empty"),
        (["make", "{p}/new", "--system", "a={p}/ours", "--question", "cmmd"], "did you mean --questions"),
        (["report", "{p}/1.json", "--key", "{p}/1.json"], "not the key of a rating study"),
        (["report", "{p}/1.json", "{p}/1.json", "--key", "{p}/study/key.json"], "rater 1 is in"),
        (["report", "{p}/nowhere.json", "--key", "{p}/study/key.json"], "nowhere.json"),
        (["report", "{p}/1.json", "--key", "{p}/study/key.json", "--level", "95"], "level=95"),
    ],
)
def test_errors_are_one_line(place, capsys, words, said):
    assert main(["rate", *(word.format(p=place) for word in words)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
