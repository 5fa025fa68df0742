"""sonovid app: its options, and errors in them before anything is loaded."""

import argparse
import importlib.util
from fractions import Fraction

import pytest

from sonovid.cli import build_parser, main
from sonovid.cli.app import parse_settings, read_token
from sonovid.cli.argument_types import byte_size


def parse(*words):
    return build_parser().parse_args(["app", *words])


def test_the_defaults_are_this_machine_alone(monkeypatch, tmp_path):
    monkeypatch.delenv("SONOVID_TOKEN", raising=False)
    monkeypatch.setenv("SONOVID_APP", str(tmp_path))
    settings = parse_settings(parse())
    assert (settings.host, settings.port, settings.token, settings.folder) == ("127.0.0.1", 7860, None, tmp_path)
    assert settings.models == ("packaged",)
    assert len(settings.devices) == 1


def test_the_dtype_is_that_of_all_devices(monkeypatch, tmp_path):
    monkeypatch.setattr("sonovid.cli.device.has_bfloat16", lambda device: True)
    assert parse_settings(parse("--folder", str(tmp_path), "--device", "cpu")).dtype == "bfloat16"
    monkeypatch.setattr("sonovid.cli.device.has_bfloat16", lambda device: device == "cpu")
    assert parse_settings(parse("--folder", str(tmp_path), "--device", "cpu", "--device", "cpu:0")).dtype == "float32"


def test_options_become_settings(tmp_path):
    words = ["--model", "a", "--model", "b", "--model", "a", "--device", "cpu", "--device", "cpu:0", "--max-upload", "5M"]
    words += ["--max-age", "1/2", "--max-seconds", "2.5", "--max-queue", "3", "--folder", str(tmp_path), "--dtype", "bfloat16"]
    settings = parse_settings(parse(*words))
    assert settings.models == ("a", "b")
    assert settings.devices == ("cpu", "cpu:0")
    assert (settings.max_upload, settings.max_age, settings.max_seconds, settings.max_queue) == (
        5 * 2**20,
        43200,
        Fraction(5, 2),
        3,
    )
    assert settings.dtype == "bfloat16"


@pytest.mark.parametrize(("text", "size"), [("1000", 1000), ("2K", 2048), ("3m", 3 * 2**20), ("4G", 4 * 2**30)])
def test_sizes(text, size):
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "0", "4T"])
def test_other_sizes_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        byte_size(text)


def test_the_token_comes_from_a_file_or_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SONOVID_TOKEN", "from-the-environment")
    assert read_token(None) == "from-the-environment"
    (tmp_path / "token").write_text("from-the-file-itself\n")
    assert read_token(str(tmp_path / "token")) == "from-the-file-itself"
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        read_token(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--host", "0.0.0.0"], "needs a token"),
        (["--table", "no-such-file.json"], "no such file"),
        (["--token-file", "no-such-file"], "no-such-file"),
        (["--port", "70000"], "from 0 to 65535"),
        (["--device", "abacus"], "not usable here"),
        (["--max-upload", "much"], "not a size"),
        (["--prot", "1"], "did you mean --port"),
    ],
)
def test_what_is_wrong_is_one_line(words, why, capsys, monkeypatch):
    pytest.importorskip("gradio", reason="pip install 'sonovid[app]'")
    monkeypatch.delenv("SONOVID_TOKEN", raising=False)
    assert main(["app", *words]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1


def test_what_is_not_installed_is_named(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["app"]) == 2
    assert "pip install 'sonovid[app]'" in capsys.readouterr().err
