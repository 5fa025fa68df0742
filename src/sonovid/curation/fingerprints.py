"""Perceptual hashes of video and audio, and duplicate detection in linear time, independent of the encoding.

The hash of a frame is a difference hash: whether each of 8x8 cells is clearly brighter or clearly darker than its right
neighbour. The hash of audio encodes how the energies of neighbouring bands change over time; each third of a clip has one. Cells
and bands without contrast set no bit, because their signs would be coding noise.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

MOMENTS, SOUNDS = 5, 3
# The smallest significant difference of cells in grey levels of 255, and of band energies in bels.
CONTRAST, CHANGE = 4.0, 0.3
# A noise floor added to all bands, relative to the power of the loudest band of the clip: -50 dB.
FLOOR = 1e-5
# Hashes match if at most this share of their bits differ. Of unrelated ones 2/3 and more do.
MAX_DIFFERENCE = 0.3
# Hashes with fewer bits in total belong to uniform frames or silence and are not compared.
LEAST_BITS = 8


def frame_hash(frame: UInt8[np.ndarray, "8 9 3"]) -> int:
    """The difference hash of a frame downscaled to 8x9 pixels: 64 bits for decreasing, then 64 for increasing brightness."""
    grey = frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return pack_signs(np.diff(grey, axis=1), CONTRAST)


def audio_hash(waveform: Float[np.ndarray, "n"], loudest: float = 0.0) -> int:
    """The hash of audio (after Haitsma and Kalker 2002, sec. 4.2); 0 for silence and for less than 512 samples.

    Each bit says whether the energy difference of two neighbouring bands increased, or decreased, from one of nine time segments
    to the next. `Deviation:` the paper has a bit for every sign; here changes below 3 dB set none.

    Args:
        waveform: samples.
        loudest: the power of the loudest band of the whole clip. A value below that of this part has no effect.
    """
    bands = _bands(waveform)
    loudest = max(loudest, float(bands.max(initial=0.0)))
    if not loudest:
        return 0
    levels = np.log10(bands + FLOOR * loudest)
    return pack_signs(np.diff(np.diff(levels, axis=1), axis=0), CHANGE)


def _bands(waveform: np.ndarray) -> np.ndarray:
    """The powers of nine bands in nine time segments; empty for less than 512 samples."""
    if len(waveform) < 512:
        return np.zeros((0, 9))
    starts = np.linspace(0, len(waveform) - 512, 72).astype(int)
    pieces = np.stack([waveform[start : start + 512] for start in starts])
    power = np.abs(np.fft.rfft(pieces * np.hanning(512), axis=1)) ** 2
    edges = np.geomspace(2, 256, 10).astype(int)
    bands = np.stack([power[:, low : max(high, low + 1)].mean(1) for low, high in itertools.pairwise(edges)], 1)
    return bands.reshape(9, 8, 9).mean(1)


def audio_hashes(waveform: Float[np.ndarray, "n"]) -> list[int]:
    """The hashes of the thirds of a waveform."""
    thirds = np.array_split(waveform, SOUNDS)
    loudest = max(float(_bands(third).max(initial=0.0)) for third in thirds)
    return [audio_hash(third, loudest) for third in thirds]


def pack_signs(differences: np.ndarray, least: float) -> int:
    """Pack the signs of 64 differences into 128 bits: first those below -least, then those above least."""
    bits = np.concatenate([(differences < -least).ravel(), (differences > least).ravel()])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hashes_match(first: Sequence[int], second: Sequence[int]) -> bool | None:
    """Whether the hashes of two videos, or of two waveforms, match; None if either has too few bits."""
    if min(sum(value.bit_count() for value in one) for one in (first, second)) < LEAST_BITS:
        return None
    pairs = list(zip(first, second, strict=True))
    return sum((a ^ b).bit_count() for a, b in pairs) <= MAX_DIFFERENCE * sum((a | b).bit_count() for a, b in pairs)


def is_copy(first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether two clips match in video and audio, or in one stream if the other is missing or empty."""
    if not first or not second:
        return False
    pictures = hashes_match(first[:MOMENTS], second[:MOMENTS])
    heard = bool(first[MOMENTS:] and second[MOMENTS:])
    sounds = hashes_match(first[MOMENTS:], second[MOMENTS:]) if heard else None
    return (pictures, sounds) in {(True, True), (True, None), (None, True)}


def group_copies(fingerprints: Sequence[Sequence[int]], *, most: int = 50) -> list[list[int]]:
    """Group duplicate clips.

    Only clips that agree in a whole quarter of one hash are compared, each with at most `most` groups of the same bucket, so that
    the cost is linear in the number of clips.

    Args:
        fingerprints: the hashes of each clip.
        most: the most groups per bucket that a clip is compared with.

    Returns:
        The indices of the clips in groups of two or more, in increasing order.
    """
    parent = list(range(len(fingerprints)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    buckets: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for i, moments in enumerate(fingerprints):
        for place, value in enumerate(moments):
            for quarter in range(4):
                # 16 cells, for decreasing and increasing brightness.
                key = value >> 16 * quarter & (0xFFFF | 0xFFFF << 64)
                if not key:
                    continue
                bucket = buckets[place, quarter, key]
                for j in bucket:
                    if root(i) != root(j) and is_copy(fingerprints[j], moments):
                        parent[max(root(i), root(j))] = min(root(i), root(j))
                # One clip per group is enough.
                if len(bucket) < most and root(i) not in {root(j) for j in bucket}:
                    bucket.append(i)
    found: dict[int, list[int]] = defaultdict(list)
    for i in range(len(fingerprints)):
        found[root(i)].append(i)
    return [members for members in found.values() if len(members) > 1]
