"""Scores computed from the outputs of classifiers and embedding networks: IS, KL, cosines, JavisScore, DeSync."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Shaped
from scipy.special import expit, log_expit, log_softmax, softmax

from sonovid.metrics.rows import check_rows

# Synchformer (Iashin et al. 2024, section 4): its classes, offsets of the audio in seconds, and the segments of its input.
OFFSETS = np.linspace(-2, 2, 21)
SEGMENTS = 14


class Inception(NamedTuple):
    """Mean and standard deviation (ddof 0) over splits, and their settings; seed None: clips in the given order."""

    mean: float
    std: float
    splits: int
    seed: int | None


def inception_score(
    logits: Shaped[np.ndarray, "n k"], *, splits: int = 10, seed: int | None = 2020, eps: float | int = 0.0
) -> Inception:
    """exp(mean KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), per split of the clips after a seeded permutation.

    Args:
        logits: before softmax; for probabilities pass their logarithms.
        splits: 10 in audioldm_eval (seed 2020) and StyleGAN-V (seed 42), 1 in MM-Diffusion. The marginal of a split is estimated
            from fewer clips, so that 10 splits give a lower score than 1.
        seed: of the permutation; None: none.
        eps: added to the probabilities in both logarithms (1e-7 in MM-Diffusion); 0: log-softmax throughout.

    Raises:
        ValueError: fewer clips than splits.
    """
    logits = check_rows(logits, "logits", 1)
    if not 1 <= splits <= len(logits):
        raise ValueError(f"splits={splits}: expected from 1 to the number of clips, {len(logits)}")
    if seed is not None:
        logits = logits[np.random.RandomState(seed).permutation(len(logits))]
    values = []
    for i in range(splits):
        part = logits[i * len(logits) // splits : (i + 1) * len(logits) // splits]
        p = softmax(part, axis=1)
        mean = p.mean(0)
        if eps:
            divergence = p * (np.log(p + eps) - np.log(mean + eps))
        else:
            # A class with zero mean probability contributes nothing.
            divergence = p * (log_softmax(part, axis=1) - np.log(np.where(mean > 0, mean, 1.0)))
        values.append(float(np.exp(divergence.sum(1).mean())))
    return Inception(float(np.mean(values)), float(np.std(values)), splits, seed)


def paired_kl(
    generated: Shaped[np.ndarray, "n k"],
    reference: Shaped[np.ndarray, "m _"],
    *,
    activation: str = "softmax",
    eps: float | int = 0.0,
) -> Float64[np.ndarray, "n"]:
    """KL(reference || generated) of each pair, in nats, from a classifier's logits. The published number is the mean.

    Args:
        generated, reference: logits, one row per clip.
        activation: "softmax"; or "sigmoid" per class for taggers, which sums p log(p / q) without the (1 - p) terms, is no
            divergence and may be negative.
        eps: added to the generated clip's probabilities in the logarithm (1e-6 in audioldm_eval); 0: logarithms throughout, as in
            av-benchmark.

    Raises:
        ValueError: unequal numbers of clips or of classes.
    """
    generated, reference = _paired(generated, reference)
    if activation == "softmax":
        p, log_p, log_q = softmax(reference, axis=1), log_softmax(reference, axis=1), log_softmax(generated, axis=1)
    elif activation == "sigmoid":
        p, log_p, log_q = expit(reference), log_expit(reference), log_expit(generated)
    else:
        raise ValueError(f"activation={activation!r}: expected softmax or sigmoid")
    if eps:
        log_q = np.log(np.exp(log_q) + eps)
    # Terms with p = 0 are 0, whatever the logarithms are.
    return np.where(p > 0, p * (np.where(p > 0, log_p, 0) - log_q), 0).sum(1)


def cosine(first: Shaped[np.ndarray, "n d"], second: Shaped[np.ndarray, "m _"]) -> Float64[np.ndarray, "n"]:
    """The cosine of each pair of embeddings, in [-1, 1] (CLAP score, IB-AV, IB-TA, IB-TV).

    Raises:
        ValueError: unequal shapes, or an embedding of length zero.
    """
    first, second = _paired(first, second)
    return (_unit(first) * _unit(second)).sum(1)


def av_harmony(frames: Shaped[np.ndarray, "t d"], sound: Float[np.ndarray, "_"]) -> float:
    """AVHScore: the mean cosine of a clip's frames with its whole audio (Mao et al. 2024, TAVGBench)."""
    return float(_frame_cosines(frames, sound).mean())


