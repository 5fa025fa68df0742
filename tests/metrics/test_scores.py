import numpy as np
import pytest
from references import arithmetic

from sonovid.metrics.scores import (
    OFFSETS,
    av_harmony,
    cosine,
    desync,
    inception_score,
    javis_score,
    offsets,
    paired_kl,
    segment_spans,
    windows,
)

RNG = np.random.default_rng(7)


def test_agrees_with_other_programs():
    known = arithmetic()["is_kl"]
    rng = np.random.default_rng(21)
    generated = rng.standard_normal((97, 50)) * 2.0
    truth = generated + rng.standard_normal((97, 50)) * 0.8
    audio, video = known["audioldm_eval_isc_splits10_seed2020"], known["stylegan_v_isv_splits10_seed42"]
    found = inception_score(generated)
    np.testing.assert_allclose(found[:2], [audio["inception_score_mean"], audio["inception_score_std"]], rtol=1e-9)
    np.testing.assert_allclose(inception_score(generated, seed=42)[:2], [video["mean"], video["std"]], rtol=1e-9)
    one = inception_score(generated, splits=1, seed=None)
    np.testing.assert_allclose(one[:2], [known["av_benchmark_isc_splits1"]["inception_score_mean"], 0.0], rtol=1e-9)
    whole = inception_score(generated, splits=1, eps=1e-7).mean
    np.testing.assert_allclose(whole, known["mm_diffusion_c3d_calc_inception_no_split"], rtol=1e-9)
    for kind in ("softmax", "sigmoid"):
        eps = known["kl_audioldm_eval(softmax,sigmoid; EPS=1e-6)"][f"kullback_leibler_divergence_{kind}"]
        logs = known["kl_av_benchmark(softmax,sigmoid; log-space)"][f"kl_{kind}"]
        np.testing.assert_allclose(paired_kl(generated, truth, activation=kind, eps=1e-6).mean(), eps, rtol=1e-9)
        np.testing.assert_allclose(paired_kl(generated, truth, activation=kind).mean(), logs, rtol=1e-9)


def test_sure_and_evenly_spread_classes_are_worth_their_number():
    sure = np.tile(np.eye(7) * 1e4, (3, 1))
    for eps in (0.0, 1e-9):
        np.testing.assert_allclose(inception_score(sure, splits=1, eps=eps).mean, 7, rtol=1e-6)
    # Classes that no clip has, sure to the last bit: no NaN.
    np.testing.assert_allclose(inception_score(sure[:2], splits=1).mean, 2)


def test_clips_that_are_all_alike_are_worth_one():
    np.testing.assert_allclose(inception_score(np.zeros((20, 5))).mean, 1)
    np.testing.assert_allclose(inception_score(np.tile(RNG.standard_normal(5), (20, 1))).mean, 1)


