"""Sources: a media file or an image sequence, with the time range and the limits for reading it."""

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from sonovid.core import renamed
from sonovid.media.files import Limits, MediaError

# Images that FFmpeg's image2 demuxer reads as an image sequence.
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".tga", ".ppm", ".pgm", ".dpx", ".exr"])
_NUMBER = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True)
class Source(os.PathLike):
    """A media file with options for reading it. Every function of `sonovid.media` accepts one in place of a path.

    Attributes:
        path: The file, or an image sequence: a pattern such as `frames/%04d.png`, or a folder of numbered images.
        start: Beginning of the part that is read, in seconds.
        seconds: Length of the part that is read. None: to the end.
        fps: Frames per second of an image sequence, which has no rate of its own. None for files.
        limits: Limits on the file. None: the defaults of `Limits`.
    """

    path: "str | os.PathLike"
    start: Fraction = Fraction(0)
    seconds: "Fraction | None" = None
    fps: "Fraction | None" = None
    limits: "Limits | None" = None

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return os.fspath(self.path)

    def part_duration(self, whole: Fraction) -> Fraction:
        """Duration of the part that is read, in seconds.

        Args:
            whole: Duration of the whole file, in seconds.

        Raises:
            MediaError: The part begins after the end of the file.
        """
        left = whole - self.start
        if left <= 0:
            raise MediaError(f"{self}: start={float(self.start):g} s lies after the end at {float(whole):.2f} s")
        return left if self.seconds is None else min(left, self.seconds)


def as_source(path: "str | os.PathLike") -> Source:
    """Returns a path as a source that covers the whole file. A source is returned unchanged."""
    return path if isinstance(path, Source) else Source(Path(path))


def is_image_sequence(path: "str | os.PathLike") -> bool:
    """Whether a path refers to an image sequence: a pattern with %d, or a folder that contains numbered images."""
    path = Path(path)
    if path.is_dir():
        return any(_split_number(entry) for entry in path.iterdir())
    return path.suffix.lower() in IMAGE_SUFFIXES and len(_NUMBER.findall(path.name)) == 1 and not path.is_file()


def _split_number(path: Path) -> "tuple[str, str, str] | None":
    """Splits an image name at its last number: prefix, digits, suffix. None if it is no numbered image."""
    found = re.fullmatch(r"(.*?)(\d+)(\D*)", path.name)
    if found is None or path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
        return None
    return found.group(1), found.group(2), found.group(3)


def find_image_sequence(path: "str | os.PathLike") -> tuple[str, int, list[Path]]:
    """Finds the images of a sequence.

    Args:
        path: A pattern with one %d or %0Nd in the name, or a folder of images whose names differ only in their number.

    Returns:
        The pattern for FFmpeg's image2 demuxer, the first number, and the images in order.

    Raises:
        MediaError: There are no images, images with several names, or a missing number.
    """
    path = Path(path)
    if path.is_dir():
        names = {entry: parts for entry in path.iterdir() if (parts := _split_number(entry))}
        kinds = {(before, after) for before, _, after in names.values()}
        if not names:
            raise MediaError(f"{path}: is a folder without numbered images, expected a media file or images such as 0001.png")
        if len(kinds) > 1:
            some = ", ".join(sorted(entry.name for entry in names)[:3])
            raise MediaError(f"{path}: contains several image sequences ({some}, ...); give a pattern, such as {path}/%04d.png")
        before, after = kinds.pop()
        digits = {entry: parts[1] for entry, parts in names.items()}
        padded = any(number.startswith("0") and len(number) > 1 for number in digits.values())
        width = min(map(len, digits.values())) if padded else 0
        name = f"{before.replace('%', '%%')}%{f'0{width}' if width else ''}d{after.replace('%', '%%')}"
        found = {int(number): entry for entry, number in digits.items()}
        folder = path
    else:
        folder, name = path.parent, path.name
        if not folder.is_dir():
            raise MediaError(f"{path}: the folder {folder} does not exist")
        place = _NUMBER.search(name)
        if place is None:
            raise MediaError(f"{path}: expected one number such as %04d in the name")
        digits_wanted = int(place.group(1) or 1)
        around = (name[: place.start()].replace("%%", "%"), name[place.end() :].replace("%%", "%"))
        shape = re.compile(re.escape(around[0]) + rf"(\d{{{digits_wanted},}})" + re.escape(around[1]))
        found = {int(hit.group(1)): entry for entry in folder.iterdir() if (hit := shape.fullmatch(entry.name))}
        if not found:
            raise MediaError(f"{path}: no such images in {folder}")
    numbers = sorted(found)
    for before_gap, after_gap in pairwise(numbers):
        if after_gap != before_gap + 1:
            raise MediaError(
                f"{path}: image {before_gap + 1} is missing between {found[before_gap].name} and {found[after_gap].name}"
            )
    pattern = str(folder.absolute()).replace("%", "%%") + os.sep + name
    return pattern, numbers[0], [found[number] for number in numbers]


__getattr__ = renamed.attributes(
    __name__, {"STILLS": "IMAGE_SUFFIXES", "is_numbered": "is_image_sequence", "numbered_pictures": "find_image_sequence"}
)
