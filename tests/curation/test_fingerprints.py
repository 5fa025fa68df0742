"""Fingerprints: what is alike, what is not, and how the work grows."""

import numpy as np

from sonovid.curation import fingerprints


def drawn(seed):
    return np.random.default_rng(seed).integers(0, 256, (8, 9, 3)).astype(np.uint8)


def noisy(picture, seed=1):
    return np.clip(picture * 0.7 + np.random.default_rng(seed).normal(0, 0.7, picture.shape), 0, 255).astype(np.uint8)


def test_a_picture_s_fingerprint_survives_noise_and_brightness_and_tells_others_apart():
    own = [fingerprints.frame_hash(drawn(0))]
    assert fingerprints.hashes_match(own, [fingerprints.frame_hash(noisy(drawn(0)))])
    assert not any(fingerprints.hashes_match(own, [fingerprints.frame_hash(drawn(seed))]) for seed in range(1, 40))


def test_even_parts_of_a_picture_set_no_bit():
    flat = np.full((8, 9, 3), 128, np.uint8)
    assert fingerprints.frame_hash(noisy(flat)) == fingerprints.frame_hash(flat) == 0
    assert fingerprints.hashes_match([0] * 5, [fingerprints.frame_hash(drawn(0))] * 5) is None
    with_a_square = [flat.copy() for _ in range(4)]
    for i, picture in enumerate(with_a_square):
        picture[i : i + 2, i : i + 2] = 255
    own = [fingerprints.frame_hash(picture) for picture in with_a_square]
    assert fingerprints.hashes_match(own, [fingerprints.frame_hash(noisy(picture)) for picture in with_a_square])
    assert fingerprints.hashes_match(own, own[::-1]) is False


def test_a_sound_s_fingerprint_survives_level_and_rounding_and_tells_others_apart():
    def sound(seed):
        rng = np.random.default_rng(seed)
        return rng.normal(0, 0.1, 16000) * np.repeat(rng.uniform(0, 1, 40) ** 4, 400)

    own = fingerprints.audio_hashes(sound(0))
    assert fingerprints.hashes_match(own, fingerprints.audio_hashes(np.round(sound(0) * 0.5, 3)))
    assert not any(fingerprints.hashes_match(own, fingerprints.audio_hashes(sound(seed))) for seed in range(1, 40))
    assert fingerprints.audio_hash(np.zeros(16000)) == fingerprints.audio_hash(np.ones(100)) == 0


def test_clips_are_alike_in_pictures_and_sound_or_in_what_they_have():
    first, second = ([fingerprints.frame_hash(drawn(10 * seed + i)) for i in range(8)] for seed in (0, 1))
    assert fingerprints.is_copy(first, first)
    assert fingerprints.is_copy(first, first[:5]), "no sound on one side"
    assert fingerprints.is_copy([0] * 5 + first[5:], [0] * 5 + first[5:]), "no contrast in pictures"
    assert not fingerprints.is_copy(first, first[:5] + second[5:]), "another sound"
    assert not fingerprints.is_copy(first, second[:5] + first[5:]), "other pictures"
    assert not fingerprints.is_copy([0] * 8, [0] * 8)
    assert not fingerprints.is_copy([], [])


def test_groups_are_those_of_all_pairs_and_even_pictures_join_nothing():
    rng = np.random.default_rng(0)
    moments = [[fingerprints.frame_hash(drawn(1000 * i + k)) for k in range(5)] for i in range(200)]
    moments[150] = [value ^ (1 << int(rng.integers(0, 128))) for value in moments[3]]
    moments[199] = [*moments[3], 0, 0, 0]
    moments[20] = moments[21] = [0] * 8
    assert fingerprints.group_copies(moments) == [[3, 150, 199]]


def test_many_copies_of_one_clip_do_not_make_the_work_grow_with_their_square(monkeypatch):
    calls = []
    is_copy = fingerprints.is_copy
    monkeypatch.setattr(fingerprints, "is_copy", lambda a, b: (calls.append(1), is_copy(a, b))[1])
    moments = [[fingerprints.frame_hash(drawn(i)) for i in range(5)]] * 500
    assert fingerprints.group_copies(moments) == [list(range(500))]
    assert len(calls) < 1000
