"""Read text files that people write: manifests, lists, captions and JSON.

Files are UTF-8 with or without a byte-order mark, or UTF-16 or UTF-32 with one, as spreadsheets and Windows save them. Lines end
with LF, CRLF or CR only: a line separator (U+2028) inside a caption is part of the caption.
"""

import csv
import json
import os
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# UTF-32 first: its little-endian mark begins with that of UTF-16.
BYTE_ORDER_MARKS = {
    BOM_UTF8: "utf-8-sig",
    BOM_UTF32_LE: "utf-32",
    BOM_UTF32_BE: "utf-32",
    BOM_UTF16_LE: "utf-16",
    BOM_UTF16_BE: "utf-16",
}

CONTROLS, SURROGATES = re.compile(r"[\x00-\x1f\x7f-\x9f]"), re.compile(r"[\ud800-\udfff]")

AnyPath = str | os.PathLike


def detect_encoding(path: AnyPath) -> str:
    """The encoding of a file by its byte-order mark; UTF-8 without one."""
    with open(path, "rb") as file:
        start = file.read(4)
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), "utf-8")


@contextmanager
def _open_text(path: AnyPath, newline: "str | None" = None) -> Iterator[IO[str]]:
    try:
        with open(path, encoding=detect_encoding(path), newline=newline) as file:
            yield file
    except UnicodeError:
        raise ValueError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def read_text(path: AnyPath) -> str:
    """The text of a file, without its byte-order mark.

    Raises:
        ValueError: neither UTF-8 nor marked as UTF-16 or UTF-32.
        OSError: no such file, or no permission to read it.
    """
    with _open_text(path) as file:
        return file.read()


def read_lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    """(line number from 1, stripped text) of each line that is not blank. The file is read lazily.

    Raises:
        ValueError: see `read_text`.
    """
    with _open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.strip()


def read_json(path: AnyPath) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: not text, or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error.msg} at line {error.lineno}, column {error.colno})") from None


def read_json_lines(path: AnyPath) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line of a JSON-lines file.

    Raises:
        ValueError: not text, or a line that is not a JSON object.
    """
    for number, line in read_lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {number}: not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path} line {number}: expected an object such as {{'path': 'a.mp4', 'caption': '...'}}")
        yield number, row


def read_csv_rows(path: AnyPath, **options: Any) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of each row of a CSV file that is not empty.

    Args:
        path: the file.
        options: of `csv.reader`.

    Raises:
        ValueError: not text, or not CSV.
    """
    with _open_text(path, newline="") as file:
        reader = csv.reader(file, **options)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise ValueError(f"{path} line {reader.line_num}: not CSV ({error})") from None


def read_table(path: AnyPath, columns: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, values by column) of each row of a CSV file with a header.

    Args:
        path: the file.
        columns: columns that must exist.

    Raises:
        ValueError: not text, no header, a missing column, or a row with another number of fields.
    """
    rows = read_csv_rows(path)
    _, names = next(rows, (0, []))
    if not names:
        raise ValueError(f"{path}: empty; expected a first line that names columns")
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"{path}: no column {missing[0]!r}; expected {', '.join(columns)}")
    for number, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path} line {number}: expected {len(names)} fields as in the first line")
        yield number, dict(zip(names, row, strict=True))


def to_one_line(text: Any) -> str:
    """A caption or label as one line: white space and control characters, including NUL, become single spaces.

    Raises:
        ValueError: half of a surrogate pair, which cannot be encoded.
    """
    text = str(text)
    if SURROGATES.search(text):
        raise ValueError(f"half of a surrogate pair in {text[:60]!a}, which is no character; write it whole")
    return " ".join(CONTROLS.sub(" ", text).split())


def read_caption(path: AnyPath) -> str:
    """The caption in a text file, as one line.

    Raises:
        ValueError: not text, or half of a surrogate pair.
    """
    try:
        return to_one_line(read_text(path))
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{Path(path)}: {error}") from None
