"""Deprecated names of the media and data modules still work, with a warning."""

import pytest

from sonovid import media
from sonovid.data import clips, latents, probes
from sonovid.media import audio, loudness, progress


@pytest.mark.parametrize(
    ("module", "deprecated", "current"),
    [
        (media, "replace_pictures", "replace_video"),
        (media, "streaming", "open_writer"),
        (loudness, "brought_to", "normalize_loudness"),
        (loudness, "mixed", "mix_audio"),
        (loudness, "ducked", "duck_audio"),
        (loudness, "loudness", "measure_loudness"),
        (progress, "reporting", "progress_callback"),
        (audio, "resampled", "resample_audio"),
        (clips, "windows", "find_windows"),
        (latents, "Store", "LatentStore"),
        (probes, "extents", "probe_files"),
    ],
)
def test_a_deprecated_name_works_with_a_warning(module, deprecated, current):
    with pytest.warns(DeprecationWarning, match=f"is now {current}"):
        assert getattr(module, deprecated) is getattr(module, current)
