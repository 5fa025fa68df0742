"""Settings: accepted values, and the token for servers that others can reach."""

from pathlib import Path

import pytest

from sonovid.app.settings import Settings, default_folder, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"])
def test_loopback_hosts_need_no_token(host):
    assert is_loopback(host)
    assert Settings(folder=Path("x"), host=host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "127.0.0.1.example.org", ""])
def test_other_hosts_need_a_token(host):
    assert not is_loopback(host)
    with pytest.raises(ValueError, match="needs a token"):
        Settings(folder=Path("x"), host=host)
    assert Settings(folder=Path("x"), host=host, token="0123456789abcdef").token


@pytest.mark.parametrize("token", ["short", "with spaces in the token", "0123456789abcdef\u00e9", "0123456789abcdef\n"])
def test_tokens_that_cannot_be_sent_or_are_guessed_easily_are_refused(token):
    with pytest.raises(ValueError, match="token"):
        Settings(folder=Path("x"), token=token)


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"max_queue": 0}, {"max_age": -1}, {"models": ()}, {"devices": ()}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|needs"):
        Settings(folder=Path("x"), **wrong)


def test_the_folder_is_told_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SONOVID_APP", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("SONOVID_APP")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "sonovid" / "app"
