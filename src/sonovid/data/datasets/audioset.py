"""AudioSet (Gemmeke et al. 2017): clips of ten seconds with the names of their sounds.

The lists are published without the videos. They are balanced_train_segments.csv, unbalanced_train_segments.csv and
eval_segments.csv: comments, then YouTube id, start and end in seconds, and the class codes, whose names are in
class_labels_indices.csv. Clips are commonly named ID.mp4, ID_30.mp4, ID_000030.mp4 (seconds), ID_30000.mp4 (milliseconds), or
with the end as well (ID_30_40, ID_30.000_40.000, ID_30000_40000), some with a Y before the id. All of these are found, in any
subfolder.
"""

from collections.abc import Iterator
from pathlib import Path

from sonovid.core import text_files
from sonovid.data.datasets import layout
from sonovid.data.entry import Entry

LISTS = {"balanced": "balanced_train_segments.csv", "unbalanced": "unbalanced_train_segments.csv", "eval": "eval_segments.csv"}
SPLITS = {"train": ("balanced", "unbalanced"), **{name: (name,) for name in LISTS}, "all": tuple(LISTS)}
CLASS_NAMES_FILE = "class_labels_indices.csv"


def read(folder: Path, *, split: str = "train", only: str = "") -> list[Entry]:
    """Reads the clips of a split that are on disk. Missing clips are counted in the log.

    The caption names the sounds of a clip. The label is the class of a clip that has a single class.

    Args:
        folder: Folder of the dataset.
        split: balanced, unbalanced, eval, train (the first two, where present) or all.
        only: A text file with the ids to read, one per line. It selects a subset, such as one of high quality: MM-LDM's list of
            100 000 clips was not published.

    Raises:
        ValueError: The list of the split is missing, a row is malformed, a code has no name, or none of the clips is there.
    """
    layout.check_split(split, SPLITS)
    titles = _class_names(layout.find_file(folder, CLASS_NAMES_FILE, "published with AudioSet: the sounds' codes and names"))
    chosen = None if not only else set(layout.read_lines(_find_ids_file(folder, only)))
    found = {name: path for name in SPLITS[split] if (path := _find_list(folder, LISTS[name])) is not None}
    if not found:
        wanted = " and no ".join(LISTS[name] for name in SPLITS[split])
        raise ValueError(f"no {wanted} in {folder} or below; they are published with AudioSet")
    files, entries, missing, count = layout.videos_by_stem(folder), [], [], 0
    for listed in found.values():
        for number, name, begin, end, codes in _read_list(listed):
            if chosen is not None and name not in chosen:
                continue
            count += 1
            if unknown := [code for code in codes if code not in titles]:
                raise ValueError(f"{listed} line {number}: {unknown[0]!r} is not among the codes of {CLASS_NAMES_FILE}")
            path = next((files[stem] for stem in _candidate_stems(name, begin, end) if stem in files), None)
            if path is None:
                missing.append(name)
                continue
            sounds = [titles[code] for code in codes]
            label = sounds[0] if len(sounds) == 1 else ""
            entries.append(Entry(str(path), ", ".join(sounds), label, name=path.relative_to(folder).as_posix()))
    layout.report_missing(missing, count, f"clips of the {split} split")
    if not entries:
        among = f" among the {len(chosen)} ids of {only}" if chosen is not None else ""
        raise ValueError(f"split={split}: no such clips in {folder}{among}")
    return entries


def _find_list(folder: Path, name: str) -> Path | None:
    return next((path for path in [folder / name, *sorted(folder.rglob(name))] if path.is_file()), None)


def _find_ids_file(folder: Path, only: str) -> Path:
    """Finds a file relative to the current folder or to the folder of the dataset."""
    for path in (Path(only).expanduser(), folder / only):
        if path.is_file():
            return path
    raise ValueError(f"only={only}: no such file; expected a list of YouTube ids, one a line")


def _class_names(path: Path) -> dict[str, str]:
    return {row["mid"]: row["display_name"] for row in layout.read_table(path, ("index", "mid", "display_name"))}


def _read_list(path: Path) -> Iterator[tuple[int, str, float, float, list[str]]]:
    """Yields line number, id, start and end in seconds, and the class codes of each row."""
    for number, row in text_files.read_csv_rows(path, skipinitialspace=True):
        if row[0].startswith("#"):
            continue
        try:
            name, begin, end, codes = row
            seconds = float(begin), float(end)
        except ValueError:
            raise ValueError(f'{path} line {number}: expected YouTube id, first second, last second, "codes"') from None
        yield number, name.strip(), *seconds, [code.strip() for code in codes.split(",") if code.strip()]


def _candidate_stems(name: str, begin: float, end: float) -> Iterator[str]:
    """The names that the file of a clip may have, without suffix."""
    first, last = round(1000 * begin), round(1000 * end)
    whole = [f"{begin:.0f}", f"{round(begin):06d}", f"{begin:.0f}_{end:.0f}"] if not first % 1000 else []
    for given in (name, f"Y{name}"):
        yield from (f"{given}_{first}_{last}", f"{given}_{begin:.3f}_{end:.3f}", f"{given}_{begin}_{end}")
        yield from (f"{given}_{part}" for part in (*whole, f"{first}"))
        yield given