def windows(seconds: float | int, *, window: float | int = 2.0, overlap: float | int = 1.5) -> list[tuple[float, float]]:
    """Start and end of JavisScore's windows over a clip, in seconds. The last window may be truncated by the end of the clip.

    Windows start every `window - overlap` seconds until one reaches the end of the clip.

    Args:
        seconds: the length of the clip.
        window: the length of a window.
        overlap: of consecutive windows, less than `window`.
    """
    if not 0 <= overlap < window or seconds <= 0:
        raise ValueError(f"seconds={seconds}, window={window}, overlap={overlap}: expected 0 <= overlap < window and seconds > 0")
    # Tolerance for rounding: lengths are sums of sample periods.
    count = 1 + max(0, int(np.ceil((seconds - window) / (window - overlap) - 1e-6)))
    return [(i * (window - overlap), min(i * (window - overlap) + window, seconds)) for i in range(count)]


def javis_score(
    frames: Sequence[Shaped[np.ndarray, "_ d"]], sounds: Shaped[np.ndarray, "w d"], *, share: float | int = 0.4
) -> float:
    """JavisScore: the mean over windows of the mean of the lowest cosines of frames with the window's audio (Liu et al. 2025).

    Deviation: at least one frame counts. The published int(0.4 t) selects no frame in windows of one or two.

    Args:
        frames: the embeddings of each window's frames.
        sounds: the embedding of each window's audio.
        share: the share of the lowest cosines that count, int(share * t) of t frames.

    Raises:
        ValueError: no windows, or different numbers of windows.
    """
    if len(frames) != len(sounds) or not len(frames):
        raise ValueError(f"got {len(frames)} windows of frames and {len(sounds)} of audio; expected equal numbers, at least one")
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a number in (0, 1]")
    lowest = []
    for window, sound in zip(frames, sounds, strict=True):
        cosines = np.sort(_frame_cosines(window, sound))
        lowest.append(cosines[: max(1, int(share * len(cosines)))].mean())
    return float(np.mean(lowest))


def segment_spans(count: int, length: int = SEGMENTS) -> tuple[slice, slice]:
    """The first and the last `length` segments of a clip, the two inputs of Synchformer (av-benchmark's DeSync).

    Raises:
        ValueError: fewer segments. The network's input has a fixed length, and segments are not repeated to fill it.
    """
    if count < length:
        raise ValueError(f"got {count} segments of 0.64 s; DeSync needs {length}, that is a clip of at least 4.8 s")
    return slice(0, length), slice(count - length, count)


def offsets(logits: Shaped[np.ndarray, "n k"]) -> Float64[np.ndarray, "n"]:
    """The most likely signed offset in seconds for each row of logits over Synchformer's 21 classes, in steps of 0.2 s."""
    logits = check_rows(logits, "logits", 1)
    if logits.shape[1] != len(OFFSETS):
        raise ValueError(f"logits: got {logits.shape[1]} classes; expected {len(OFFSETS)}, from -2 s to 2 s in steps of 0.2 s")
    return OFFSETS[logits.argmax(1)]


def desync(first: Shaped[np.ndarray, "n k"], last: Shaped[np.ndarray, "n k"]) -> Float64[np.ndarray, "n"]:
    """DeSync: the mean of the absolute offsets of a clip's first and last segments, in seconds; 0 is synchronous.

    Args:
        first, last: logits over the 21 classes for the segments of `segment_spans`.
    """
    return (np.abs(offsets(first)) + np.abs(offsets(last))) / 2


def _frame_cosines(frames: np.ndarray, sound: np.ndarray) -> np.ndarray:
    frames, sounds = check_rows(frames, "frames", 1), check_rows(np.asarray(sound)[None], "sound", 1)
    if frames.shape[1] != sounds.shape[1]:
        raise ValueError(f"embeddings of different widths: frames {frames.shape[1]}, audio {sounds.shape[1]}")
    return _unit(frames) @ _unit(sounds)[0]


def _paired(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    generated, reference = check_rows(generated, "generated", 1), check_rows(reference, "reference", 1)
    if generated.shape != reference.shape:
        raise ValueError(f"pairs: got {generated.shape} and {reference.shape}; expected pairs of rows from one extractor")
    return generated, reference


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if not length.all():
        raise ValueError("an embedding has length zero, so its cosine is undefined; leave that clip out")
    return rows / length
