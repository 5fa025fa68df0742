"""Audio metrics of published tables: FAD on VGGish; FD, IS, KL, KAD and KID on PANNs; the "FAD" on AudioCLIP;
distances on BirdNET.

The papers that this package compares call three different numbers FAD. Here each has its network in its name.
"""

import numpy as np
from jaxtyping import Shaped

from sonovid.metrics.base import Arrays, ClipDistance, Distance, Metric, PairedScore, SetInfo, SetScore
from sonovid.metrics.extractors.audioclip import AudioClipFeatures
from sonovid.metrics.extractors.birdnet import BirdNet
from sonovid.metrics.extractors.cnn14 import PannsFeatures
from sonovid.metrics.extractors.vggish import VGGishAudioLDM, VGGishFeatures
from sonovid.metrics.frechet import frechet, per_clip
from sonovid.metrics.kernels import kad, kvd
from sonovid.metrics.scores import inception_score, paired_kl
from sonovid.metrics.sizes import frechet_infinity

KILGOUR, GUI, CHUNG = "Kilgour et al. 2019", "Gui et al. 2024", "Chung et al. 2025"
LIU, KREUK, RUAN = "Liu et al. 2023", "Kreuk et al. 2023", "Ruan et al. 2023"
KAHL = "Kahl et al. 2021"
PATCH_SECONDS = 0.975


def in_the_limit(generated: Shaped[np.ndarray, "n d"], reference: Shaped[np.ndarray, "m d"]) -> float:
    """The Fréchet distance extrapolated to infinitely many generated rows, from 25 sizes, seed 0."""
    return frechet_infinity(generated, reference).value


def split_inception(logits: Shaped[np.ndarray, "n k"]) -> float:
    """The mean inception score of ten splits of the set, shuffled with seed 2020 (audioldm_eval, av-benchmark).

    Raises:
        ValueError: fewer than ten clips.
    """
    return inception_score(logits, splits=10, seed=2020).mean


def kl_of_logits(generated: Arrays, reference: Arrays) -> float:
    """KL(reference || generated) of the softmax of two clips' logits, in nats, with log-softmax throughout (av-benchmark)."""
    return float(paired_kl(generated["logits"][None], reference["logits"][None])[0])


def patch_warning(info: SetInfo) -> str:
    """Warn if clips are shorter than one patch of VGGish."""
    seconds = info["seconds"]
    return f"clips of {seconds:.2g} s: VGGish needs {PATCH_SECONDS} s" if seconds < PATCH_SECONDS else ""


VGGISH: tuple[Metric, ...] = (
    Distance(
        "fad_vggish",
        "fad",
        "Fréchet distance of VGGish's patches of 0.96 s, without PCA and last ReLU, over N - 1",
        "lower",
        KILGOUR,
        warn=patch_warning,
        extractor=VGGishFeatures,
        distance=frechet,
        by_size=True,
    ),
    Distance(
        "fad_vggish_audioldm",
        "fad",
        "Fréchet distance of VGGish's patches with audioldm_eval's preprocessing: first channel, mean removed, at least 2 s",
        "lower",
        LIU,
        extractor=VGGishAudioLDM,
        distance=frechet,
        by_size=True,
    ),
    Distance(
        "fad_inf_vggish",
        "fad_inf",
        "fad_vggish extrapolated to infinitely many generated rows (a line in 1/N through 25 sizes, seed 0)",
        "lower",
        GUI,
        warn=patch_warning,
        extractor=VGGishFeatures,
        distance=in_the_limit,
    ),
    ClipDistance(
        "fad_vggish_per_sample",
        "fad_per_sample",
        "Fréchet distance of each clip's own patches from the whole reference, mean over clips with two or more patches",
        "lower",
        GUI,
        warn=patch_warning,
        extractor=VGGishFeatures,
        distances=per_clip,
    ),
    Distance(
        "kad_vggish",
        "kad",
        "unbiased Gaussian kernel distance of VGGish's patches, times 100; bandwidth: the reference's median distance",
        "lower",
        CHUNG,
        warn=patch_warning,
        extractor=VGGishFeatures,
        distance=kad,
    ),
)
PANNS: tuple[Metric, ...] = (
    Distance(
        "fd_panns",
        "fd",
        "Fréchet distance of Cnn14's features, one row per clip, over N - 1",
        "lower",
        LIU,
        extractor=PannsFeatures,
        distance=frechet,
        by_size=True,
    ),
    Distance(
        "kad_panns",
        "kad",
        "unbiased Gaussian kernel distance of Cnn14's features, times 100; bandwidth: the reference's median distance",
        "lower",
        CHUNG,
        extractor=PannsFeatures,
        distance=kad,
    ),
    Distance(
        "kid_panns",
        "kid",
        "unbiased cubic kernel distance of Cnn14's features, of whole sets: the limit of a mean over many subsets",
        "lower",
        LIU,
        extractor=PannsFeatures,
        distance=kvd,
    ),
    SetScore(
        "is_panns",
        "is",
        "inception score of the softmax of Cnn14's 527 logits, mean over ten splits, seed 2020",
        "higher",
        LIU,
        extractor=PannsFeatures,
        score=split_inception,
    ),
    PairedScore(
        "kl_panns",
        "kl",
        "KL(reference || generated) of Cnn14's 527 classes (softmax), per pair by name",
        "lower",
        KREUK,
        "nats",
        extractor=PannsFeatures,
        score=kl_of_logits,
    ),
)
AUDIOCLIP: tuple[Metric, ...] = (
    Distance(
        "fad_audioclip_x1e4",
        "fad",
        "10 000 times the Fréchet distance of AudioCLIP's audio features, over N - 1 (the FAD of MM-Diffusion and MM-LDM)",
        "lower",
        RUAN,
        extractor=AudioClipFeatures,
        key="hundredfold",
        distance=frechet,
        by_size=True,
    ),
)
BIRDNET: tuple[Metric, ...] = (
    Distance(
        "fad_birdnet",
        "birdnet",
        "Fréchet distance of BirdNET's windows of 3 s, over N - 1; offline, by the extra birdnet",
        "lower",
        KAHL,
        extractor=BirdNet,
        distance=frechet,
        by_size=True,
    ),
    Distance(
        "kad_birdnet",
        "birdnet",
        "unbiased Gaussian kernel distance of the same rows, times 100; bandwidth: the reference's median distance",
        "lower",
        KAHL,
        extractor=BirdNet,
        distance=kad,
    ),
)
METRICS: tuple[Metric, ...] = (*VGGISH, *PANNS, *AUDIOCLIP, *BIRDNET)
