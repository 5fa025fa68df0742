"""Metrics of networks that know what is seen, heard and said, or what is out of step: CLAP, AST, PaSST, VideoMAE, V-JEPA, ...

None of their weights comes with this package. Each metric bears its checkpoint in its name, since the same formula on another one
is another number.
"""

from collections.abc import Callable

import numpy as np

from sonovid.metrics.audio import split_inception
from sonovid.metrics.base import Arrays, ClipDistance, ClipScore, Distance, Metric, PairedScore, SetFacts, SetScore
from sonovid.metrics.extractors.ast_audioset import AstAudioSet
from sonovid.metrics.extractors.cavp import CavpAudio, CavpVideo
from sonovid.metrics.extractors.clap import ClapAudio, ClapText
from sonovid.metrics.extractors.imagebind import ImageBindAudio, ImageBindFrames, ImageBindText, ImageBindVideo, windows_of
from sonovid.metrics.extractors.msclap import MsClap
from sonovid.metrics.extractors.passt import Passt
from sonovid.metrics.extractors.synchformer import LEAST, SyncAudio, SyncVideo, offset_logits
from sonovid.metrics.extractors.videomae import FRAMES, ContentDebiased, VideoMaeBase
from sonovid.metrics.extractors.vjepa import VJepa2
from sonovid.metrics.frechet import frechet, per_clip
from sonovid.metrics.kernels import jedi, kad, kvd
from sonovid.metrics.scores import av_harmony, cosine, desync, javis_score, offsets, paired_kl

GE, GUI, CHUNG = "Ge et al. 2024", "Gui et al. 2024", "Chung et al. 2025"
WU, LUO, IASHIN = "Wu et al. 2023", "Luo et al. 2025", "Iashin et al. 2024"
GIRDHAR, MAO, LIU = "Girdhar et al. 2023", "Mao et al. 2024", "Liu et al. 2025"
KOUTINI, IASHIN_RAHTU = "Koutini et al. 2022", "Iashin & Rahtu 2021"


def one_cosine(key: str, other: str) -> Callable[[Arrays, Arrays], float]:
    """The cosine of one array [d] of the first extractor and one of the second."""

    def of_arrays(first: Arrays, second: Arrays) -> float:
        return float(cosine(np.asarray(first[key])[None], np.asarray(second[other])[None])[0])

    return of_arrays


def kl_of_logits(generated: Arrays, reference: Arrays) -> float:
    """KL(reference || generated) of the softmax of two clips' logits, in nats."""
    return float(paired_kl(generated["logits"][None], reference["logits"][None])[0])


def in_step(video: Arrays, audio: Arrays) -> float:
    """The mean cosine of rows of the same moment, as far as both streams go."""
    count = min(len(video["features"]), len(audio["features"]))
    return float(cosine(np.asarray(video["features"])[:count], np.asarray(audio["features"])[:count]).mean())


def harmony(frames: Arrays, audio: Arrays) -> float:
    """AVHScore of embedded frames and a sound."""
    return av_harmony(frames["features"], audio["features"])


def javis(frames: Arrays, audio: Arrays) -> float:
    """JavisScore of embedded frames and a sound's windows; NaN where none of these has a frame."""
    within, sounds = windows_of(frames, audio)
    return javis_score(within, sounds) if within else float("nan")


def desync_of(video: Arrays, audio: Arrays) -> float:
    """How far sound and pictures are apart, in seconds: the mean of two absolute offsets."""
    first, last = offset_logits(video, audio)
    return float(desync(first[None], last[None])[0])


def offset_of(video: Arrays, audio: Arrays) -> float:
    """The mean of the two offsets with its sign, in seconds; above zero the sound is late.

    Synchformer's classes say by how much the sound runs ahead, so that its sign is turned round.
    """
    return 0.0 - float(offsets(offset_logits(video, audio)).mean())


def short_warning(facts: SetFacts) -> str:
    """Where no clip is long enough for Synchformer."""
    seconds = facts["seconds"]
    return f"clips of {seconds:.2g} s: Synchformer needs {LEAST} s" if seconds < LEAST else ""


def frames_warning(facts: SetFacts) -> str:
    """Where clips hold less than two windows of 16 frames, so that a set of N clips gives N rows."""
    fps, seconds = facts["fps"], facts["seconds"]
    if fps is None or not seconds or fps * seconds >= FRAMES:
        return ""
    return f"clips of {fps * seconds:.0f} frames: the network needs {FRAMES}"


