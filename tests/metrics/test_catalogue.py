"""The catalogue: names, families, near misses, and what each metric needs."""

import pytest

from sonovid.metrics import catalogue
from sonovid.metrics.base import Distance
from sonovid.metrics.evaluate import EvaluationConfig


def test_every_metric_has_a_network_or_a_method_in_its_name_and_says_what_it_is():
    for name, metric in catalogue.metrics().items():
        assert name == metric.name
        assert metric.what
        assert metric.extractors
        assert name not in ("fad", "fvd", "kvd", "fd", "is", "kl"), "a bare name says nothing of the features"


def test_extractors_of_one_name_are_one():
    kinds = {kind for metric in catalogue.metrics().values() for kind in metric.extractors}
    assert len({kind.name for kind in kinds}) == len(kinds)


def test_names_and_families_are_chosen_each_once():
    chosen = [metric.name for metric in catalogue.select("av_align_sony,AV_Align, fvd_scenes")]
    assert chosen[0] == "av_align_sony"
    assert chosen[-1] == "fvd_scenes"
    assert len(chosen) == len(set(chosen)) > 5
    assert not {"reconstruction", "av_align_256"} & {metric.family for metric in catalogue.select()}


@pytest.mark.parametrize(("word", "near"), [("av_aling", "av_align"), ("fvd_i3d", "fvd_i3d400"), ("kd", "kvd")])
def test_near_misses_are_named(word, near):
    with pytest.raises(ValueError, match=f"no such metric or family; did you mean .*{near}"):
        catalogue.select(word)


def test_what_a_metric_needs(monkeypatch, tmp_path):
    monkeypatch.delenv("SONOVID_WEIGHTS", raising=False)
    metrics = catalogue.metrics()
    fvd = catalogue.metric_requirements(metrics["fvd_i3d400"], tmp_path)
    assert (fvd.reference, fvd.pairs, fvd.captions) == (True, False, False)
    assert "fetch it from" in fvd.missing
    assert fvd.weights
    align = catalogue.metric_requirements(metrics["av_align_sony"])
    assert (align.reference, align.pairs, align.captions, align.missing) == (False, False, False, "")
    assert catalogue.metric_requirements(metrics["clap_score_htsat_unfused"], tmp_path).captions
    assert catalogue.metric_requirements(metrics["beats_100ms"]).pairs


def test_reconstructions_have_names_of_their_own():
    chosen = catalogue.reconstruction_metrics(catalogue.select("fvd,reconstruction"))
    assert {"rfvd_i3d400", "psnr"} <= {metric.name for metric in chosen}
    assert all(metric.name.startswith("rfvd") for metric in chosen if isinstance(metric, Distance))


def test_measuring_is_plain_by_default():
    assert (EvaluationConfig().seed, EvaluationConfig().device, EvaluationConfig().extraction.workers) == (0, "cpu", 0)


def info(**changed):
    return {"clips": 4, "seconds": 10.0, "fps": 25.0, "size": (720, 1280), "sample_rate": 48000} | changed


def test_the_default_table_is_of_what_the_clips_are():
    every = catalogue.select(None)

    def kept(captions=("a dog barks",), **changed):
        return {metric.name for metric in catalogue.filter_default_metrics(every, info(**changed), captions)[0]}

    large = kept()
    assert not any(name.startswith("beats") for name in large)
    assert "av_align_sony" in large
    assert "offset" in large
    assert not large & {"av_align_tempotokens2025", "av_align_tempotokens2023"}
    assert {"av_align_tempotokens2025", "av_align_tempotokens2023"} <= kept(size=(64, 64))
    assert not any(name.startswith("offset") and "scenes" not in name and "synch" not in name for name in kept(fps=8.0))
    music = kept(captions=("a woman dances to loud music",))
    assert {name for name in music if name.startswith("beats")} == {"beats_100ms", "beats_100ms_above_chance"}
    assert not any(name.startswith("beats") for name in kept(captions=("drum music",), seconds=2.0))
    reasons = {metric.name: why for metric, why in catalogue.filter_default_metrics(every, info(), ())[1]}
    assert "name them" in reasons["beats_100ms"]
    assert len(every) == len(large) + len(reasons)
