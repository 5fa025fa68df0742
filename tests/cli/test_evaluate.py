"""sonovid evaluate and compare: reports and one-line errors."""

import json
import sys
from pathlib import Path

import pytest

from sonovid import media
from sonovid.cli import main
from sonovid.metrics.results import load

sys.path.insert(0, str(Path(__file__).parents[1] / "metrics"))
import measured

pytest.importorskip("rich")
# Two metrics that need no network and no large library, so that the command and not librosa is what is tested.
FEW = ["--metrics", "psnr,lsd", "--workers", "0", "--resamples", "10"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate")
    for name, start, level in (("true", 0, 1.0), ("ours", 0, 0.8), ("theirs", 20, 1.0)):
        measured.folder(path / name, range(start, start + 7), level=level)
    return path


@pytest.fixture
def run(place, monkeypatch, capsys, tmp_path):
    """Runs sonovid among the clips, features cached aside; gives status, output and the error's line."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("SONOVID_CACHE", str(tmp_path / "cache"))

    def call(*words):
        status = main(list(words))
        out, err = capsys.readouterr()
        call.err = lambda: err
        return status, out, next((line for line in err.splitlines() if line.startswith("sonovid: error:")), "")

    return call


def test_a_table_and_three_files(run, tmp_path):
    files = [f"--{kind}={tmp_path / f'a.{kind}'}" for kind in ("json", "html", "markdown")]
    status, out, _ = run("evaluate", "ours", "true", *FEW, *files)
    assert status == 0
    assert "psnr ↑" in out
    assert (tmp_path / "cache" / "features").is_dir()
    found = load(tmp_path / "a.json")
    assert found["psnr"].generated == 7
    # Equal seeds: the same pictures through the same encoder, and sounds that differ in their level.
    assert found["lsd"].value > 0
    assert found["lsd"].value < found["lsd"].floor
    assert "psnr" in (tmp_path / "a.markdown").read_text()
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    status, _, line = run("evaluate", "ours", "true", *FEW, files[0])
    assert status == 2
    assert "exists already; --overwrite replaces it" in line
    assert run("evaluate", "ours", "true", *FEW, files[0], "--overwrite", "--quiet")[:2] == (0, "")


def test_systems_side_by_side_from_folders_and_from_files(run, tmp_path):
    for name in ("ours", "theirs"):
        assert run("evaluate", name, "true", *FEW, "--quiet", "--json", str(tmp_path / f"{name}.json"))[0] == 0
    status, out, _ = run("compare", "ours", "theirs", "--reference", "true", *FEW, "--json", str(tmp_path / "both.json"))
    assert status == 0
    both = json.loads((tmp_path / "both.json").read_text())
    assert [one["title"] for one in both["systems"]] == ["ours", "theirs"]
    assert {one["metric"] for one in both["comparisons"]} == {"psnr", "lsd"}
    assert all(0 <= one["wilcoxon"] <= 1 for one in both["comparisons"] if one["wilcoxon"] is not None)
    (line,) = [line for line in out.splitlines() if line.startswith("lsd ↓") and ")" in line and "*" in line]
    assert line.index("*") < line.rindex("(")
    again = run("compare", str(tmp_path / "ours.json"), str(tmp_path / "theirs.json"))[1]
    assert line in again
    held = json.loads((tmp_path / "theirs.json").read_text())
    held["results"][1]["record"]["estimator"] = "something else"
    (tmp_path / "theirs.json").write_text(json.dumps(held))
    out = run("compare", str(tmp_path / "ours.json"), str(tmp_path / "theirs.json"))[1]
    assert "not comparable: lsd: estimator" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evaluate", "nowhere", "true"], "nowhere: no such folder"),
        (["evaluate", "ours", "true", "theirs"], "got 3 folders, expected GENERATED and REFERENCE"),
        (["evaluate", "ours", "true", "--metrics", "pnsr"], "did you mean psnr"),
        (["evaluate", "ours", "--metrics", "psnr"], "no metric can be computed; the first, psnr: needs a reference"),
        (["evaluate", "ours", "true", "--html", "no/where.html"], "the folder no does not exist"),
        (["evaluate", "ours", "true", "--device", "cuba"], "--device cuba: not usable here"),
        (["evaluate", "ours", "true", "--keep", "x"], "--keep needs --reconstructions"),
        (["evaluate", "ours", "true", "--metrics", "psnr", "--weights", "no"], ""),
        (["compare", "ours"], "only one system"),
        (["evaluate", "--reconstructions", "ours", "true"], "neither a model"),
        (["evaluate", "ours", "true", "--captions", "no.json"], "no.json: no such"),
    ],
)
def test_faults_are_one_line(run, words, says):
    status, _, line = run(*words)
    assert (status, says in line) == ((2, True) if says else (0, True))


def test_reconstructions_of_a_model_s_codecs(run, tiny_folder, tmp_path):
    status, out, line = run(
        "evaluate",
        "--reconstructions",
        str(tiny_folder),
        "true",
        *FEW,
        "--keep",
        str(tmp_path),
        "--json",
        str(tmp_path / "r.json"),
    )
    assert status == 0, line
    assert "reconstructions" in out
    made, true = (media.read(tmp_path / name / "000.mkv") for name in ("made", "true"))
    assert made.frames.shape == true.frames.shape
    assert load(tmp_path / "r.json")["psnr"].generated == 7
    # One codec alone leaves the other stream as it is.
    assert (
        run("evaluate", "--reconstructions", str(tiny_folder / "video_codec"), "true", *FEW, "--keep", str(tmp_path / "v"))[0]
        == 0
    )
    made, true = (media.read(tmp_path / "v" / name / "000.mkv") for name in ("made", "true"))
    assert (made.waveform == true.waveform).all()
    assert (made.frames != true.frames).any()


def test_what_was_asked_for_and_not_measured_is_said_though_quiet(run, tmp_path):
    words = ["evaluate", "ours", "true", "--workers", "0", "--resamples", "5", "--weights", str(tmp_path)]
    asked = ["--metrics", "lsd,fvd_i3d400,kl_panns"]
    status, out, _ = run(*words, *asked, "--quiet")
    assert (status, out) == (0, "")
    assert [line.split(": ")[2] for line in run.err().splitlines()] == ["fvd_i3d400", "kl_panns"]
    assert all(line.startswith("sonovid: not computed: ") for line in run.err().splitlines())
    status, _, line = run(*words, *asked, "--quiet", "--strict")
    assert status == 2
    assert "--strict: 2 of the requested metrics could not be computed: fvd_i3d400: " in line
    assert run(*words, "--metrics", "lsd", "--strict", "--quiet") == (0, "", "")
    assert run.err() == ""


def test_a_protocol_is_an_option_and_on_record(run, tmp_path):
    options = ["--seconds", "0.5", "--fps", "4", "--size", "16", "--json", str(tmp_path / "p.json")]
    status, _, line = run("evaluate", "ours", "true", *FEW, *options, "--quiet")
    assert status == 0, line
    assert load(tmp_path / "p.json").record["protocol"] == {"seconds": "1/2", "fps": "4", "size": [16, 16]}
    for option, says in (
        (["--fps", "0"], "not a frame rate"),
        (["--size", "16x"], "not a size"),
        (["--seconds", "-1"], "not above zero"),
    ):
        assert says in run("evaluate", "ours", "true", *FEW, *option)[2]
