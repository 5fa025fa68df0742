import numpy as np
import pytest

from sonovid.metrics.frechet import Moments, frechet
from sonovid.metrics.kernels import kvd
from sonovid.metrics.sizes import frechet_infinity, matched_distance, split_half_distance

RNG = np.random.default_rng(8)
MANY = RNG.standard_normal((1200, 6))
FEW = RNG.standard_normal((90, 6))


def test_equal_sizes_are_one_draw_of_everything():
    drawn = matched_distance(FEW, MANY[:90])
    assert drawn.values == (frechet(FEW, MANY[:90]),)
    assert (drawn.std, drawn.clips) == (0.0, 90)


def test_matched_draws_as_many_clips_of_both_by_seed():
    first, again, other = (matched_distance(MANY, FEW, draws=4, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.values != other.values
    assert len(set(first.values)) == 4
    seen = []
    matched_distance(MANY, FEW, count=20, draws=3, distance=lambda x, y: float(seen.append((len(x), len(y))) or 0))
    assert seen == [(20, 20)] * 3
    np.testing.assert_allclose(first.std, np.std(first.values, ddof=1))


def test_fewer_rows_make_a_frechet_distance_larger_but_not_an_unbiased_kernel_distance():
    one, two = MANY[:600], MANY[600:]
    few, many = (matched_distance(one, two, count=count, draws=8) for count in (20, 200))
    assert few.mean > 5 * many.mean
    assert abs(matched_distance(one, two, count=20, draws=60, distance=kvd).mean) < 0.1 * abs(kvd(one, two + 1))


def test_halves_share_no_clip():
    """Two windows of one clip are the same here, so halves that shared a clip would be nearer to each other."""
    seen = []
    clips = np.repeat(np.arange(30), 3)
    rows = np.repeat(np.arange(30.0), 3)[:, None] + np.zeros(2)

    def overlap(x, y):
        seen.append(set(x[:, 0]) & set(y[:, 0]))
        assert len(x) == len(y) == 45
        return 0.0

    split_half_distance(rows, clips=clips, distance=overlap, draws=5)
    assert seen == [set()] * 5
    assert split_half_distance(MANY, count=90, draws=3).clips == 90


def test_the_floor_is_near_the_distance_of_two_sets_of_one_kind():
    floor = split_half_distance(MANY, count=90, draws=20)
    assert abs(frechet(FEW, MANY[:90]) - floor.mean) < 6 * floor.std


def test_the_limit_is_below_what_any_size_gives():
    """Of two sets of one kind the distance falls with 1/n to the limit, which the set itself is far from."""
    made, reference = RNG.standard_normal((1000, 24)), Moments.of(RNG.standard_normal((20000, 24)))
    limit = frechet_infinity(made, reference, smallest=100, seed=1)
    assert limit.r2 > 0.9
    assert limit.values[0] > limit.values[-1] > limit.value
    # The truth is nought.
    assert abs(limit.value) < 0.3 * limit.values[-1]
    np.testing.assert_allclose(limit.value + limit.slope / 1000, limit.values[-1], rtol=0.1)
    assert (limit.sizes[0], limit.sizes[-1], len(limit.sizes)) == (100, 1000, 25)


def test_the_last_point_of_the_line_is_the_set_itself():
    assert frechet_infinity(FEW, MANY).values[-1] == pytest.approx(frechet(FEW, MANY), rel=1e-9)
    assert frechet_infinity(FEW, MANY, replace=True).values[-1] != pytest.approx(frechet(FEW, MANY), rel=1e-6)
    assert frechet_infinity(FEW, MANY, seed=2) == frechet_infinity(FEW, MANY, seed=2)
    assert frechet_infinity(FEW, MANY).sizes[0] == 45
    assert frechet_infinity(MANY, FEW).sizes[0] == 500


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: matched_distance(FEW, MANY, count=91), "count=91: there are 90 generated clips"),
        (lambda: split_half_distance(FEW, count=46), "at most 45 each"),
        (lambda: frechet_infinity(FEW, MANY, smallest=90), "three sizes or more"),
        (lambda: frechet_infinity(FEW, MANY, smallest=0), "three sizes or more"),
        (lambda: frechet_infinity(FEW, MANY, smallest=100), "three sizes or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act()
