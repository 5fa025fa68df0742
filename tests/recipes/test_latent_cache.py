"""The caches of a training: what is said of clips that have gone."""

from sonovid.recipes import latent_cache as caching


def test_clips_that_have_gone_or_come_since_the_last_start_are_told(tmp_path, caplog):
    path = tmp_path / "run" / "clips.txt"
    caching.told_of_changes(path, ["a.mp4", "b.mp4", "c.mp4"])
    caching.told_of_changes(path, ["a.mp4", "b.mp4", "c.mp4"])
    assert not caplog.text
    caching.told_of_changes(path, ["a.mp4", "c.mp4", "d.mp4", "e.mp4"])
    assert "1 of 3 clips have gone, such as b.mp4, and 2 have come" in caplog.text
    caplog.clear()
    caching.told_of_changes(path, ["a.mp4", "c.mp4", "d.mp4", "e.mp4"])
    assert not caplog.text
