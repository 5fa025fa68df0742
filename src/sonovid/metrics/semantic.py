"""Metrics of semantic content and synchronisation on published networks: CLAP, AST, PaSST, VideoMAE, V-JEPA, ImageBind, ...

None of the weights is part of this package. Each metric has its checkpoint in its name, because the same formula on another
checkpoint gives another number.
"""

from collections.abc import Callable

import numpy as np

from sonovid.metrics.audio import kl_of_logits, split_inception
from sonovid.metrics.base import Arrays, ClipDistance, ClipScore, Distance, Metric, PairedScore, SetInfo, SetScore
from sonovid.metrics.extractors.ast_audioset import AstAudioSet
from sonovid.metrics.extractors.cavp import CavpAudio, CavpVideo
from sonovid.metrics.extractors.clap import ClapAudio, ClapText
from sonovid.metrics.extractors.imagebind import ImageBindAudio, ImageBindFrames, ImageBindText, ImageBindVideo, frames_in_windows
from sonovid.metrics.extractors.laion_clap import LaionClapAudio, LaionClapAudioSmall, LaionClapText, LaionClapTextSmall
from sonovid.metrics.extractors.languagebind import LanguageBindAudio, LanguageBindText, LanguageBindVideo
from sonovid.metrics.extractors.msclap import MsClap
from sonovid.metrics.extractors.openai_clip import ClipCaption, ClipCaptionBase, ClipFrames, ClipFramesBase
from sonovid.metrics.extractors.passt import Passt
from sonovid.metrics.extractors.synchformer import LEAST, SyncAudio, SyncVideo, offset_logits
from sonovid.metrics.extractors.syncnet import SyncNetAudio, SyncNetVideo, mean_distances
from sonovid.metrics.extractors.videomae import ContentDebiased, VideoMaeBase
from sonovid.metrics.extractors.vjepa import VJepa2
from sonovid.metrics.frechet import frechet, per_clip
from sonovid.metrics.kernels import jedi, kad, kvd
from sonovid.metrics.scores import av_harmony, cosine, desync, javis_score, offsets
from sonovid.metrics.video import frames_warning

GE, GUI, CHUNG = "Ge et al. 2024", "Gui et al. 2024", "Chung et al. 2025"
WU, LUO, IASHIN = "Wu et al. 2023", "Luo et al. 2025", "Iashin et al. 2024"
RADFORD, ZHU = "Radford et al. 2021", "Zhu et al. 2024"
GIRDHAR, MAO, LIU = "Girdhar et al. 2023", "Mao et al. 2024", "Liu et al. 2025"
PRAJWAL = "Prajwal et al. 2020"
KOUTINI, IASHIN_RAHTU = "Koutini et al. 2022", "Iashin & Rahtu 2021"


def one_cosine(key: str, other: str) -> Callable[[Arrays, Arrays], float]:
    """The cosine of an array [d] of the first extractor and one of the second."""

    def of_arrays(first: Arrays, second: Arrays) -> float:
        return float(cosine(np.asarray(first[key])[None], np.asarray(second[other])[None])[0])

    return of_arrays


def in_step(video: Arrays, audio: Arrays) -> float:
    """The mean cosine of rows at the same time, up to the end of the shorter stream."""
    count = min(len(video["features"]), len(audio["features"]))
    return float(cosine(np.asarray(video["features"])[:count], np.asarray(audio["features"])[:count]).mean())


def clip_similarity(frames: Arrays, caption: Arrays) -> float:
    """The mean cosine of the frames and the caption (CLIPSIM)."""
    rows = np.asarray(frames["features"])
    return float(cosine(rows, np.broadcast_to(np.asarray(caption["features"]), rows.shape)).mean())


def harmony(frames: Arrays, audio: Arrays) -> float:
    """AVHScore of frame embeddings and an audio embedding."""
    return av_harmony(frames["features"], audio["features"])


def javis(frames: Arrays, audio: Arrays) -> float:
    """JavisScore of frame embeddings and audio windows; NaN if no window contains a frame."""
    within, sounds = frames_in_windows(frames, audio)
    return javis_score(within, sounds) if within else float("nan")


def desync_of(video: Arrays, audio: Arrays) -> float:
    """DeSync in seconds: the mean of two absolute offsets."""
    first, last = offset_logits(video, audio)
    return float(desync(first[None], last[None])[0])


def offset_of(video: Arrays, audio: Arrays) -> float:
    """The mean of the two signed offsets in seconds; positive if the audio is late.

    Synchformer's classes are positive if the audio is early, so the sign is inverted.
    """
    return 0.0 - float(offsets(offset_logits(video, audio)).mean())


def lip_sync_distance(video: Arrays, audio: Arrays) -> float:
    """LSE-D: the least mean distance of SyncNet's embeddings over all shifts."""
    return float(mean_distances(video, audio).min())


def lip_sync_confidence(video: Arrays, audio: Arrays) -> float:
    """LSE-C: how far the least mean distance lies below the median over all shifts."""
    distances = mean_distances(video, audio)
    return float(np.median(distances) - distances.min())


