"""VGGSound (Chen et al. 2020): clips of ten seconds with one of 309 classes of sounds. The list is published without the videos.

vggsound.csv has no header and four columns: YouTube id, start in seconds, label, split. Clips are commonly named ID_SSSSSS.mp4
(six digits of seconds), ID_S.mp4 or ID_START_END.mp4 (milliseconds). All three are found, in any subfolder.
"""

from pathlib import Path

from sonovid.core import text_files
from sonovid.data.datasets import layout
from sonovid.data.entry import Entry


def read(folder: Path, *, split: str = "train") -> list[Entry]:
    """Reads the clips of a split that are on disk, with their label as caption. Missing clips are counted in the log.

    Args:
        folder: Folder of the dataset.
        split: train, test or all.

    Raises:
        ValueError: vggsound.csv is missing, a row is malformed, or none of the clips is there.
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
