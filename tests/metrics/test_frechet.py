import numpy as np
import pytest
from references import sets
from scipy import linalg

from sonovid.metrics.frechet import Moments, frechet, per_clip

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((60, 5)) @ RNG.standard_normal((5, 5)), 0.4 + 1.3 * RNG.standard_normal((45, 5))


def textbook(x, y, ddof=1):
    """The formula word for word, with a matrix root."""
    s1, s2 = np.cov(x, rowvar=False, ddof=ddof), np.cov(y, rowvar=False, ddof=ddof)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)


def test_agrees_with_other_programs():
    for _, x, y, known in sets():
        loose = 1e-5 if len(x) < x.shape[1] else 1e-6
        for ddof in (0, 1):
            for value in (frechet(y, x, ddof=ddof), frechet(Moments.of(y), Moments.of(x), ddof=ddof)):
                np.testing.assert_allclose(value, known[f"exact_ddof{ddof}"], rtol=loose, atol=1e-9)
        for peer in ("mm_diffusion_torch_f32", "fadtk_float16_embeddings", "cdfvd_scipy_ddof0_f32in"):
            ddof = 0 if "ddof0" in peer else 1
            np.testing.assert_allclose(frechet(y, x, ddof=ddof), known[peer], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("ddof", [0, 1])
def test_is_the_formula_from_rows_and_from_moments(ddof):
    wanted = textbook(X, Y, ddof)
    np.testing.assert_allclose(frechet(X, Y, ddof=ddof), wanted, rtol=1e-10)
    np.testing.assert_allclose(frechet(Moments.of(X), Moments.of(Y), ddof=ddof), wanted, rtol=1e-10)
    np.testing.assert_allclose(frechet(Moments.of(X), Y, ddof=ddof), wanted, rtol=1e-10)


def test_diagonal_covariances_have_a_closed_form():
    signs = np.array([[1, 1, 1, 1, -1, -1, -1, -1], [1, 1, -1, -1, 1, 1, -1, -1], [1, -1, 1, -1, 1, -1, 1, -1]]).T
    a, b, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.25, 0.0]), np.array([0.5, -1.0, 2.0])
    wanted = (shift**2).sum() + ((a - b) ** 2).sum()
    np.testing.assert_allclose(frechet(signs * a, signs * b + shift, ddof=0), wanted, rtol=1e-12)
    published = Moments.from_covariance(100, np.zeros(3), np.diag(a**2)), Moments.from_covariance(50, shift, np.diag(b**2))
    np.testing.assert_allclose(frechet(*published), wanted, rtol=1e-12)


def test_fewer_rows_than_columns_are_exact():
    """Rows in a plane of a wide space have the distance that they have in the plane."""
    plane = np.linalg.qr(RNG.standard_normal((200, 5)))[0].T
    wanted = frechet(X, Y)
    np.testing.assert_allclose(frechet(X @ plane, Y @ plane), wanted, rtol=1e-10)
    np.testing.assert_allclose(frechet(Moments.of(X @ plane), Moments.of(Y @ plane)), wanted, rtol=1e-7)


def test_equal_sets_are_at_zero_and_never_below():
    for rows in (X, X[:3], X.astype(np.float32), 1e4 + X):
        assert 0 <= frechet(rows, rows.copy()) < 1e-8
        assert 0 <= frechet(Moments.of(rows), Moments.of(rows)) < 1e-8


def test_is_symmetric_and_does_not_see_rotations_and_the_order_of_rows():
    turn = np.linalg.qr(RNG.standard_normal((5, 5)))[0]
    np.testing.assert_allclose(
        [frechet(Y, X), frechet(X @ turn + 3, Y @ turn + 3), frechet(X[::-1], Y)], frechet(X, Y), rtol=1e-9
    )


def test_inputs_are_not_changed():
    x, y = X.copy(), Y.copy()
    frechet(x, y)
    Moments.of(x).add(y)
    per_clip([x[:2]], y)
    assert (x == X).all()
    assert (y == Y).all()


def test_moments_in_parts_are_those_of_the_whole_even_far_from_zero():
    far = X + 1e7
    streamed = Moments()
    for start in range(0, len(far), 7):
        streamed.add(far[start : start + 7])
    merged = Moments.of(far[:20]).merge(Moments()).merge(Moments.of(far[20:]))
    for moments in (streamed, merged):
        assert moments.count == len(X)
        np.testing.assert_allclose(moments.mean, far.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariance(), np.cov(X, rowvar=False), rtol=1e-6)
        np.testing.assert_allclose(moments.covariance(0), np.cov(X, rowvar=False, ddof=0), rtol=1e-6)


def test_merging_leaves_the_other_as_it_was():
    first, second = Moments().merge(Moments.of(X)), Moments.of(Y)
    before = second.scatter.copy()
    first.merge(second).add(X)
    assert second.count == len(Y)
    assert (second.scatter == before).all()


@pytest.mark.parametrize("chunks", [2, 4, 5, 9])
def test_a_clip_s_own_chunks_are_the_distance_of_so_small_a_set(chunks):
    clips = [Y[i * chunks : (i + 1) * chunks] for i in range(3)]
    np.testing.assert_allclose(per_clip(clips, Moments.of(X)), [frechet(clip, X) for clip in clips], rtol=1e-9)
    np.testing.assert_allclose(per_clip(clips, X, ddof=0), [frechet(clip, X, ddof=0) for clip in clips], rtol=1e-9)


def test_two_chunks_have_a_closed_form():
    s, v = np.cov(X, rowvar=False), (Y[0] - Y[1]) / np.sqrt(2)
    shift = (Y[0] + Y[1]) / 2 - X.mean(0)
    wanted = shift @ shift + np.trace(s) + v @ v - 2 * np.sqrt(v @ s @ v)
    np.testing.assert_allclose(per_clip([Y[:2]], Moments.of(X)), [wanted], rtol=1e-12)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: frechet(X[:1], Y), "got 1 row"),
        (lambda: frechet(Moments.of(X[:1]), Moments.of(Y)), "got 1 row"),
        (lambda: frechet(Moments(), Moments.of(Y)), "got 0 rows"),
        (lambda: frechet(X * np.nan, Y), "NaN or infinity"),
        (lambda: Moments().add(X * np.inf), "NaN or infinity"),
        (lambda: frechet(X[:, :3], Y), "different widths|3 wide"),
        (lambda: frechet(Moments.of(X[:, :3]), Moments.of(Y)), "different widths"),
        (lambda: Moments.of(X).add(X[:, :3]), "3 wide; expected 5"),
        (lambda: Moments.from_covariance(9, X[0], np.eye(4)), r"expected \[d d\]"),
        (lambda: per_clip([Y[:2], Y[:1]], X), "clip 1: got 1 row"),
    ],
)
def test_what_cannot_be_computed_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act()
