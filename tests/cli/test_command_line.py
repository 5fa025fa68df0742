"""The command line on a tiny model: files that are written, and error messages."""

import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from sonovid import media
from sonovid.cli import build_parser, main
from sonovid.core import progress
from sonovid.core.clip import Clip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder of inputs: a video with and without sound, sounds, images, and damaged files."""
    folder = tmp_path_factory.mktemp("brought")
    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 256, (25, 6, 8, 3), dtype=np.uint8), 8, 1), 8, 2)
    sound = rng.normal(0, 0.1, (2, 24000)).astype(np.float32)
    media.write(folder / "film.mp4", Clip(frames, sound, fps=Fraction(25), sample_rate=24000))
    media.write(folder / "silent.mp4", Clip(frames, None, fps=Fraction(25)))
    media.write(folder / "sound.wav", Clip(None, sound, sample_rate=24000))
    media.write(folder / "zeros.wav", Clip(None, np.zeros((1, 8000), np.float32), sample_rate=16000))
    (folder / "frames").mkdir()
    (folder / "nothing").mkdir()
    for index, picture in enumerate(frames[:12]):
        Image.fromarray(picture).save(folder / "frames" / f"{index:04d}.png")
    (folder / "empty.mp4").touch()
    (folder / "words.mp4").write_text("this is no film " * 100)
    whole = (folder / "film.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    header = (folder / "zeros.wav").read_bytes()[:44]
    (folder / "none.wav").write_bytes(header[:4] + (36).to_bytes(4, "little") + header[8:40] + bytes(4))
    return folder


@pytest.fixture
def sonovid(tiny_folder, tmp_path, capsys, monkeypatch):
    """Run `sonovid generate` in an empty folder; returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words, command="generate"):
        model = ["--model", str(tiny_folder)] if command == "generate" and "--model" not in words else []
        status = main([command, *map(str, words), *model])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def metadata(path):
    with av.open(str(path)) as container:
        return container.metadata


