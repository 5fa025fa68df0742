import itertools

import numpy as np
import pytest
from references import sets

from sonovid.metrics.kernels import gaussian, jedi, kad, kid, kvd, median_distance, mmd2, polynomial, squared_distances

RNG = np.random.default_rng(6)
X, Y = RNG.standard_normal((23, 4)), 0.5 + 1.2 * RNG.standard_normal((17, 4))


def cubic(a, b):
    return (a @ b / len(a) + 1) ** 3


def by_hand(x, y, kernel, unbiased=True):
    """The sums of the definition, one pair at a time."""

    def within(rows):
        pairs = [(i, j) for i, j in itertools.product(range(len(rows)), repeat=2) if i != j or not unbiased]
        return sum(kernel(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    return within(x) + within(y) - 2 * sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


def test_agrees_with_other_programs():
    for _, x, y, known in sets():
        np.testing.assert_allclose(kvd(y, x), known["kvd_mm_diffusion_unbiased_deg3"], rtol=1e-9)
        np.testing.assert_allclose(jedi(y, x), known["jedi_poly2_biased_x100"], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(median_distance(x), known["kad_median_bandwidth_of_X"], rtol=1e-6)
        np.testing.assert_allclose(kad(y, x), known["kad_kadtk_gauss_x100(x=gen,y=ref)"], rtol=1e-3)
        swapped = kad(y, x, bandwidth=median_distance(y))
        np.testing.assert_allclose(swapped, known["kad_kadtk_as_score_calls_it(x=ref,y=gen)"], rtol=1e-3)
        (name,) = (key for key in known if key.startswith("kid_audioldm"))
        found = kid(y, x, subsets=20, size=int(name.split("size")[1].split("_")[0]))
        np.testing.assert_allclose(found.mean, known[name]["kernel_inception_distance_mean"], rtol=1e-9)
        np.testing.assert_allclose(found.std, known[name]["kernel_inception_distance_std"], rtol=1e-9)


def test_kvd_is_the_double_sum():
    np.testing.assert_allclose(kvd(X, Y), by_hand(X, Y, cubic), rtol=1e-12)


def test_kad_is_the_double_sum_with_the_reference_s_bandwidth():
    width = sorted(np.linalg.norm(a - b) for a, b in itertools.combinations(Y, 2))
    width = width[(len(width) - 1) // 2]
    wanted = 100 * by_hand(X, Y, lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * width**2)))
    np.testing.assert_allclose(kad(X, Y), wanted, rtol=1e-10)
    assert abs(kad(Y, X) - wanted) > 0.01 * abs(wanted)


def test_jedi_is_the_double_sum_with_its_diagonals():
    wanted = 100 * by_hand(X, Y, lambda a, b: (a @ b / len(a)) ** 2, unbiased=False)
    np.testing.assert_allclose(jedi(X, Y), wanted, rtol=1e-12)
    assert 0 <= jedi(X, X) < 1e-12


def test_equal_sets_are_below_zero_without_bias():
    assert kvd(X, X.copy()) < -0.01
    assert kad(X, X.copy()) < -0.01


@pytest.mark.parametrize("block", [1, 40, 10_000])
@pytest.mark.parametrize("unbiased", [True, False])
def test_blocks_do_not_change_the_sum(block, unbiased):
    for kernel in (polynomial(3), gaussian(1.5)):
        whole = mmd2(X, Y, kernel, unbiased=unbiased)
        np.testing.assert_allclose(mmd2(X, Y, kernel, unbiased=unbiased, block=block), whole, rtol=1e-10)


@pytest.mark.parametrize("block", [30, 100, 1 << 22])
@pytest.mark.parametrize("rows", [X, Y[:2], np.round(Y), np.repeat(X[:5], 4, 0), 1e5 + X, np.eye(30)])
def test_the_median_distance_is_exact_whatever_is_held(rows, block):
    distances = sorted(np.sqrt(squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]))
    wanted = distances[(len(distances) - 1) // 2]
    np.testing.assert_allclose(median_distance(rows, block=block), wanted, rtol=1e-6, atol=1e-9)


def test_kid_draws_by_seed_and_never_more_than_there_is():
    assert kid(X, Y, subsets=5, size=10) == kid(X, Y, subsets=5, size=10)
    assert kid(X, Y, subsets=5, size=10).mean != kid(X, Y, subsets=5, size=10, seed=1).mean
    whole = kid(Y, Y + 1, subsets=2, size=1000)
    assert whole.size == 17
    np.testing.assert_allclose(whole.mean, kvd(Y, Y + 1), rtol=1e-10)
    with pytest.raises(ValueError, match="at least one subset"):
        kid(X, Y, subsets=0)


def test_a_reference_without_spread_has_no_bandwidth():
    with pytest.raises(ValueError, match="the bandwidth, is zero"):
        kad(X, np.ones((5, 4)))


def test_inputs_are_not_changed_and_faults_are_refused():
    x = X.copy()
    for distance in (kvd, kad, jedi):
        distance(x, Y)
        with pytest.raises(ValueError, match="NaN"):
            distance(X * np.nan, Y)
        with pytest.raises(ValueError, match="got 1 row"):
            distance(X, Y[:1])
    assert (x == X).all()
