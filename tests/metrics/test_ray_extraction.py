"""Extraction by Ray, on a local one."""

import measured
import numpy as np
import pytest
from measured import Look, Tone, Words

from sonovid.metrics import ray_extraction, sets
from sonovid.metrics.cache import Cache
from sonovid.metrics.extraction import Extraction, extract
from sonovid.metrics.lazy_extractor import resolve_extractor
from sonovid.metrics.preparation import Prepared


def test_what_goes_through_ray_comes_back():
    held = {
        "a:B": Prepared({"rows": np.arange(6.0).reshape(2, 3), "caption": np.array("a dog\nbarks")}),
        "a:C": Prepared(error="too short", unusable=True),
        "a:D": Prepared({}),
    }
    back = ray_extraction.deserialize(ray_extraction.serialize(held))
    assert np.array_equal(back["a:B"].arrays["rows"], held["a:B"].arrays["rows"])
    assert str(back["a:B"].arrays["caption"]) == "a dog\nbarks"
    assert (back["a:C"], back["a:D"]) == (held["a:C"], held["a:D"])
    assert ray_extraction.class_from_path(ray_extraction.class_path(Look)) is Look


@pytest.mark.usefixtures("ray_cluster")
def test_ray_gives_the_features_of_this_process(tmp_path):
    folder = measured.folder(tmp_path / "clips", range(3))
    measured.silent(folder / "silent.mp4")
    items = sets.open_set(folder).items
    kinds = [resolve_extractor(Look), resolve_extractor(Tone), resolve_extractor(Words)]
    usual = extract(items, kinds, Extraction())
    cache = Cache(tmp_path / "cache")
    found = extract(items, kinds, Extraction(cache, ray=True))
    for extractor in (Look, Tone, Words):
        for item in items:
            assert found.reason(extractor, item) == usual.reason(extractor, item)
            if usual.has(extractor, item):
                for key, array in usual.get(extractor, item).items():
                    assert np.array_equal(found.get(extractor, item)[key], array)
    again = Cache(tmp_path / "cache")
    extract(items, kinds, Extraction(again))
    # Three extractors of three clips, and the pictures of the silent one.
    assert again.hits == 10
