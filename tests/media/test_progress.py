"""Progress callbacks of reading and writing."""

from fractions import Fraction

import numpy as np
from media_samples import make, numbered

from sonovid.core.clip import Clip
from sonovid.media import mux, read, write
from sonovid.media.progress import progress_callback


def test_reading_and_writing_are_told_from_beginning_to_end(tmp_path):
    own = make(tmp_path / "own.mkv", frames=numbered(20), base=Fraction(1, 10), codec="libx264")
    sound = np.zeros((1, 32000), np.float32)
    told: list[tuple[str, float, float]] = []
    with progress_callback(lambda *words: told.append(words)):
        clip = read(own)
        assert {what for what, _, _ in told} == {"reading"}
        assert [done for _, done, _ in told] == list(range(1, 21))
        for work in (
            lambda: write(tmp_path / "a.mp4", Clip(clip.frames, sound, fps=clip.fps)),
            lambda: mux(own, sound, 16000, tmp_path / "b.mp4"),
        ):
            told.clear()
            work()
            shares = [done / total for what, done, total in told if what == "writing"]
            assert shares == sorted(shares)
            assert shares[0] < 0.3
            assert 0.9 < shares[-1] <= 1
    told.clear()
    read(own)
    assert not told
