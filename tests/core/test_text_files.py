"""Text files: byte-order marks, encodings, line ends, and errors with file name and line."""

import json

import pytest

from sonovid.core import text_files
from sonovid.data import manifest
from sonovid.data.datasets import layout
from sonovid.metrics import sets

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le-marked")


def save(path, text, encoding):
    """The text in an encoding; "-marked" writes the mark that Python leaves out."""
    if encoding.endswith("-marked"):
        encoding, text = encoding.removesuffix("-marked"), "\ufeff" + text
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_readers_accept_all_byte_order_marks_and_line_ends(tmp_path, encoding, end):
    (tmp_path / "b.mp4").touch()
    rows = [{"path": "b.mp4", "caption": "ein Ball hüpft"}]
    lists = {
        "m.jsonl": end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end,
        "m.csv": f"path,caption{end}b.mp4,ein Ball hüpft{end}",
    }
    for name, text in lists.items():
        listed = save(tmp_path / name, text, encoding)
        (entry,) = manifest.read(listed)
        assert (entry.name, entry.caption) == ("b.mp4", "ein Ball hüpft")
        assert sets.read_captions(listed) == {"b": "ein Ball hüpft"}
    given = save(tmp_path / "captions.json", json.dumps({"b": "ein Ball hüpft"}), encoding)
    assert sets.read_captions(given) == {"b": "ein Ball hüpft"}
    assert layout.read_lines(save(tmp_path / "list.txt", f"b{end}{end}c{end}", encoding)) == ["b", "c"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_byte_order_mark_is_not_part_of_a_caption(tmp_path, encoding):
    (tmp_path / "b.mp4").touch()
    save(tmp_path / "b.txt", "ein Ball\r\n hüpft\n", encoding)
    (entry,) = manifest.read(tmp_path)
    assert entry.caption == "ein Ball hüpft"
    assert sets._caption(tmp_path / "b.mp4") == "ein Ball hüpft"
    (tmp_path / "b.txt").unlink()
    save(tmp_path / "b.json", json.dumps({"caption": "aus den Fakten", "label": "ball"}), encoding)
    (entry,) = manifest.read(tmp_path)
    assert (entry.caption, entry.label) == ("aus den Fakten", "ball")
    assert sets._caption(tmp_path / "b.mp4") == "aus den Fakten"


def test_a_line_separator_in_a_caption_does_not_end_the_line(tmp_path):
    (tmp_path / "b.mp4").touch()
    row = json.dumps({"path": "b.mp4", "caption": "one\u2028two\x85three"}, ensure_ascii=False)
    (tmp_path / "m.jsonl").write_text(row + "\n", encoding="utf-8")
    assert manifest.read(tmp_path / "m.jsonl")[0].caption == "one two three"
    assert sets.read_captions(tmp_path / "m.jsonl") == {"b": "one two three"}


def test_control_characters_become_spaces_and_half_surrogates_are_refused_by_line(tmp_path):
    (tmp_path / "b.mp4").touch()
    (tmp_path / "m.jsonl").write_text('{"path": "b.mp4", "caption": "a\\u0000ball\\u001b[31m"}\n')
    assert manifest.read(tmp_path / "m.jsonl")[0].caption == "a ball [31m"
    (tmp_path / "m.jsonl").write_text('{"path": "b.mp4"}\n{"path": "b.mp4", "caption": "\\ud83d ball"}\n')
    with pytest.raises(ValueError, match=r"m\.jsonl line 2: caption: half of a surrogate pair in '\\ud83d ball'"):
        manifest.read(tmp_path / "m.jsonl")
    with pytest.raises(ValueError, match=r"m\.jsonl line 2: caption: half of a surrogate"):
        sets.read_captions(tmp_path / "m.jsonl")
    assert text_files.to_one_line("😀 whole") == "😀 whole"


def test_files_that_are_not_text_are_refused_by_name(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b"path,caption\nb.mp4,\xff\xff\n")
    for read in (manifest.read, sets.read_captions, text_files.read_text, layout.read_lines):
        with pytest.raises(ValueError, match=r"m\.csv: not UTF-8 text"):
            read(path)
    path.write_text("path,caption\nb.mp4," + "a" * 200_000 + "\n")
    with pytest.raises(ValueError, match=r"m\.csv"):
        list(text_files.read_table(path))


def test_rows_are_read_lazily(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a"}\n{"path": "b"}\nnot json\n')
    rows = text_files.read_json_lines(path)
    assert [next(rows), next(rows)] == [(1, {"path": "a"}), (2, {"path": "b"})]
    with pytest.raises(ValueError, match="line 3: not JSON"):
        next(rows)
