"""Latent caches: warnings about removed and added clips."""

from sonovid.recipes import latent_cache


def test_removed_and_added_clips_are_reported(tmp_path, caplog):
    path = tmp_path / "run" / "clips.txt"
    latent_cache.warn_of_changed_clips(path, ["a.mp4", "b.mp4", "c.mp4"])
    latent_cache.warn_of_changed_clips(path, ["a.mp4", "b.mp4", "c.mp4"])
    assert not caplog.text
    latent_cache.warn_of_changed_clips(path, ["a.mp4", "c.mp4", "d.mp4", "e.mp4"])
    assert "1 of 3 clips were removed, such as b.mp4, and 2 were added" in caplog.text
    caplog.clear()
    latent_cache.warn_of_changed_clips(path, ["a.mp4", "c.mp4", "d.mp4", "e.mp4"])
    assert not caplog.text
