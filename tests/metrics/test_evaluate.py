"""Two folders to numbers: what they are against numbers made by hand, what is floor and ceiling, and what is said of faults."""

from dataclasses import replace
from fractions import Fraction

import measured
import numpy as np
import pytest
from measured import EVERY, FVD, HEAVY, KVD, PAIR, PER_CLIP, SPREAD, TIME, Look, Tone

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics import sets
from sonovid.metrics.base import Distance
from sonovid.metrics.evaluate import EvaluationConfig, evaluate, evaluate_all
from sonovid.metrics.extraction import Extraction, extract
from sonovid.metrics.frechet import frechet, per_clip
from sonovid.metrics.kernels import kvd
from sonovid.metrics.lazy_extractor import resolve_extractor

FEW = EvaluationConfig(resamples=20)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Eight clips of other seeds, quieter, and ten of the reference; clip i of either brightens at a moment of its own."""
    root = tmp_path_factory.mktemp("sets")
    return measured.folder(root / "made", range(50, 58), level=0.5), measured.folder(root / "true", range(10))


@pytest.fixture(scope="module")
def both(folders):
    return sets.open_set(folders[0]), sets.open_set(folders[1])


@pytest.fixture(scope="module")
def found(both):
    return evaluate(*both, EVERY, FEW)


def rows(one, extractor, key):
    features = extract(one.items, [resolve_extractor(extractor)], Extraction())
    return [features.get(extractor, item)[key] for item in one.items]


def test_values_are_those_of_the_metric_s_own_function(both, found):
    made, true = (rows(one, Look, "features") for one in both)
    assert found["fvd_look"].value == pytest.approx(frechet(np.concatenate(made), np.concatenate(true)), rel=1e-9)
    assert found["kvd_look"].value == pytest.approx(kvd(np.concatenate(made), np.concatenate(true)), rel=1e-9)
    assert found["fad_per_clip_look"].value == pytest.approx(per_clip(made, np.concatenate(true)).mean(), rel=1e-9)
    assert found["spread"].value == pytest.approx(np.concatenate(made).std())
    made, true = (rows(one, Tone, "level") for one in both)
    by_hand = [np.abs(a - b).mean() for a, b in zip(made, true, strict=False)]
    assert found["levels"].value == pytest.approx(np.mean(by_hand))
    assert list(found["levels"].clips.values()) == pytest.approx(by_hand)


def test_counts_and_intervals(found):
    assert (found["fvd_look"].generated, found["fvd_look"].reference) == (8, 10)
    assert (found["levels"].generated, found["levels"].reference) == (8, 8)
    for result in found.results:
        assert result.low <= result.value <= result.high, result.name


def test_floors_and_ceilings(found):
    time = found["in_time"]
    assert time.value == pytest.approx(1, abs=0.3)
    assert time.floor < time.value
    assert time.ceiling == pytest.approx(np.mean(list(time.reference_clips.values())))
    assert len(time.shuffled) == 5 * 8
    assert found["levels"].floor is not None
    assert found["spread"].ceiling is not None
    distance = found["fvd_look"]
    assert distance.matched_count == 5
    assert "5 clips each" in distance.floor_what
    assert distance.floor < distance.matched


def test_the_reference_against_itself_lies_at_its_floor(both):
    (result,) = evaluate(both[1], both[1], [FVD], FEW).results
    assert result.value == pytest.approx(0, abs=1e-9)
    assert result.matched >= 0


def test_weights_that_are_missing_are_said_and_the_rest_goes_on(found):
    (skipped,) = found.skipped
    assert skipped.name == "fvd_heavy"
    assert "fetch it from https://example.org" in skipped.reason
    assert len(found.results) == len(EVERY) - 1


def test_the_same_numbers_whatever_workers_batch_and_order(both, found):
    other = replace(both[0], items=both[0].items[::-1])
    extraction = Extraction(workers=2, batch_size=1)
    again = evaluate(other, both[1], EVERY[::-1], EvaluationConfig(resamples=20, extraction=extraction))
    for result in found.results:
        if result.name not in ("fvd_look", "kvd_look", "spread"):  # whose resamples are drawn by place
            assert again[result.name].value == pytest.approx(result.value, rel=1e-12)
        else:
            assert again[result.name].value == pytest.approx(result.value, rel=1e-9)
    same = evaluate(*both, EVERY, EvaluationConfig(resamples=20, extraction=extraction))
    assert same.results == found.results


def test_several_systems_are_measured_as_each_alone(both, found):
    twice = evaluate_all([both[0], replace(both[1], title="itself")], both[1], EVERY, FEW)
    assert twice[0].results == found.results


def test_without_a_reference_only_what_needs_none(both):
    alone = evaluate(both[0], None, EVERY, FEW)
    assert {result.name for result in alone.results} == {"spread", "in_time"}
    assert {one.reason for one in alone.skipped if one.name != "fvd_heavy"} == {"needs a reference"}
    with pytest.raises(ValueError, match="no metric can be computed; the first, fvd_look: needs a reference"):
        evaluate(both[0], None, [FVD], FEW)


def test_faulty_clips_are_left_out_and_counted(folders, tmp_path):
    for path in folders[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "000.mp4").read_bytes()
    (tmp_path / "000.mp4").write_bytes(whole[: len(whole) // 2])
    media.write(tmp_path / "001.mp4", measured.clip(3, seconds=0.5), overwrite=True)
    (tmp_path / "002.mp4").unlink()
    measured.silent(tmp_path / "002.mp4")
    made, true = sets.open_set(tmp_path), sets.open_set(folders[1])
    result = evaluate(made, true, [FVD, PAIR, TIME], FEW)
    assert result["fvd_look"].generated == 6
    assert result["fvd_look"].left_out[made.title] == {"001": "4 frames, 6 are needed"}
    assert result["levels"].left_out[made.title] == {"002": "without audio"}
    assert result["in_time"].left_out[made.title] == {"001": "4 frames, 6 are needed", "002": "without audio"}
    assert any("1 of 8 files left out: 000: " in line for line in result.warnings)
    # What is left is what there would be without the faulty ones.
    for name in ("000.mp4", "001.mp4"):
        (tmp_path / name).unlink()
    assert evaluate(sets.open_set(tmp_path), true, [FVD], FEW)["fvd_look"].value == result["fvd_look"].value


def test_features_that_are_no_numbers_leave_their_clip_out(both, monkeypatch):
    usual = Look.embed

    def embed(self, prepared):
        found = usual(self, prepared)
        return [{**f, "features": np.full_like(f["features"], np.nan)} if f["level"][0] > 0.27 else f for f in found]

    monkeypatch.setattr(Look, "embed", embed)
    result = evaluate(*both, [FVD], FEW)["fvd_look"]
    assert np.isfinite(result.value)
    left = result.left_out[both[0].title]
    assert set(left.values()) == {"its features contain NaN or infinity"}
    assert result.generated == 8 - len(left)


def test_too_few_clips_is_a_reason_not_a_crash(folders, tmp_path):
    (tmp_path / "000.mp4").write_bytes((folders[0] / "000.mp4").read_bytes())
    found = evaluate(sets.open_set(tmp_path), sets.open_set(folders[1]), [FVD, TIME, SPREAD], FEW)
    assert [result.name for result in found.results] == ["in_time"]
    assert found["in_time"].floor is None
    assert "1 usable clips" in found.skipped[0].reason


def test_numbers_that_do_not_exist_for_a_clip_are_counted(both):
    metric = replace(TIME, score=lambda look, tone: float("nan") if look["level"][0] > 0.2 else 1.0)
    result = evaluate(*both, [metric], FEW)["in_time"]
    assert result.value == 1.0
    assert 0 < result.undefined < 8
    assert any("not defined for" in line for line in result.warnings)
    never = replace(TIME, score=lambda look, tone: float("nan"))
    assert "undefined for all" in evaluate(*both, [never, PAIR], FEW).skipped[0].reason


def test_warnings_stand_with_the_number(both):
    warned = replace(KVD, warn=lambda info: "too slow" if info["fps"] == 8 else "")
    assert "too slow" in evaluate(*both, [warned], FEW)["kvd_look"].warnings
    assert any("the distance falls with either number" in line for line in evaluate(*both, [FVD], FEW)["fvd_look"].warnings)
    wide = Distance("wide", "fvd", "", "lower", extractor=Wide, distance=frechet, by_size=True)
    assert any("far above its limit" in line for line in evaluate(*both, [wide], FEW)["wide"].warnings)


def test_a_shuffled_partner_that_does_as_well_is_said(both):
    blind = replace(TIME, score=lambda look, tone: float(look["level"][0] * 1000 % 1))
    assert any(
        "not significantly different from shuffled partners" in line for line in evaluate(*both, [blind], FEW)["in_time"].warnings
    )


def test_the_record_says_how(found, both):
    record = found["fvd_look"].record
    assert record["estimator"] == "frechet(ddof=1) of features"
    (extractor,) = record["extractors"]
    assert extractor["reading"]["size"] == [16, 16]
    assert "cut evenly" in extractor["resize"]
    assert extractor["generated"] == {"clips": 8, "seconds": 1.0, "fps": 8.0, "frames": 8, "size": ["16x16"]}
    assert found["levels"].record["extractors"][0]["reference"]["sample_rate"] == measured.RATE
    assert found.record["generated"]["sha256"] == both[0].sha256
    assert found.record["versions"]["sonovid"]
    assert found.record["seed"] == 0


def test_a_clip_of_another_rate_is_said(both, tmp_path, folders):
    for path in folders[1].glob("*.mp4"):
        made = media.read(path)
        media.write(tmp_path / path.name, replace(made, fps=Fraction(4), waveform=made.waveform))
    lines = evaluate(sets.open_set(tmp_path), both[1], [PAIR], FEW).warnings
    assert any("frames per second" in line for line in lines)


def test_metrics_of_heavy_networks_and_of_clips_go_by_their_own_kind(found):
    assert HEAVY.extractors == (measured.Heavy,)
    assert found["fad_per_clip_look"].clips.keys() == found["levels"].clips.keys()
    assert PER_CLIP.least == 2


class Wide(Look):
    """More features than there are clips."""

    name = "wide"

    def embed(self, prepared):
        matrix = np.random.default_rng(1).standard_normal((12, 64))
        return [{"features": (p["quarters"] @ matrix)[0]} for p in prepared]


def test_a_folder_of_sounds_is_measured_beside_the_reference_s_pictures(folders, both, tmp_path):
    """As video-to-audio benchmarks hand them out: the numbers are those of the films that these sounds belong to."""
    muxed = tmp_path / "films"
    muxed.mkdir()
    (tmp_path / "sounds").mkdir()
    for own, true in zip(both[0].items, both[1].items, strict=False):
        sound, film = media.read(own.path), media.read(true.path)
        media.write(tmp_path / "sounds" / f"{own.name}.wav", Clip(None, sound.waveform, sound.fps, sound.sample_rate))
        media.write(muxed / f"{own.name}.mkv", Clip(film.frames, sound.waveform, film.fps, sound.sample_rate))
    sounds = evaluate(sets.open_set(tmp_path / "sounds"), both[1], [TIME, PAIR, FVD], FEW)
    films = evaluate(sets.open_set(muxed), both[1], [TIME, PAIR, FVD], FEW)
    assert sounds["in_time"].clips == films["in_time"].clips
    assert sounds["in_time"].value < sounds["in_time"].ceiling
    assert sounds["levels"].clips == pytest.approx(films["levels"].clips, abs=2e-3)
    # Pictures that are the reference's own have no distance of their own.
    assert [one.name for one in sounds.skipped] == ["fvd_look"]
    assert "they borrow it from the reference" in sounds.skipped[0].reason
    assert sounds.record["generated"]["pictures_of_the_reference"] == 8
    assert any("8 of 8 clips have no video" in line for line in sounds.warnings)
