"""The catalogue: names, families, near misses, and what each metric needs."""

import pytest

from sonovid.metrics import catalogue
from sonovid.metrics.base import Distance
from sonovid.metrics.evaluate import Measuring


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
    fvd = catalogue.needs(metrics["fvd_i3d400"], tmp_path)
    assert (fvd.reference, fvd.pairs, fvd.captions) == (True, False, False)
    assert "fetch it from" in fvd.missing
    assert fvd.weights
    align = catalogue.needs(metrics["av_align_sony"])
    assert (align.reference, align.pairs, align.captions, align.missing) == (False, False, False, "")
    assert catalogue.needs(metrics["clap_score_htsat_unfused"], tmp_path).captions
    assert catalogue.needs(metrics["beats_100ms"]).pairs


def test_reconstructions_have_names_of_their_own():
    chosen = catalogue.of_reconstructions(catalogue.select("fvd,reconstruction"))
    assert {"rfvd_i3d400", "psnr"} <= {metric.name for metric in chosen}
    assert all(metric.name.startswith("rfvd") for metric in chosen if isinstance(metric, Distance))


def test_measuring_is_plain_by_default():
    assert (Measuring().seed, Measuring().device, Measuring().how.workers) == (0, "cpu", 0)
