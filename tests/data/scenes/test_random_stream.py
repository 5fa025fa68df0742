"""Random streams are reproducible, named and independent."""

import numpy as np

from sonovid.data.scenes.random_stream import RandomStream


def test_the_stream_is_pinned():
    assert [round(value, 12) for value in RandomStream("hits", 3).uniforms(3).tolist()] == [
        0.247644275111,
        0.76713222804,
        0.040985683613,
    ]


def test_a_part_does_not_depend_on_what_was_drawn_before():
    one, two = RandomStream("a", 1), RandomStream("a", 1)
    two.uniforms(10)
    assert np.array_equal(one.substream("b").uniforms(4), two.substream("b").uniforms(4))
    assert not np.array_equal(one.substream("b").uniforms(4), one.substream("c").uniforms(4))


def test_noise_has_unit_variance_and_picks_reach_all():
    rng = RandomStream("n")
    noise = rng.noise(20000)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.02
    assert {rng.choice("abc") for _ in range(50)} == set("abc")
