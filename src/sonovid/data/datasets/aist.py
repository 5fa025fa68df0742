"""AIST++ (Li et al. 2021): dancers and their music. Reads the crop of MM-Diffusion, or the raw videos with the lists of AIST++.

Videos are named gGG_sSS_cCC_dDD_mMM_chHH: genre, situation, camera, dancer, music, choreography. The crop has them in train/ and
test/. The raw set has them in one folder, with the lists that AIST++ publishes: splits/crossmodal_train.txt, _val.txt, _test.txt
and ignore_list.txt, in which the camera is cAll.
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
    """Reads whole videos. The caption is "a dancer dances GENRE to music".

    Args:
        folder: Folder of the dataset.
        split: train, test, val (raw videos only) or all.
        label: genre (10 classes), or music (60 classes such as mBR0, as in MM-LDM).

    Raises:
        ValueError: The split or label does not exist, or no video is named as in AIST++.
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
    """The six parts of a file name, which may be followed by more for clips. None for other files."""
    parts = path.stem.split("_")
    return parts if len(parts) >= 6 and parts[0] in GENRES and parts[2][0] == "c" and parts[4][0] == "m" else None


def _select_listed(paths: list[Path], lists: list[Path], folder: Path, split: str) -> list[Path]:
    """Selects the videos in the list of the split, without those in the ignore list."""
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
