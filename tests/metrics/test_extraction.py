"""Features: the same whatever the way they were had, kept on disk, and refused when they are not what they should be."""

import logging
from fractions import Fraction
from pathlib import Path

import measured
import numpy as np
import pytest
from measured import Look, Tone, Words

from sonovid import media
from sonovid.metrics import sets
from sonovid.metrics.base import InputSpec, UnavailableError
from sonovid.metrics.cache import Cache
from sonovid.metrics.extraction import Extraction, extract
from sonovid.metrics.lazy_extractor import resolve_extractor
from sonovid.metrics.preparation import Job, prepare

KINDS = [resolve_extractor(Look), resolve_extractor(Tone), resolve_extractor(Words)]


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return sets.open_set(measured.folder(tmp_path_factory.mktemp("clips") / "clips", range(7))).items


def arrays(features, items):
    return {
        (extractor.name, item.name, key): array
        for extractor in (Look, Tone, Words)
        for item in items
        for key, array in features.get(extractor, item).items()
    }


def alike(first, second) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_neither_processes_nor_batches_nor_order_change_a_feature(items):
    usual = arrays(extract(items, KINDS, Extraction()), items)
    assert alike(usual, arrays(extract(items[::-1], KINDS, Extraction(batch_size=1)), items))
    assert alike(usual, arrays(extract(items, KINDS[::-1], Extraction(workers=2, batch_size=5)), items))


def test_the_second_time_comes_from_the_cache(items, tmp_path):
    cache = Cache(tmp_path)
    first = arrays(extract(items, KINDS, Extraction(cache)), items)
    before = Look.embedded
    again = Cache(tmp_path)
    assert alike(first, arrays(extract(items, KINDS, Extraction(again)), items))
    assert Look.embedded == before
    assert again.hits == 3 * len(items)


def test_a_damaged_feature_is_refused_and_computed_anew(items, tmp_path, caplog):
    first = arrays(extract(items, KINDS, Extraction(Cache(tmp_path))), items)
    files = sorted(tmp_path.rglob("*.safetensors"))
    flipped = bytearray(files[0].read_bytes())
    flipped[-1] ^= 1
    files[0].write_bytes(bytes(flipped))
    files[1].write_bytes(files[1].read_bytes()[:-5])
    files[2].write_bytes(files[3].read_bytes())
    again = Cache(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert alike(first, arrays(extract(items, KINDS, Extraction(again)), items))
    assert again.refused == 3
    assert {why for why in ("is damaged", "cannot be read", "belongs to something else") if why in caplog.text} == {
        "is damaged",
        "cannot be read",
        "belongs to something else",
    }
    last = Cache(tmp_path)
    extract(items, KINDS, Extraction(last))
    assert (last.refused, last.hits) == (0, 3 * len(items))


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", "2"), ("settings", {"other": 1}), ("input_spec", InputSpec(video=True, size=(16, 16), fps=Fraction(8)))],
)
def test_what_was_made_otherwise_is_not_taken(items, tmp_path, monkeypatch, name, value):
    extract(items, KINDS, Extraction(Cache(tmp_path)))
    monkeypatch.setattr(Look, name, value)
    again = Cache(tmp_path)
    extract(items, [resolve_extractor(Look)], Extraction(again))
    assert again.hits == 0


def test_a_file_changed_in_its_place_is_read_anew(tmp_path):
    folder = measured.folder(tmp_path / "clips", range(2))
    before = sets.open_set(folder)
    old = arrays(extract(before.items, KINDS, Extraction(Cache(tmp_path / "cache"))), before.items)
    media.write(folder / "000.mp4", measured.clip(99), overwrite=True)
    after = sets.open_set(folder)
    new = arrays(extract(after.items, KINDS, Extraction(Cache(tmp_path / "cache"))), after.items)
    assert not np.array_equal(old["look", "000", "features"], new["look", "000", "features"])
    assert np.array_equal(old["look", "001", "features"], new["look", "001", "features"])


def test_a_caption_counts_where_it_is_read_and_nowhere_else(tmp_path):
    folder = measured.folder(tmp_path / "clips", [5])
    extract(sets.open_set(folder).items, KINDS, Extraction(Cache(tmp_path / "cache")))
    (folder / "000.txt").write_text("a square, seed 6")
    cache = Cache(tmp_path / "cache")
    (item,) = sets.open_set(folder).items
    features = extract([item], KINDS, Extraction(cache))
    assert features.get(Words, item)["number"] == 6
    assert cache.hits == 2


def test_clips_that_do_not_fit_are_said_to_each_with_its_reason(tmp_path):
    measured.silent(tmp_path / "silent.mp4")
    measured.no_numbers(tmp_path / "numbers.wav")
    media.write(tmp_path / "short.mp4", measured.clip(1, seconds=0.5))
    media.write(tmp_path / "good.mp4", measured.clip(2))
    found = sets.open_set(tmp_path)
    cache = Cache(tmp_path / "cache")
    features = extract(found.items, KINDS, Extraction(cache))
    reasons = {item.name: [features.reason(extractor, item) for extractor in (Look, Tone)] for item in found.items}
    assert reasons["good"] == ["", ""]
    assert reasons["silent"] == ["", "without audio"]
    assert reasons["short"] == ["4 frames, 6 are needed", ""]
    assert reasons["numbers"][0] == "without video"
    assert "NaN or infinity" in reasons["numbers"][1]
    assert all(features.reason(Words, item) == "without a caption" for item in found.items)
    # A clip that is unfit is known to be so the next time.
    again = Cache(tmp_path / "cache")
    assert extract(found.items, KINDS, Extraction(again)).reason(Look, found.items[2]) == reasons[found.items[2].name][0]


def test_extractors_that_read_alike_share_one_reading(tmp_path, monkeypatch):
    folder = measured.folder(tmp_path / "clips", [1])
    read, calls = media.read, []
    monkeypatch.setattr(media, "read", lambda *a, **k: calls.append(k) or read(*a, **k))

    class Also(Look):
        name = "also"

    prepare(Job(str(folder / "000.mp4"), "", (Look, Also, Tone)))
    assert len(calls) == 2


def test_sound_as_decoded_is_read_without_pictures(tmp_path, monkeypatch):
    folder = measured.folder(tmp_path / "clips", [1])
    monkeypatch.setattr(Tone, "input_spec", InputSpec(audio=True, sample_rate=measured.RATE, placed=False))
    (found,) = prepare(Job(str(folder / "000.mp4"), "", (Tone,)))
    assert found.arrays is not None


def test_weights_that_are_not_at_hand_and_weights_of_another_network(tmp_path, items, monkeypatch):
    with pytest.raises(UnavailableError, match=r"nobody_has_this.pt is not available: fetch it from https://example.org"):
        resolve_extractor(measured.Heavy)
    (tmp_path / "nobody_has_this.pt").write_bytes(b"of another network")

    def load(self, files: list[Path], device: str = "cpu") -> None:
        raise ValueError(f"{files[0].name}: the weights of another network")

    monkeypatch.setattr(measured.Heavy, "load", load)
    heavy = resolve_extractor(measured.Heavy, tmp_path)
    features = extract(items, [heavy, *KINDS], Extraction())
    assert features.failures == {measured.Heavy: "nobody_has_this.pt: the weights of another network"}
    assert features.has(Look, items[0])
    assert not features.has(measured.Heavy, items[0])
