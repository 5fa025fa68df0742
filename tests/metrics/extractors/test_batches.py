"""Sounds of several lengths through one network."""

import numpy as np
import torch

from sonovid.metrics.extractors.batches import run_by_length


def test_each_sound_gets_its_own_row_in_its_own_place_and_equal_lengths_go_together():
    sounds = [np.full(n, i, np.float32) for i, n in enumerate((5, 3, 5, 4, 3))]
    seen = []

    def network(waveforms):
        seen.append(tuple(waveforms.shape))
        return waveforms.sum(1), torch.stack([waveforms[:, 0], waveforms[:, -1]], 1)

    found = run_by_length(sounds, network)
    assert [float(total) for total, _ in found] == [0, 3, 10, 12, 12]
    assert [ends.tolist() for _, ends in found] == [[i, i] for i in range(5)]
    assert sorted(seen) == [(1, 4), (2, 3), (2, 5)]


def test_no_sounds_are_no_rows():
    assert run_by_length([], lambda waveforms: [waveforms]) == []
