import numpy as np
import pytest
from small_study import answers, folders, save

from sonovid.metrics.rating.analysis import analyse
from sonovid.metrics.rating.answers import read
from sonovid.metrics.rating.study import draw
from sonovid.metrics.statistics import holm, wilcoxon

QUESTIONS = ("video_quality", "temporal_synchronisation")
RATERS = tuple(str(number) for number in range(1, 13))


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    return folders(tmp_path_factory.mktemp("systems"))


@pytest.fixture(scope="module")
def study(systems):
    return draw(systems, task="audio-to-video", questions="cmmd", clips=4, raters=12)


@pytest.fixture(scope="module")
def table(study):
    """Marks [question system rater item]: the reference best, the other two alike but for chance."""
    generator = np.random.default_rng(3)
    marks = generator.integers(1, 4, (2, 3, 12, 4))
    marks[:, 2] = generator.integers(4, 6, (2, 12, 4))
    return marks


@pytest.fixture(scope="module")
def result(study, table, tmp_path_factory):
    return analyse(study, given(study, table, tmp_path_factory.mktemp("answers")))


def given(study, table, path, raters=RATERS):
    items = sorted({clip.item for clip in study.clips})

    def opinion(rater):
        def mark(system, item, question):
            place = QUESTIONS.index(question), study.systems.index(system), int(rater) - 1, items.index(item)
            return int(table[place])

        return mark

    return read([save(path / f"{rater}.json", answers(study, rater, opinion(rater))) for rater in raters], study)


def test_scores_are_means_of_raters_means(result, table, study):
    assert len(result.opinions) == 6
    for found in result.opinions:
        own = table[QUESTIONS.index(found.question), study.systems.index(found.system)]
        assert found.mean == pytest.approx(own.mean())
        assert (found.ratings, found.raters) == (48, 12)
        assert found.box == tuple(np.quantile(own, (0, 0.25, 0.5, 0.75, 1)))
        assert found.t.low < found.bootstrap.low < found.mean < found.bootstrap.high < found.t.high


def test_pairs_are_marks_of_one_item_or_means_of_one_rater(result, table, study):
    for pair in result.comparisons:
        a, b = (table[QUESTIONS.index(pair.question), study.systems.index(name)] for name in (pair.first, pair.second))
        a, b = (a.mean(1), b.mean(1)) if pair.over == "raters" else (a.ravel(), b.ravel())
        wanted = wilcoxon(a.astype(float), b.astype(float))
        assert (pair.pairs, pair.nonzero) == (wanted.pairs, wanted.nonzero)
        assert pair.p == pytest.approx(wanted.p)
        assert pair.effect == pytest.approx(wanted.effect)
        assert pair.difference == pytest.approx((a - b).mean())


def test_holm_corrects_for_all_comparisons_of_a_kind(result):
    for over in ("ratings", "raters"):
        own = [pair for pair in result.comparisons if pair.over == over]
        assert len(own) == 6
        np.testing.assert_allclose([pair.p_holm for pair in own], holm([pair.p for pair in own]))


def test_what_is_better_is_found_and_what_is_alike_is_not(result):
    for pair in result.comparisons:
        if pair.second == "reference":
            assert pair.p_holm < 0.05
            assert pair.effect < -0.9
        else:
            assert pair.p_holm > 0.05


def test_one_rater_alone_has_scores_and_no_intervals(study, table, tmp_path):
    found = analyse(study, given(study, table, tmp_path, raters=("3",)))
    assert all(opinion.t is None and opinion.bootstrap is None and opinion.raters == 1 for opinion in found.opinions)
    assert all(pair.p is None and pair.pairs == 1 for pair in found.comparisons if pair.over == "raters")
    assert all(pair.p is not None for pair in found.comparisons if pair.over == "ratings")


def test_systems_drawn_by_themselves_are_compared_over_raters_alone(systems, table, tmp_path):
    study = draw(systems, task="audio-to-video", questions="cmmd", clips=4, raters=12, paired=False)
    found = analyse(study, given(study, table, tmp_path))
    assert {pair.over for pair in found.comparisons} == {"raters"}
    assert len(found.comparisons) == 6


def test_the_zero_method_goes_through(study, table, tmp_path):
    found = analyse(study, given(study, table, tmp_path), zero_method="wilcox")
    pair = next(pair for pair in found.comparisons if pair.over == "ratings")
    a, b = (table[0, study.systems.index(name)].ravel().astype(float) for name in (pair.first, pair.second))
    assert pair.p == pytest.approx(wilcoxon(a, b, zero_method="wilcox").p)
    with pytest.raises(ValueError, match="wilcox, pratt or zsplit"):
        analyse(study, given(study, table, tmp_path), zero_method="none")
