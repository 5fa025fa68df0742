"""Video metrics of published tables: FVD and KVD on I3D, the inception score on C3D.

Each metric has its network in its name, and the variant if papers preprocess the video differently.
"""

from functools import partial

import numpy as np
from jaxtyping import Shaped

from sonovid.metrics.base import Distance, Metric, SetInfo, SetScore
from sonovid.metrics.extractors.c3d import C3DLogits
from sonovid.metrics.extractors.i3d import FRAMES, I3DLogits, I3DLogitsStyleGAN
from sonovid.metrics.frechet import frechet
from sonovid.metrics.kernels import kvd
from sonovid.metrics.scores import inception_score

UNTERTHINER, SKOROKHODOV, SAITO = "Unterthiner et al. 2019", "Skorokhodov et al. 2022", "Saito et al. 2017"


def whole_inception(logits: Shaped[np.ndarray, "n k"]) -> float:
    """The inception score of the whole set, with 1e-7 added to the probabilities in the logarithms (TGAN, MM-Diffusion)."""
    return inception_score(logits, splits=1, seed=None, eps=1e-7).mean


def split_inception(logits: Shaped[np.ndarray, "n k"]) -> float:
    """The mean inception score of ten splits of the set, shuffled with seed 42 (StyleGAN-V).

    Raises:
        ValueError: fewer than ten clips.
    """
    return inception_score(logits, splits=10, seed=42).mean


def frames_warning(info: SetInfo) -> str:
    """Warn if clips are shorter than the networks' input of 16 frames."""
    fps, seconds = info["fps"], info["seconds"]
    if fps is None or not seconds or round(fps * seconds) >= FRAMES:
        return ""
    return f"clips of {fps * seconds:.0f} frames: the network needs {FRAMES}"


METRICS: tuple[Metric, ...] = (
    Distance(
        "fvd_i3d400",
        "fvd",
        "Fréchet distance of I3D's logits of every 16 frames, resized as in MM-Diffusion, over N - 1",
        "lower",
        UNTERTHINER,
        warn=frames_warning,
        extractor=I3DLogits,
        distance=frechet,
        by_size=True,
    ),
    Distance(
        "fvd_i3d400_styleganv",
        "fvd",
        "Fréchet distance of I3D's logits of the first 16 frames, by StyleGAN-V's archive and over N, as in Sony's SVG",
        "lower",
        SKOROKHODOV,
        warn=frames_warning,
        extractor=I3DLogitsStyleGAN,
        distance=partial(frechet, ddof=0),
        by_size=True,
    ),
    Distance(
        "kvd_i3d400",
        "kvd",
        "unbiased cubic kernel distance of the rows of fvd_i3d400",
        "lower",
        UNTERTHINER,
        warn=frames_warning,
        extractor=I3DLogits,
        distance=kvd,
    ),
    SetScore(
        "is_c3d",
        "is",
        "inception score of C3D's UCF-101 classes, first 16 frames, of the whole set (TGAN, MM-Diffusion)",
        "higher",
        SAITO,
        warn=frames_warning,
        extractor=C3DLogits,
        score=whole_inception,
    ),
    SetScore(
        "is_c3d_10splits",
        "is",
        "inception score of C3D's classes, mean over ten splits (StyleGAN-V); lower than that of the whole set",
        "higher",
        SKOROKHODOV,
        warn=frames_warning,
        extractor=C3DLogits,
        score=split_inception,
    ),
)