def short_warning(info: SetInfo) -> str:
    """Warn if clips are too short for Synchformer."""
    seconds = info["seconds"]
    return f"clips of {seconds:.2g} s: Synchformer needs {LEAST} s" if seconds < LEAST else ""


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
        "kernel audio distance of LAION-CLAP's rows; bandwidth: the reference's median distance", "lower", CHUNG,
        extractor=ClapAudio, distance=kad,
    ),
    Distance(
        "fd_ast527", "fd", "Fréchet distance of AST's features, one row per clip, over N - 1", "lower", "Gong et al. 2021",
        extractor=AstAudioSet, distance=frechet, by_size=True,
    ),
    PairedScore(
        "kl_ast527", "kl", "KL(reference || generated) of AST's 527 classes (softmax), per pair", "lower", IASHIN_RAHTU,
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
        "kl_passt", "kl", "KL(reference || generated) of PaSST's 527 classes (softmax), per pair", "lower", IASHIN_RAHTU,
        unit="nats", extractor=Passt, score=kl_of_logits,
    ),
    ClipScore(
        "clap_score_htsat_unfused", "clap_score",
        "cosine of LAION-CLAP's embeddings of the first 10 s of audio and of the caption", "higher", WU,
        of=ClapAudio, to=ClapText, score=one_cosine("whole", "features"),
    ),
    ClipScore(
        "clap_score_music_speech_audioset", "clap_score",
        "cosine of LAION-CLAP's embeddings, music_speech_audioset_epoch_15_esc_89.98 (av-benchmark's LAION-CLAP)", "higher", WU,
        of=LaionClapAudio, to=LaionClapText, score=one_cosine("whole", "features"),
    ),
    ClipScore(
        "clap_score_630k_audioset", "clap_score",
        "cosine of LAION-CLAP's embeddings, 630k-audioset-best", "higher", WU,
        of=LaionClapAudioSmall, to=LaionClapTextSmall, score=one_cosine("whole", "features"),
    ),
    Distance(
        "fad_clap_630k_audioset", "fad",
        "Fréchet distance of rows of 10 s every second of LAION-CLAP 630k-audioset-best (fadtk's clap-laion-audio)", "lower",
        GUI, extractor=LaionClapAudioSmall, distance=frechet, by_size=True,
    ),
    ClipScore(
        "clip_score_vit_l14", "clip_score", "mean cosine of CLIP's embeddings of the frames and of the caption, ViT-L/14",
        "higher", RADFORD, of=ClipFrames, to=ClipCaption, score=clip_similarity,
    ),
    ClipScore(
        "clip_score_vit_b32", "clip_score", "mean cosine of CLIP's embeddings of the frames and of the caption, ViT-B/32",
        "higher", RADFORD, of=ClipFramesBase, to=ClipCaptionBase, score=clip_similarity,
    ),
    ClipScore(
        "imagebind_av", "imagebind", "IB-AV: cosine of ImageBind's embeddings of video and audio", "higher", GIRDHAR,
        of=ImageBindVideo, to=ImageBindAudio, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "imagebind_ta", "imagebind", "IB-TA: cosine of ImageBind's embeddings of audio and caption", "higher", GIRDHAR,
        of=ImageBindAudio, to=ImageBindText, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "imagebind_tv", "imagebind", "IB-TV: cosine of ImageBind's embeddings of video and caption", "higher", GIRDHAR,
        of=ImageBindVideo, to=ImageBindText, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "languagebind_av", "languagebind", "cosine of LanguageBind's embeddings of video and audio (SVG's evaluation)", "higher",
        ZHU, of=LanguageBindVideo, to=LanguageBindAudio, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "languagebind_ta", "languagebind", "cosine of LanguageBind's embeddings of audio and caption", "higher", ZHU,
        of=LanguageBindAudio, to=LanguageBindText, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "languagebind_tv", "languagebind", "cosine of LanguageBind's embeddings of video and caption", "higher", ZHU,
        of=LanguageBindVideo, to=LanguageBindText, score=one_cosine("features", "features"),
    ),
    ClipScore(
        "avhscore_imagebind", "avhscore", "mean cosine of each frame of the file with the whole audio", "higher", MAO,
        of=ImageBindFrames, to=ImageBindAudio, score=harmony,
    ),
    ClipScore(
        "javisscore_imagebind", "javisscore",
        "mean over windows of 2 s every 0.5 s of the 40 % lowest cosines of frames with the audio", "higher", LIU,
        of=ImageBindFrames, to=ImageBindAudio, score=javis,
    ),
    ClipScore(
        "cavp_score", "cavp", "mean cosine of CAVP's embeddings of video and audio, four per second", "higher",
        "Luo et al. 2023", of=CavpVideo, to=CavpAudio, score=in_step,
    ),
    ClipScore(
        "desync_synchformer", "desync",
        "mean absolute offset predicted by Synchformer for the first and the last 4.8 s, in steps of 0.2 s", "lower", IASHIN,
        "s", of=SyncVideo, to=SyncAudio, score=desync_of, warn=short_warning,
    ),
    ClipScore(
        "offset_synchformer", "desync",
        "signed offset predicted by Synchformer, positive if the audio is late; mean over clips", "zero", IASHIN,
        "s", of=SyncVideo, to=SyncAudio, score=offset_of, warn=short_warning,
    ),
    ClipScore(
        "lse_d_syncnet", "lse",
        "LSE-D: least mean distance of SyncNet's embeddings over shifts up to 0.6 s; of face tracks", "lower", PRAJWAL,
        of=SyncNetVideo, to=SyncNetAudio, score=lip_sync_distance,
    ),
    ClipScore(
        "lse_c_syncnet", "lse", "LSE-C: median less least of the mean distances of LSE-D; of face tracks", "higher", PRAJWAL,
        of=SyncNetVideo, to=SyncNetAudio, score=lip_sync_confidence,
    ),
]  # fmt: skip