def test_splits_are_parts_of_a_permutation():
    logits = RNG.standard_normal((31, 6)) * 3
    order = np.random.RandomState(9).permutation(31)
    parts = [logits[order][i * 31 // 4 : (i + 1) * 31 // 4] for i in range(4)]
    values = [inception_score(part, splits=1, seed=None).mean for part in parts]
    np.testing.assert_allclose(inception_score(logits, splits=4, seed=9)[:2], [np.mean(values), np.std(values)])
    with pytest.raises(ValueError, match="splits=32: expected from 1 to the number of clips, 31"):
        inception_score(logits, splits=32)


def test_kl_goes_from_the_truth_to_the_generated():
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    found = paired_kl(np.log(q)[None], np.log(p)[None])
    np.testing.assert_allclose(found, [(p * np.log(p / q)).sum()])
    back = paired_kl(np.log(p)[None], np.log(q)[None])
    np.testing.assert_allclose(back, [(q * np.log(q / p)).sum()])
    assert found[0] != pytest.approx(back[0])


def test_kl_of_equals_is_nought_and_of_certainties_finite():
    logits = RNG.standard_normal((4, 9))
    np.testing.assert_allclose(paired_kl(logits, logits), 0, atol=1e-15)
    np.testing.assert_allclose(paired_kl(logits, logits + 5), 0, atol=1e-14)
    sure = np.array([[2000.0, 0, 0]])
    np.testing.assert_allclose(paired_kl(sure[:, ::-1], sure), [2000])
    assert np.isfinite(paired_kl(sure[:, ::-1], sure, activation="sigmoid")).all()


def test_sigmoid_kl_sums_one_term_per_class():
    truth, made = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
    p, q = 1 / (1 + np.exp(-truth)), 1 / (1 + np.exp(-made))
    np.testing.assert_allclose(paired_kl(made, truth, activation="sigmoid"), (p * np.log(p / q)).sum(1))
    with pytest.raises(ValueError, match="softmax or sigmoid"):
        paired_kl(made, truth, activation="relu")


def test_cosines_know_nothing_of_length():
    a = np.array([[1.0, 0], [1, 1], [-2, 0]])
    np.testing.assert_allclose(cosine(a, np.array([[3.0, 0], [0, 5], [1, 0]])), [1, np.sqrt(0.5), -1])
    with pytest.raises(ValueError, match="length zero"):
        cosine(a, a * [[1], [0], [1]])
    with pytest.raises(ValueError, match="expected pairs of rows"):
        cosine(a, a[:2])


def test_harmony_is_the_mean_over_frames():
    frames = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -2]])
    np.testing.assert_allclose(av_harmony(frames, np.array([2.0, 0])), 0)
    np.testing.assert_allclose(av_harmony(frames[:1], np.array([2.0, 0])), 1)
    with pytest.raises(ValueError, match="widths"):
        av_harmony(frames, np.ones(3))


def test_javis_score_takes_the_lowest_frames_of_each_window():
    angles = np.arccos([0.9, 0.1, 0.5, 0.3, 0.7])
    window = np.stack([np.cos(angles), np.sin(angles)], 1)
    sounds = np.array([[1.0, 0], [5.0, 0]])
    np.testing.assert_allclose(javis_score([window], sounds[:1]), (0.1 + 0.3) / 2)
    np.testing.assert_allclose(javis_score([window, window[:1]], sounds), (0.2 + 0.9) / 2)
    np.testing.assert_allclose(javis_score([window], sounds[:1], share=1), 0.5)
    with pytest.raises(ValueError, match="1 windows of frames and 2 of audio"):
        javis_score([window], sounds)


def test_windows_cover_the_clip():
    assert windows(4, window=2, overlap=1.5) == [(0, 2), (0.5, 2.5), (1, 3), (1.5, 3.5), (2, 4)]
    assert windows(1.6) == [(0, 1.6)]
    assert windows(2.0000000001, window=2, overlap=1.5) == [(0, 2)]
    assert windows(1.2, window=0.5, overlap=0) == [(0, 0.5), (0.5, 1.0), (1.0, 1.2)]
    with pytest.raises(ValueError, match="0 <= overlap < window"):
        windows(4, window=1, overlap=1)


def test_offsets_are_those_of_the_likeliest_classes():
    logits = np.eye(21)[[0, 10, 20, 9]]
    np.testing.assert_allclose(offsets(logits), [-2, 0, 2, -0.2], atol=1e-12)
    assert OFFSETS[10] == 0
    np.testing.assert_allclose(desync(logits, logits[[1, 1, 0, 3]]), [1, 0, 2, 0.2], atol=1e-12)
    with pytest.raises(ValueError, match="expected 21"):
        offsets(logits[:, :20])


def test_first_and_last_segments():
    assert segment_spans(14) == (slice(0, 14), slice(0, 14))
    assert segment_spans(24) == (slice(0, 14), slice(10, 24))
    with pytest.raises(ValueError, match=r"at least 4\.8 s"):
        segment_spans(13)
