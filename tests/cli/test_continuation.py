"""Long clips from the command line on a tiny model."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sonovid import media
from sonovid.cli import main
from sonovid.core.clip import Clip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Clips to continue: long enough, too short, silent, and a sound."""
    folder = tmp_path_factory.mktemp("brought")
    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 256, (40, 6, 8, 3), dtype=np.uint8), 4, 1), 4, 2)
    sound = rng.normal(0, 0.1, (2, 72000)).astype(np.float32)
    for name, count in (("film", 15), ("short", 5), ("long", 30)):
        clip = Clip(frames[:count], sound[:, : count * 2400], fps=Fraction(10), sample_rate=24000)
        media.write(folder / f"{name}.mp4", clip)
    media.write(folder / "silent.mp4", Clip(frames[:15], None, fps=Fraction(10)))
    media.write(folder / "sound.wav", Clip(None, sound, sample_rate=24000))
    return folder


@pytest.fixture
def sonovid(tiny_folder, tmp_path, capsys, monkeypatch, inputs):
    """Run `sonovid generate` in an empty folder, with {b} for the folder of inputs; returns status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        status = main(["generate", *(str(word).format(b=inputs) for word in words), "--model", str(tiny_folder), "--steps", "1"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_words_for_longer_than_a_window(sonovid):
    status, out, err = sonovid("a hit", "--seconds", 3, "--drift", "drift.json", "--preview", "long.png", "-o", "long.mp4")
    assert status == 0, err
    made = media.read("long.mp4")
    assert (len(made.frames), made.waveform.shape[1], made.frames.shape[1:3]) == (24, 24000, (16, 16))
    report = json.loads(Path("drift.json").read_text())
    assert [one["begin"] for one in report["windows"]] == [0, 1, 2]
    assert len(report["joins"]) == 4
    assert "drift" in out
    assert "4 joins" in out.splitlines()[-1]
    assert Image.open("long.png").size[0] > 0
    with av.open("long.mp4") as container:
        assert "AI-generated pictures and sound" in container.metadata["comment"]


def test_a_clip_is_gone_on_with_and_the_file_says_so(sonovid):
    status, out, err = sonovid(
        "--continue", "{b}/film.mp4", "--seconds", 2.5, "--hand-off", "decoded", "-o", "out.mkv", "--quiet"
    )
    assert (status, out) == (0, ""), err
    made = media.read("out.mkv")
    assert (len(made.frames), made.waveform.shape[1]) == (20, 20000)
    with av.open("out.mkv") as container:
        assert "from where film.mp4 ends" in {k.lower(): v for k, v in container.metadata.items()}["comment"]


def test_each_of_several_is_what_its_seed_gives_alone(sonovid):
    assert sonovid("a", "--seconds", 2, "--count", 2, "--seed", 4, "--drift", "d.json", "-o", "two.wav", "--quiet")[0] == 0
    assert sonovid("a", "--seconds", 2, "--seed", 5, "-o", "one.wav", "--quiet")[0] == 0
    np.testing.assert_array_equal(media.read("two-1.wav").waveform, media.read("one.wav").waveform)
    assert json.loads(Path("d-1.json").read_text())["windows"]


def test_pictures_go_on_to_a_given_sound_which_stays_as_it_is(sonovid, inputs):
    assert sonovid("--continue", "{b}/film.mp4", "--audio", "{b}/sound.wav", "-o", "out.mkv", "--quiet")[0] == 0
    made, given = media.read("out.mkv"), media.read(inputs / "sound.wav")
    assert (made.sample_rate, len(made.frames)) == (24000, 24)
    np.testing.assert_allclose(made.waveform, given.waveform, atol=1e-4)


def test_a_sound_goes_on_beside_given_pictures_which_stay_as_they_are(sonovid, inputs):
    assert sonovid("--continue", "{b}/film.mp4", "--video", "{b}/long.mp4", "-o", "out.mp4", "--quiet")[0] == 0
    with av.open("out.mp4") as made, av.open(str(inputs / "long.mp4")) as given:
        packets = [[bytes(packet) for packet in one.demux(video=0) if packet.size] for one in (made, given)]
    assert packets[0] == packets[1]
    assert media.read("out.mp4").waveform.shape[1] == 24000


@pytest.mark.parametrize("keep", ["video", "audio"])
def test_one_half_of_the_clip_is_made_anew(sonovid, keep):
    assert sonovid("--continue", "{b}/film.mp4", "--keep", keep, "--seconds", 2, "-o", "out.mp4", "--quiet")[0] == 0
    assert len(media.read("out.mp4").frames) == 16


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--continue", "{b}/film.mp4"], "Give --seconds, more than the clip's 1.50 s"),
        (["--continue", "{b}/film.mp4", "--seconds", "1.5"], "lasts 1.50 s already"),
        (["--continue", "{b}/short.mp4", "--seconds", "3"], "a clip of 0.5 s: to extend it, this model needs a window, 1 s"),
        (["--continue", "{b}/nowhere.mp4", "--seconds", "3"], "no such file"),
        (["--continue", "{b}/silent.mp4", "--keep", "audio", "--seconds", "3"], "no audio in it to continue"),
        (["--continue", "{b}/sound.wav", "--audio", "{b}/sound.wav"], "no video in it to continue"),
        (["--continue", "{b}/film.mp4", "--video", "{b}/long.mp4", "--seconds", "2"], "leave --seconds out"),
        (["--continue", "{b}/film.mp4", "--audio", "{b}/sound.wav", "--seconds", "9"], "audio: it lasts 3 s"),
        (["--continue", "{b}/film.mp4", "--audio", "{b}/sound.wav", "--keep", "video"], "only the other stream is continued"),
        (["a", "--keep", "video"], "give --continue FILE"),
        (["a", "--keep", "sound"], "invalid choice"),
        (["a", "--hand-off", "pixels", "--seconds", "3"], "invalid choice"),
        (["a", "--drift", "d.json"], "nothing to drift from"),
        (["a", "--seconds", "3", "--drift", "nowhere/d.json"], "nowhere"),
        (["a", "--seconds", "3", "--drift", "there.json"], "there.json: it exists already"),
        (["a", "--seconds", "3", "--drift", "drift.txt"], "ends in .json"),
        (["a", "--seconds", "3", "--guidance", "-1"], "0 to 100"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(sonovid, tmp_path, words, says):
    (tmp_path / "there.json").write_text("mine")
    status, out, err = sonovid(*words, "-o", "out.mp4", "--quiet")
    assert (status, out) == (2, ""), err
    assert says in err
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    assert (tmp_path / "there.json").read_text() == "mine"
