"""Draws: the streams are pinned, named and independent."""

import numpy as np

from sonovid.data.scenes.draws import Draws


def test_the_stream_is_pinned():
    assert [round(value, 12) for value in Draws("hits", 3).uniforms(3).tolist()] == [
        0.247644275111,
        0.76713222804,
        0.040985683613,
    ]


def test_a_part_does_not_depend_on_what_was_drawn_before():
    one, two = Draws("a", 1), Draws("a", 1)
    two.uniforms(10)
    assert np.array_equal(one.sub("b").uniforms(4), two.sub("b").uniforms(4))
    assert not np.array_equal(one.sub("b").uniforms(4), one.sub("c").uniforms(4))


def test_noise_has_unit_variance_and_picks_reach_all():
    draws = Draws("n")
    noise = draws.noise(20000)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.02
    assert {draws.pick("abc") for _ in range(50)} == set("abc")
