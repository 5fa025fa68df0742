"""The record in a container: written and read back."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid import media, provenance
from sonovid.core.clip import Clip
from sonovid.provenance.record import Record, read_record

BASE = {"model": "tiny", "system": "uniform", "version": "0.1.0"}
RECORDS = [
    Record(True, True, **BASE, seed=7, steps=25, prompt="a ball"),
    Record(True, True, **BASE),
    Record(False, True, **BASE, seed=-1, steps=1, given="film; seed 3.mp4"),
    Record(False, True, **BASE, seed=1, steps=4, given="film.mp4", beside_own=True),
    Record(True, False, **BASE, seed=0, steps=4, label="dog", given="bark.wav"),
    Record(True, True, **BASE, seed=0, steps=4, prompt="x; seed 5; 3 steps", given="a.mp4", continued=True),
    Record(True, True, "OWNER/NAME", "LTX-2", "0.1.0", 0, 30, "class: no class; prompt: none", "drum kit"),
]


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_what_is_written_is_read(record):
    assert Record.from_metadata(record.to_metadata()) == record


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".wav", ".flac"])
def test_every_kind_of_file_carries_it(tmp_path, suffix):
    clip = Clip(np.zeros((4, 16, 16, 3), np.uint8), np.zeros((1, 4000), np.float32), fps=Fraction(8), sample_rate=8000)
    path = media.write(tmp_path / f"a{suffix}", clip, metadata=RECORDS[0].to_metadata())
    assert read_record(path) == RECORDS[0]


def test_other_comments_are_none():
    assert Record.from_metadata({"comment": "made on holiday"}) is None
    assert Record.from_metadata({}) is None


def test_the_old_name_of_signed_file_works(tmp_path):
    with pytest.deprecated_call():
        old = provenance.signed
    with old(tmp_path / "a.mkv", RECORDS[0], given="film.mp4") as path:
        assert path == tmp_path / "a.mkv"
