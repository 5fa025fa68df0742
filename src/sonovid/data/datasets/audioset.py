"""AudioSet (Gemmeke et al. 2017): ten seconds with the sounds in them by name, of lists that were published without the videos.

The lists are balanced_train_segments.csv, unbalanced_train_segments.csv and eval_segments.csv: comments, then YouTube id, first
and last second, and the sounds by codes, whose names stand in class_labels_indices.csv. People keep the clips as ID.mp4,
ID_30.mp4, ID_000030.mp4 (seconds), ID_30000.mp4 (milliseconds), or with the end behind (ID_30_40, ID_30.000_40.000,
ID_30000_40000), and some put a Y before the id; all are found, in any folder below.
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
    """The clips of a split that are there, captioned with the names of their sounds; how many are not, is told.

    split: balanced, unbalanced, eval, train (what there is of the first two) or all. only: a text file with the ids that count,
    one a line, such as those of a filtered part: MM-LDM's 100 000 clips of high quality were not published. The label is the
    sound's name where a clip has one sound alone.

    Raises:
        ValueError: no list of the split, a row of another form, a code without a name, or none of its clips.
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
    """A file named from where we are, or from the dataset's folder."""
    for path in (Path(only).expanduser(), folder / only):
        if path.is_file():
            return path
    raise ValueError(f"only={only}: no such file; expected a list of YouTube ids, one a line")


def _class_names(path: Path) -> dict[str, str]:
    return {row["mid"]: row["display_name"] for row in layout.read_table(path, ("index", "mid", "display_name"))}


def _read_list(path: Path) -> Iterator[tuple[int, str, float, float, list[str]]]:
    """Line, id, first and last second, and the codes of each row."""
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
    """How the file of a clip may be called, without its suffix."""
    first, last = round(1000 * begin), round(1000 * end)
    whole = [f"{begin:.0f}", f"{round(begin):06d}", f"{begin:.0f}_{end:.0f}"] if not first % 1000 else []
    for given in (name, f"Y{name}"):
        yield from (f"{given}_{first}_{last}", f"{given}_{begin:.3f}_{end:.3f}", f"{given}_{begin}_{end}")
        yield from (f"{given}_{part}" for part in (*whole, f"{first}"))
        yield given