METRICS: list[Metric] = [
    Distance(
        "fvd_videomae_v2_g_ssv2", "fvd",
        "content-debiased FVD: Fréchet distance of VideoMAE-v2-g's features of 16 frames (cd-fvd), over N - 1", "lower", GE,
        extractor=ContentDebiased, distance=frechet, by_size=True, warn=frames_warning,
    ),
    Distance(
        "fvd_videomae_base_ssv2", "fvd",
        "Fréchet distance of VideoMAE base's features of 16 frames; not cd-fvd's network, and not its numbers", "lower", GE,
        extractor=VideoMaeBase, distance=frechet, by_size=True, warn=frames_warning,
    ),
    Distance(
        "kvd_videomae_base_ssv2", "kvd", "cubic kernel distance of VideoMAE base's features", "lower", GE,
        extractor=VideoMaeBase, distance=kvd, warn=frames_warning,
    ),
    Distance(
        "jedi_vjepa2_vitl", "jedi",
        "JEDi's distance (100 times quadratic MMD) of V-JEPA 2's features; not JEDi's network, and not its numbers", "lower", LUO,
        extractor=VJepa2, distance=jedi, warn=frames_warning,
    ),
    Distance(
        "fad_clap2023", "fad", "Fréchet distance of MS-CLAP 2023's windows of 7 s (fadtk's clap-2023, CMMD)", "lower", GUI,
        extractor=MsClap, distance=frechet, by_size=True,
    ),
    ClipDistance(
        "fad_clap2023_per_sample", "fad_per_sample",
        "Fréchet distance of each clip's own rows from the whole reference (CMMD, Fig. 6), mean over clips", "lower", GUI,
        extractor=MsClap, distances=per_clip,
    ),
    Distance(
        "fad_clap_htsat_unfused", "fad", "Fréchet distance of LAION-CLAP's rows of 10 s every second", "lower", GUI,
        extractor=ClapAudio, distance=frechet, by_size=True,
    ),
    ClipDistance(
        "fad_clap_htsat_unfused_per_sample", "fad_per_sample",
        "Fréchet distance of each clip's own rows from the whole reference, mean over clips", "lower", GUI,
        extractor=ClapAudio, distances=per_clip,
    ),
    Distance(
        "kad_clap_htsat_unfused", "kad",
        "kernel audio distance of LAION-CLAP's rows; the bandwidth is the reference's median distance", "lower", CHUNG,
        extractor=ClapAudio, distance=kad,
    ),
    Distance(
        "fd_ast527", "fd", "Fréchet distance of AST's features, one row per clip, over N - 1", "lower", "Gong et al. 2021",
        extractor=AstAudioSet, distance=frechet, by_size=True,
    ),
    PairedScore(
        "kl_ast527", "kl", "KL of AST's 527 classes (softmax), reference against generated, per pair", "lower", IASHIN_RAHTU,
        unit="nats", extractor=AstAudioSet, score=kl_of_logits,
    ),
    Distance(
        "fd_passt", "fd", "Fréchet distance of PaSST's features of the first 10 s (av-benchmark's FD-PaSST), over N - 1", "lower",
        KOUTINI, extractor=Passt, distance=frechet, by_size=True,
    ),
    SetScore(
        "is_passt", "is", "inception score of PaSST's 527 classes (softmax), ten splits, seed 2020 (av-benchmark's ISC)",
        "higher", KOUTINI, extractor=Passt, score=split_inception,
    ),
    PairedScore(
        "kl_passt", "kl", "KL of PaSST's 527 classes (softmax), reference against generated, per pair", "lower", IASHIN_RAHTU,
        unit="nats", extractor=Passt, score=kl_of_logits,
    ),
    ClipScore(
        "clap_score_htsat_unfused", "clap_score",
        "cosine of LAION-CLAP's embeddings of the first 10 s of sound and of the caption", "higher", WU,
        of=ClapAudio, to=ClapText, score=one_cosine("whole", "features"),
    ),
    ClipScore(
        "imagebind_av", "imagebind", "IB-AV: cosine of ImageBind's embeddings of pictures and of sound", "higher", GIRDHAR,
        of=ImageBindVideo, to=ImageBindAudio, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "imagebind_ta", "imagebind", "IB-TA: cosine of ImageBind's embeddings of the sound and of the caption", "higher", GIRDHAR,
        of=ImageBindAudio, to=ImageBindText, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "imagebind_tv", "imagebind", "IB-TV: cosine of ImageBind's embeddings of pictures and of the caption", "higher", GIRDHAR,
        of=ImageBindVideo, to=ImageBindText, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "avhscore_imagebind", "avhscore", "mean cosine of each frame of the file with the whole sound", "higher", MAO,
        of=ImageBindFrames, to=ImageBindAudio, score=harmony,
    ),
    ClipScore(
        "javisscore_imagebind", "javisscore",
        "mean over windows of 2 s every 0.5 s of the 40 % lowest cosines of its frames with its sound", "higher", LIU,
        of=ImageBindFrames, to=ImageBindAudio, score=javis,
    ),
    ClipScore(
        "cavp_score", "cavp", "mean cosine of CAVP's embeddings of pictures and sound, four a second", "higher",
        "Luo et al. 2023", of=CavpVideo, to=CavpAudio, score=in_step,
    ),
    ClipScore(
        "desync_synchformer", "desync",
        "mean absolute offset that Synchformer hears in the first and the last 4.8 s, in steps of 0.2 s", "lower", IASHIN,
        "s", of=SyncVideo, to=SyncAudio, score=desync_of, warn=short_warning,
    ),
    ClipScore(
        "offset_synchformer", "desync",
        "offset that Synchformer hears, with its sign: above zero the sound is late; mean over clips", "zero", IASHIN,
        "s", of=SyncVideo, to=SyncAudio, score=offset_of, warn=short_warning,
    ),
]  # fmt: skip
