"""What clips are brought to before they are measured."""

from dataclasses import replace
from fractions import Fraction

import measured
import numpy as np
import pytest
from measured import FVD, PAIR, TIME, Look, Tone

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import sets
from sonovid.metrics.base import InputSpec
from sonovid.metrics.cache import Cache
from sonovid.metrics.compare import compare
from sonovid.metrics.evaluate import EvaluationConfig, evaluate
from sonovid.metrics.extraction import Extraction, extract
from sonovid.metrics.lazy_extractor import resolve_extractor
from sonovid.metrics.protocol import NO_PROTOCOL, Protocol


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds at 16 frames a second, each frame of its own brightness."""
    frames = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None, None] * 8, (32, 48, 64, 3)).copy()
    waveform = np.linspace(-0.5, 0.5, 16000, dtype=np.float32)[None]
    clip = Clip(frames, waveform, Fraction(16), 8000)
    return str(media.write(tmp_path_factory.mktemp("films") / "film.mkv", clip))


def test_a_clip_is_brought_to_the_protocol_and_then_to_what_an_extractor_reads(film):
    short = Protocol(seconds=Fraction(1), fps=Fraction(4), size=(24, 24))
    own = short.read(film, InputSpec(video=True, audio=True))
    assert own.frames.shape == (4, 24, 24, 3)
    assert own.waveform.shape == (1, 8000)
    # An extractor of 8 frames a second sees each of the four twice: what is left out does not come back.
    seen = short.read(film, InputSpec(video=True, fps=Fraction(8), size=(12, 12)))
    assert seen.frames.shape == (8, 12, 12, 3)
    np.testing.assert_array_equal(seen.frames[0::2], seen.frames[1::2])
    np.testing.assert_array_equal(seen.frames[::2, 0, 0, 0], own.frames[:, 0, 0, 0])
    assert short.read(film, InputSpec(audio=True, sample_rate=4000, placed=False)).waveform.shape == (1, 4000)
    streamed = list(short.stream(film, InputSpec(video=True, streamed=True)).frames)
    np.testing.assert_array_equal(np.stack(streamed), own.frames)
    # A reading that wants less than the protocol leaves has less.
    assert short.read(film, InputSpec(video=True, seconds=Fraction(1, 2))).frames.shape[0] == 2


def test_without_one_clips_stay_as_they_are(film):
    assert NO_PROTOCOL.read(film, InputSpec(video=True)).frames.shape == (32, 48, 64, 3)
    assert NO_PROTOCOL.to_record() == {}


def test_plain_values_and_what_of_them_a_stream_hangs_on():
    one = Protocol(Fraction(8), Fraction(30000, 1001), (256, 144))
    assert Protocol.from_record(one.to_record()) == one
    assert one.to_record(InputSpec(audio=True)) == {"seconds": "8"}
    assert one.to_record(InputSpec(text=True)) == {}
    info = one.info({"clips": 3, "seconds": 10.0, "fps": 25.0, "size": (720, 1280), "sample_rate": 48000})
    assert info == {"clips": 3, "seconds": 8.0, "fps": 30000 / 1001, "size": (256, 144), "sample_rate": 48000}
    with pytest.raises(ValueError, match="above zero"):
        Protocol(fps=Fraction(0))
    with pytest.raises(ValueError, match="at least 1x1"):
        Protocol(size=(0, 4))


def test_it_stands_in_the_record_and_bars_other_protocols(tmp_path):
    made, true = (
        sets.open_set(measured.folder(tmp_path / name, range(start, start + 4))) for name, start in (("a", 20), ("b", 0))
    )
    found = {}
    for title, protocol in (("whole", NO_PROTOCOL), ("half", Protocol(seconds=Fraction(3, 4), fps=Fraction(8)))):
        extraction = Extraction(Cache(tmp_path / "cache"), protocol=protocol)
        found[title] = evaluate(
            replace(made, title=title), true, [FVD, PAIR, TIME], EvaluationConfig(resamples=5, extraction=extraction)
        )
    record = found["half"]["in_time"].record["extractors"]
    assert record[0]["protocol"] == {"seconds": "3/4", "fps": "8"}
    assert record[0]["generated"]["frames"] == 6
    assert record[1]["protocol"] == {"seconds": "3/4"}
    assert "protocol" not in found["whole"]["in_time"].record["extractors"][0]
    assert found["half"].record["protocol"] == {"seconds": "3/4", "fps": "8"}
    assert found["half"]["levels"].value != found["whole"]["levels"].value
    compared = compare(list(found.values()))
    assert all("protocol" in one.barred for one in compared.comparisons)


def test_features_of_one_protocol_are_not_taken_for_another(tmp_path):
    items = sets.open_set(measured.folder(tmp_path / "a", range(2))).items
    cache = Cache(tmp_path / "cache")
    for protocol in (
        NO_PROTOCOL,
        Protocol(seconds=Fraction(3, 4)),
        Protocol(fps=Fraction(4), seconds=Fraction(3, 4)),
        NO_PROTOCOL,
    ):
        extract(items, [resolve_extractor(Tone)], Extraction(cache, protocol=protocol))
    # The second and third are one to a sound, the fourth is the first.
    assert cache.hits == 4
    assert extract(items, [resolve_extractor(Look)], Extraction(protocol=Protocol(fps=Fraction(4)))).reason(Look, items[0])
