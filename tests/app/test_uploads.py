"""Uploads: checks, limits, and removal of rejected files."""

import base64
from dataclasses import replace
from fractions import Fraction

import pytest

from sonovid.app.errors import RequestError
from sonovid.app.uploads import decode_data_url, read_chunks, save_upload


def test_a_file_lies_under_a_name_of_ours(film, settings, tmp_path):
    upload = save_upload(read_chunks(film), "source_video", "../../etc/../my film.MP4", tmp_path, settings)
    assert upload.path.parent == tmp_path
    assert upload.path.suffix == ".mp4"
    assert upload.name == "my film.MP4"
    assert upload.path.read_bytes() == film.read_bytes()
    assert save_upload(read_chunks(film), "source_video", "film.exe", tmp_path, settings).path.suffix == ".bin"


@pytest.mark.parametrize(
    ("which", "field", "changed", "status", "why"),
    [
        ("tone", "source_video", {}, 400, "no frames in it"),
        ("film", "source_audio", {}, 400, "no sound in it"),
        ("film", "source_video", {"max_seconds": Fraction(1)}, 400, "1.50 s is above the limit of 1 s"),
        ("film", "source_video", {"max_pixels": 100}, 400, "32x24 is above the limit of 100 pixels"),
        ("film", "source_video", {"max_upload": 100}, 413, "larger than the limit"),
    ],
)
def test_what_is_refused_leaves_nothing(which, field, changed, status, why, request, settings, tmp_path):
    path = request.getfixturevalue(which)
    with pytest.raises(RequestError, match=why) as told:
        save_upload(read_chunks(path), field, path.name, tmp_path / "in", replace(settings, **changed))
    assert told.value.status == status
    assert str(told.value).startswith(field)
    assert str(tmp_path) not in str(told.value)
    assert not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"no media file", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\nfile /etc/passwd\n"],
)
def test_what_is_no_media_file_is_refused(content, settings, tmp_path):
    with pytest.raises(RequestError, match="source_video: ") as told:
        save_upload([content], "source_video", "a.mp4", tmp_path, settings)
    assert str(tmp_path) not in str(told.value)
    assert not list(tmp_path.glob("*.mp4"))


def test_data_urls_carry_files_and_nothing_else_is_followed(film):
    url = "data:video/mp4;base64," + base64.b64encode(film.read_bytes()).decode()
    assert decode_data_url(url, "source_video") == ("source_video.mp4", film.read_bytes())
    for given in ("http://127.0.0.1/a.mp4", "file:///etc/passwd", "/etc/passwd", str(film), "data:video/mp4,abc", ""):
        with pytest.raises(RequestError, match="URLs and paths are not read"):
            decode_data_url(given, "source_video")
    with pytest.raises(RequestError, match="invalid"):
        decode_data_url("data:video/mp4;base64,a*b", "source_video")