def pictures(path):
    """The encoded frames of a file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_words_become_a_film_with_its_preview(sonovid, tmp_path):
    status, out, _ = sonovid("a hit", "-o", "out.mp4", "--preview", "out.png", "--seed", 7)
    assert status == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "out.png"]
    clip = media.read("out.mp4")
    assert clip.frames.shape == (8, 16, 16, 3)
    assert clip.waveform.shape[1] == clip.sample_rate
    assert Image.open("out.png").width > 200
    assert "out.mp4: 1 s, 16x16 at 8 fps, 8000 Hz, seed 7" in out


def test_a_film_says_that_it_is_generated_and_how(sonovid):
    sonovid("a hit", "-o", "out.mp4", "--seed", 7, "--quiet")
    comment = metadata("out.mp4")["comment"]
    assert comment.startswith("AI-generated pictures and sound")
    assert "prompt: a hit" in comment
    assert "seed 7" in comment


def test_one_s_own_pictures_stay_byte_for_byte(sonovid, inputs):
    assert sonovid("--video", inputs / "film.mp4", "-o", "out.mp4")[0] == 0
    assert pictures("out.mp4") == pictures(inputs / "film.mp4")
    assert metadata("out.mp4")["comment"].startswith("AI-generated sound")
    clip, own = media.read("out.mp4"), media.read(inputs / "film.mp4")
    assert clip.seconds == own.seconds
    assert clip.sample_rate == 8000


def test_a_silent_film_gets_a_sound_alone_where_asked(sonovid, inputs):
    assert sonovid("--video", inputs / "silent.mp4", "-o", "out.wav")[0] == 0
    assert media.read("out.wav").waveform.shape == (1, 8000)


def test_one_s_own_sound_stays(sonovid, inputs):
    assert sonovid("a hit", "--audio", inputs / "sound.wav", "-o", "out.mov")[0] == 0
    clip, own = media.read("out.mov"), media.read(inputs / "sound.wav")
    np.testing.assert_allclose(clip.waveform, own.waveform, atol=2**-15)
    assert clip.frames.shape == (8, 16, 16, 3)


def test_several_clips_are_numbered_and_each_is_the_one_of_its_seed(sonovid, tmp_path):
    assert sonovid("a hit", "-o", "many.mkv", "--count", 3, "--seed", 4, "--exact")[0] == 0
    assert sonovid("a hit", "-o", "one.mkv", "--seed", 6, "--exact")[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["many-0.mkv", "many-1.mkv", "many-2.mkv", "one.mkv"]
    third, alone = media.read("many-2.mkv"), media.read("one.mkv")
    assert np.array_equal(third.frames, alone.frames)
    assert np.array_equal(third.waveform, alone.waveform)
    assert not np.array_equal(media.read("many-0.mkv").frames, alone.frames)


def test_quiet_says_nothing_and_otherwise_there_is_a_bar(sonovid, monkeypatch):
    assert sonovid("a hit", "-o", "out.mp4", "--quiet") == (0, "", "")
    _, out, err = sonovid("a hit", "-o", "out.mp4", "--overwrite")
    assert out.count("\n") == 1
    # Nobody watches, and it is soon done.
    assert "generating" not in err
    monkeypatch.setattr(progress, "is_interactive", lambda: True)
    assert "generating" in sonovid("a hit", "-o", "out.mp4", "--overwrite")[2]


def test_what_the_model_does_may_be_asked_for(sonovid):
    words = ["--size", "16x16", "--fps", "8", "--seconds", "0.5", "--steps", 2, "--guidance", 1, "--audio-guidance", 2]
    assert sonovid("a hit", "-o", "out.mp4", "--dtype", "bfloat16", "--device", "cpu", *words)[0] == 0
    assert len(media.read("out.mp4").frames) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to generate from"),
        (["  "], "nothing to generate from"),
        (["a", "--video", "{b}/nowhere.mp4"], "no such file"),
        (["--video", "{b}/nothing"], "folder"),
        (["--video", "{b}/empty.mp4"], "empty"),
        (["--video", "{b}/words.mp4"], "words.mp4"),
        (["--video", "{b}/cut.mp4"], "cut.mp4"),
        (["--video", "{b}/sound.wav"], "no video in it"),
        (["--audio", "{b}/silent.mp4"], "no audio in it"),
        (["--audio", "{b}/none.wav"], "none.wav"),
        (["--audio", "{b}/zeros.wav"], "silent throughout"),
        (["--video", "{b}/film.mp4", "--audio", "{b}/sound.wav"], "both given"),
        (["--video", "{b}/film.mp4", "--seconds", "5"], "only 1.00 s"),
        (["--video", "{b}/film.mp4", "--start", "5"], "after the end"),
        (["a", "--start", "1"], "a position in a file"),
        (["a", "--keep-audio", "mix"], "give --video"),
        (["--video", "{b}/film.mp4", "--duck", "6"], "--keep-audio mix"),
        (["--video", "{b}/frames"], "carry no frame rate"),
        (["--video", "{b}/film.mp4", "--max-seconds", "0.5"], "above the limit of 0.5 s"),
        (["a", "--loudness", "3"], "not a loudness"),
        (["a", "-o", "there.mp4"], "--overwrite"),
        (["a", "-o", "folder"], "ends in"),
        (["a", "-o", "folder.mp4"], "is a folder"),
        (["a", "-o", "nowhere/out.mp4"], "does not exist"),
        (["a", "-o", "there.mp4/out.mp4"], "does not exist"),
        (["a", "-o", "out.exe"], "ends in"),
        (["a", "-o", "out.mp4", "--preview", "out.jpg"], "ends in .png"),
        (["x" * 10_000], "10000 characters"),
        (["a", "--size", "17x16"], "frames of 16x16"),
        (["a", "--size", "big"], "not a size"),
        (["a", "--fps", "24"], "makes 8 frames per second"),
        (["a", "--fps", "fast"], "frame rate"),
        (["a", "--seconds", "-3"], "seconds"),
        (["a", "--count", "0"], "above zero"),
        (["a", "--steps", "1.5"], "above zero"),
        (["a", "--guidance", "-2"], "0 to 100"),
        (["a", "--guidance", "nan"], "0 to 100"),
        (["a", "--label", "rain"], "has no classes"),
        (["a", "--device", "tpu9"], "tpu9"),
        (["a", "--device", "cuda:77"], "cuda:77"),
        (["a", "--dtype", "float8"], "float8"),
        (["a", "--model", "{b}/nowhere"], "no such folder"),
        (["a", "--model", "{b}"], "no model_index.json"),
        (["a", "--sed", "3"], "did you mean --seed?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(sonovid, inputs, tmp_path, words, says):
    (tmp_path / "there.mp4").write_bytes(b"mine")
    (tmp_path / "folder.mp4").mkdir()
    words = [word.format(b=inputs) for word in words]
    status, out, err = sonovid(*words, "--quiet", *([] if "-o" in words else ["-o", "out.mp4"]))
    assert status == 2, err
    assert out == ""
    assert err.startswith("sonovid: error: ")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.mp4", "there.mp4"]
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("shape", "fps", "says"), [((1, 2320, 4096, 3), 25, "pixels"), ((11, 16, 16, 3), Fraction(1, 3600), "limit")]
)
def test_more_than_the_machine_should_hold_is_refused(sonovid, tmp_path, shape, fps, says):
    media.write(tmp_path / "large.mp4", Clip(np.zeros(shape, np.uint8), None, fps=Fraction(fps)), quality=51)
    status, _, err = sonovid("--video", "large.mp4", "-o", "out.mp4", "--quiet")
    assert status == 2
    assert says in err
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(sonovid, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    status, _, err = sonovid("a", "-o", closed / "out.mp4")
    assert status == 2
    assert "cannot be written" in err


def test_overwriting_replaces(sonovid, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"old")
    assert sonovid("a hit", "-o", "out.mp4", "--overwrite")[0] == 0
    assert len(media.read("out.mp4").frames) == 8


def test_a_pickle_in_a_model_s_folder_is_refused(sonovid, tiny_folder, tmp_path):
    import shutil

    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "denoiser" / "weights.pt").write_bytes(b"x")
    status, _, err = sonovid("a", "--model", "model")
    assert status == 2
    assert "pickle" in err


def test_debug_shows_where_an_error_came_from(sonovid):
    _, _, err = sonovid("a", "--model", "nowhere", "--debug")
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("sonovid: error: ")


def test_scenes_are_rendered_and_can_be_told_of(sonovid, tmp_path):
    words = ["clips", "--world", "hits", "--count", 2, "--seconds", "0.5", "--size", "16", "--fps", "8"]
    status, out, _ = sonovid(*words, command="scenes")
    assert status == 0
    assert "2 clips of hits" in out
    films = sorted((tmp_path / "clips").glob("*.mp4"))
    assert len(films) == 2
    status, out, _ = sonovid(films[0], command="info")
    assert status == 0
    assert "16x16, 8 per second" in out
    assert sonovid("clips", "--world", "hit", command="scenes")[2].count("did you mean 'hits'") == 1


def test_a_model_can_be_told_of(sonovid, tiny_folder):
    _, out, _ = sonovid(tiny_folder, command="info")
    assert "UniForm" in out
    assert "16x16 at 8 frames per second" in out


def test_recipes_are_listed_and_misspelt_ones_get_the_nearest(sonovid):
    assert "uniform.scenes" in sonovid(command="recipes")[1]
    assert "training.steps=" in sonovid("uniform.scenes", command="recipes")[1]
    status, _, err = sonovid("uniform.scene", "out=x", command="train")
    assert (status, err.count("\n")) == (2, 1)
    assert "uniform.scenes" in err
    assert "training.steps" in (err := sonovid("uniform.tiny", "training.step=3", "out=x", command="train")[2]) or "steps" in err
    assert "key=value" in sonovid("uniform.tiny", "quickly", command="train")[2]


def test_a_misspelt_command_gets_the_nearest(capsys):
    assert main(["generat", "a"]) == 2
    assert "did you mean generate?" in capsys.readouterr().err


def test_an_option_of_another_command_is_not_offered_as_a_misspelling_of_itself(capsys):
    assert main(["train", "uniform.tiny", "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert "--overwrite is an option of import, generate, " in said
    assert "did you mean" not in said
    assert main(["generate", "a", "--overwrit"]) == 2
    assert "did you mean --overwrite? (see sonovid generate --help)" in capsys.readouterr().err


def test_a_training_that_was_asked_to_stop_ends_with_a_code_to_requeue_by(capsys, monkeypatch):
    from sonovid import recipes
    from sonovid.training.preemption import Preempted

    def stopped(*_):
        raise Preempted("stopped by SIGTERM after step 3")

    monkeypatch.setattr(recipes, "run", stopped)
    assert main(["train", "uniform.tiny"]) == 75
    assert capsys.readouterr().err == "sonovid: error: stopped by SIGTERM after step 3\n"


def test_help_needs_no_command_and_a_command_no_other():
    code = """
import sys, sonovid.cli.command_line as line
line.build_parser("").format_help()
print(sorted(name for name in sys.modules if name.startswith("sonovid.cli.")))
line.parse(["metrics"])
print(sorted(name for name in sys.modules if name.startswith("sonovid.cli.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone = "['sonovid.cli.command_line']"
    assert done.stdout.splitlines() == [alone, "['sonovid.cli.command_line', 'sonovid.cli.metrics']"]


def test_the_help_is_the_same_with_and_without_the_commands():
    assert build_parser("").format_help() == build_parser().format_help()
    whole = build_parser().subcommands()
    for name, parser in whole.items():
        assert build_parser(name).subcommands()[name].format_help() == parser.format_help()


def test_the_parser_is_built_without_anything_heavy():
    """A fresh interpreter imports neither torch nor numpy for --help, nor the slower modules of the standard library."""
    code = """
import sys, sonovid.cli
sonovid.cli.build_parser().format_help()
print(sorted({"torch", "numpy", "av", "diffusers", "importlib.resources", "tempfile", "subprocess"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
