"""Clips that are the same to eyes and ears, whatever they were encoded with: found by fingerprints, in linear time.

A picture's fingerprint is a difference hash: whether each of 8 by 8 cells is clearly brighter or clearly darker than its right
neighbour. A sound's says how the energies of neighbouring bands change; each third of a sound has one. Cells and bands without
contrast set no bit, since their signs would be those of the encoder's noise.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

MOMENTS, SOUNDS = 5, 3
# Cells differ clearly from this many grey levels of 255 on, and changes of bands from this many bels on.
CONTRAST, CHANGE = 4.0, 0.3
# Bands are as if they had noise this far below the loudest of the clip, as a ratio of powers: 50 dB.
FLOOR = 1e-5
# Fingerprints are alike where no more than this share of their bits differ. Of two that are drawn at random 2/3 and more do.
MAX_DIFFERENCE = 0.3
# Fingerprints with fewer bits in all are those of even pictures or of silence, which tell no clips apart.
LEAST_BITS = 8


def frame_hash(frame: UInt8[np.ndarray, "8 9 3"]) -> int:
    """The difference hash of a picture that was scaled to 8 by 9 pixels: 64 cells that darken, then 64 that brighten."""
    grey = frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return pack_signs(np.diff(grey, axis=1), CONTRAST)


def audio_hash(waveform: Float[np.ndarray, "n"], loudest: float = 0.0) -> int:
    """A sound's fingerprint (after Haitsma and Kalker 2002, sec. 4.2): 0 for silence and for less than 512 samples.

    Each bit says whether the difference of two neighbouring bands' energies grew, or fell, from one of nine stretches of time to
    the next. `Deviation:` the paper has a bit for every sign; here changes under 3 dB set none.

    Args:
        waveform: samples.
        loudest: the power of the loudest band of the whole clip; less than this part's own has no effect.
    """
    bands = _bands(waveform)
    loudest = max(loudest, float(bands.max(initial=0.0)))
    if not loudest:
        return 0
    levels = np.log10(bands + FLOOR * loudest)
    return pack_signs(np.diff(np.diff(levels, axis=1), axis=0), CHANGE)


def _bands(waveform: np.ndarray) -> np.ndarray:
    """Powers of nine bands in nine stretches of time; empty for less than 512 samples."""
    if len(waveform) < 512:
        return np.zeros((0, 9))
    starts = np.linspace(0, len(waveform) - 512, 72).astype(int)
    pieces = np.stack([waveform[start : start + 512] for start in starts])
    power = np.abs(np.fft.rfft(pieces * np.hanning(512), axis=1)) ** 2
    edges = np.geomspace(2, 256, 10).astype(int)
    bands = np.stack([power[:, low : max(high, low + 1)].mean(1) for low, high in itertools.pairwise(edges)], 1)
    return bands.reshape(9, 8, 9).mean(1)


def audio_hashes(waveform: Float[np.ndarray, "n"]) -> list[int]:
    """The fingerprints of the thirds of a sound."""
    thirds = np.array_split(waveform, SOUNDS)
    loudest = max(float(_bands(third).max(initial=0.0)) for third in thirds)
    return [audio_hash(third, loudest) for third in thirds]


def pack_signs(differences: np.ndarray, least: float) -> int:
    """The signs of 64 differences as a number of 128 bits: those under -least, then those over least."""
    bits = np.concatenate([(differences < -least).ravel(), (differences > least).ravel()])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hashes_match(first: Sequence[int], second: Sequence[int]) -> bool | None:
    """Whether the fingerprints of two clips' pictures, or of their sounds, agree; None where either has too few bits to tell."""
    if min(sum(value.bit_count() for value in one) for one in (first, second)) < LEAST_BITS:
        return None
    pairs = list(zip(first, second, strict=True))
    return sum((a ^ b).bit_count() for a, b in pairs) <= MAX_DIFFERENCE * sum((a | b).bit_count() for a, b in pairs)


def is_copy(first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether two clips agree in their pictures and in their sound; a clip that lacks one, or has nothing in it, in the other."""
    if not first or not second:
        return False
    pictures = hashes_match(first[:MOMENTS], second[:MOMENTS])
    heard = bool(first[MOMENTS:] and second[MOMENTS:])
    sounds = hashes_match(first[MOMENTS:], second[MOMENTS:]) if heard else None
    return (pictures, sounds) in {(True, True), (True, None), (None, True)}


def group_copies(fingerprints: Sequence[Sequence[int]], *, most: int = 50) -> list[list[int]]:
    """The numbers of clips that are alike, in groups of two or more; the first of each group comes first in the list.

    Only clips that agree in a whole quarter of some moment's cells are compared, each with at most `most` groups of such a
    quarter, so that the work grows with the number of clips and not with its square.
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
                # 16 cells that darken and the same that brighten.
                key = value >> 16 * quarter & (0xFFFF | 0xFFFF << 64)
                if not key:
                    continue
                bucket = buckets[place, quarter, key]
                for j in bucket:
                    if root(i) != root(j) and is_copy(fingerprints[j], moments):
                        parent[max(root(i), root(j))] = min(root(i), root(j))
                # One clip of each group is enough to find the others by.
                if len(bucket) < most and root(i) not in {root(j) for j in bucket}:
                    bucket.append(i)
    found: dict[int, list[int]] = defaultdict(list)
    for i in range(len(fingerprints)):
        found[root(i)].append(i)
    return [members for members in found.values() if len(members) > 1]
