"""AIST++ (Li et al. 2021): dancers and their music. The crop of MM-Diffusion, or the raw videos with AIST++'s lists.

Videos are named gGG_sSS_cCC_dDD_mMM_chHH: genre, kind of dance, camera, dancer, music, choreography. The crop has them in
train/ and test/. The raw set has them in one folder, with the lists published with AIST++: splits/crossmodal_train.txt, _val.txt,
_test.txt, and ignore_list.txt, in which the camera is cAll.
"""

from pathlib import Path

from sonovid.data.datasets import layout
from sonovid.data.entry import Entry

GENRES = {
    "gBR": "break",
    "gPO": "pop",
    "gLO": "lock",
    "gMH": "middle hip-hop",
    "gLH": "LA-style hip-hop",
    "gHO": "house",
    "gWA": "waack",
    "gKR": "krump",
    "gJS": "street jazz",
    "gJB": "ballet jazz",
}


def read(folder: Path, *, split: str = "train", label: str = "genre") -> list[Entry]:
    """The dances of a split, whole, each with "a dancer dances GENRE to music" as caption.

    split: train, test, val (raw videos alone) or all. label: genre, of which there are 10, or music, of which there are 60, such
    as mBR0 (MM-LDM's classes).

    Raises:
        ValueError: no such split or label, or no videos named as AIST++'s.
    """
    layout.check_split(split, ("train", "test", "val", "all"))
    if label not in ("genre", "music"):
        raise ValueError(f"label={label}: expected genre or music")
    paths = [path for path in layout.find_videos(folder) if _split_name(path) is not None]
    if not paths:
        raise ValueError("no videos named as those of AIST++, such as gBR_sBM_c01_d04_mBR0_ch01.mp4")
    lists = sorted(folder.rglob("crossmodal_*.txt"))
    kept = _select_listed(paths, lists, folder, split) if lists else layout.filter_split(paths, folder, split)
    entries = []
    for path in kept:
        parts = _split_name(path)
        assert parts is not None
        genre, music = GENRES[parts[0]], parts[4]
        entries.append(
            Entry(
                str(path),
                f"a dancer dances {genre} to music",
                genre if label == "genre" else music,
                name=path.relative_to(folder).as_posix(),
            )
        )
    return entries


def _split_name(path: Path) -> list[str] | None:
    """The six parts of a name, which cut-out clips may continue, or None for another kind of file."""
    parts = path.stem.split("_")
    return parts if len(parts) >= 6 and parts[0] in GENRES and parts[2][0] == "c" and parts[4][0] == "m" else None


def _select_listed(paths: list[Path], lists: list[Path], folder: Path, split: str) -> list[Path]:
    """Those that the split's list names, without those to be ignored."""
    ignored = {name for path in sorted(folder.rglob("ignore_list.txt")) for name in layout.read_lines(path)}
    named = {path.stem.removeprefix("crossmodal_"): set(layout.read_lines(path)) for path in lists}
    if split != "all" and split not in named:
        raise ValueError(f"split={split}: there are lists of {', '.join(named)}")
    wanted = (set().union(*named.values()) if split == "all" else named[split]) - ignored

    def sequence(path: Path) -> str:
        parts = path.stem.split("_")[:6]
        return "_".join([*parts[:2], "cAll", *parts[3:]])

    found = [path for path in paths if sequence(path) in wanted]
    layout.report_missing(sorted(wanted - {sequence(path) for path in found}), len(wanted), f"dances of the {split} list")
    return found
