"""Datasets as data sources."""

from fractions import Fraction

import numpy as np
import pytest

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.core.geometry import Geometry
from sonovid.data import clips, datasets, manifest


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_dataset_is_read_as_a_manifest_is(tmp_path):
    touch(tmp_path / "a:b=c", "train/gBR_sBM_c01_d04_mBR0_ch01.mp4", "test/gKR_sBM_c01_d04_mKR2_ch01.mp4")
    (entry,) = manifest.read(f"aist:{tmp_path}/a:b=c:split=test:label=music")
    assert entry.label == "mKR2"
    assert [entry.label for entry in manifest.read(f"aist:{tmp_path}/a:b=c:split=train")] == ["break"]
    (entry,) = manifest.read(f"landscape:{touch(tmp_path / 'l', 'train/thunder_1.mp4')}")
    assert entry.label == "thunder"


def test_stretches_of_a_dataset_become_clips_with_their_events(tmp_path):
    frames, wave = np.full((32, 16, 16, 3), 90, np.uint8), np.zeros((1, 32000), np.float32)
    media.write(tmp_path / "x_denoised.mp4", Clip(frames, wave, Fraction(8), 8000))
    (tmp_path / "x_times.txt").write_text("0.5 rock hit static\n3.25 rock hit static\n")
    (tmp_path / "train.txt").write_text("x\n")
    entries = manifest.read(f"greatest-hits:{tmp_path}:seconds=2")
    assert [entry.start for entry in entries] == [0, 2]
    geometry = Geometry(8, Fraction(8), 16, 16, 8000)
    found = [clip for _, clip in clips.stream_clips(clips.find_windows(entries, geometry), geometry)]
    assert [clip.events for clip in found] == [(0.5,), (), (), (0.25,)]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("aist:{p}/nowhere", "is not a folder; expected aist:FOLDER"),
        ("aist:", "nothing is not a folder"),
        ("aist:{p}:speed=2", r"no option 'speed'; expected aist:FOLDER\[:split=train\]\[:label=genre\]"),
        ("aist:{p}:folder=2", "no option 'folder'"),
        ("greatest-hits:{p}:seconds=soon", "seconds=soon: expected seconds above zero"),
        ("epic-sounds:{p}:seconds=0", "seconds=0: expected"),
        ("vggsound:{p}", r"vggsound:.*: no vggsound\.csv"),
        ("asit:{p}", "a dataset: aist:FOLDER, audioset:FOLDER, epic-sounds:FOLDER"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(tmp_path, source, said):
    with pytest.raises(ValueError, match=said) as caught:
        manifest.read(source.format(p=tmp_path))
    assert "\n" not in str(caught.value)


def test_every_named_dataset_has_a_reader():
    assert all(datasets.is_dataset(f"{name}:x") for name in datasets.NAMES)
    assert not datasets.is_dataset("aist")
    assert not datasets.is_dataset("scenes:hits:3")
