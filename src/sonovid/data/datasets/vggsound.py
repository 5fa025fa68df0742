"""VGGSound (Chen et al. 2020): ten seconds of one of 309 kinds of sound, named by a list that was published without the videos.

vggsound.csv has no first line and four columns: YouTube id, beginning in seconds, label, split. People keep the videos as
ID_SSSSSS.mp4 (six digits of seconds), ID_S.mp4 or ID_START_END.mp4 (milliseconds); all three are found, in any folder below.
"""

from pathlib import Path

from sonovid.core import text_files
from sonovid.data.datasets import layout
from sonovid.data.entry import Entry


def read(folder: Path, *, split: str = "train") -> list[Entry]:
    """The clips of a split that are there, with their label as caption; how many are not, is told.

    split: train, test or all.

    Raises:
        ValueError: no vggsound.csv, a row of another form, or none of its videos.
    """
    layout.check_split(split, ("train", "test", "all"))
    listed = layout.find_file(folder, "vggsound.csv", "published with VGGSound: YouTube id, second, label, split")
    files = layout.videos_by_stem(folder)
    entries, missing, count = [], [], 0
    for number, row in text_files.read_csv_rows(listed):
        if len(row) != 4 or not row[1].strip().isdigit():
            raise ValueError(f"{listed} line {number}: expected YouTube id, second, label, split")
        name, second, label, part = row[0].strip(), int(row[1]), row[2].strip(), row[3].strip()
        if split not in ("all", part):
            continue
        count += 1
        names = (f"{name}_{second:06d}", f"{name}_{second}", f"{name}_{1000 * second}_{1000 * (second + 10)}")
        path = next((files[stem] for stem in names if stem in files), None)
        if path is None:
            missing.append(names[0])
            continue
        entries.append(Entry(str(path), label, label, name=path.relative_to(folder).as_posix()))
    layout.report_missing(missing, count, f"clips of the {split} split")
    if not entries:
        raise ValueError(f"split={split}: no such clips in {listed}")
    return entries
