"""Reading the raters' answers with the study's key; answers that do not belong to the study are rejected."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sonovid.core import text_files
from sonovid.metrics.rating.page import ANSWERS
from sonovid.metrics.rating.study import Study, StudyClip

COLUMNS = ("study", "rater", "clip", "question", "rating")


class Rating(NamedTuple):
    """One rating of a clip on a question, with the clip's system and item."""

    rater: str
    clip: str
    system: str
    item: str
    question: str
    value: int


@dataclass(frozen=True)
class Rater:
    """One rater's progress. rated: clips with every question answered; unplayable: clips that did not play; clips: all."""

    rater: str
    rated: int
    unplayable: int
    clips: int

    @property
    def finished(self) -> bool:
        """Whether all clips were rated or unplayable."""
        return self.rated + self.unplayable == self.clips


@dataclass(frozen=True)
class Answers:
    """All ratings, including those of raters who did not finish, and the progress of each rater."""

    ratings: tuple[Rating, ...]
    raters: tuple[Rater, ...]


class _Line(NamedTuple):
    """One line of a file: a rating, or (question None) a clip that did not play."""

    where: str
    study: str
    rater: str
    clip: str
    question: str | None
    value: Any


def read(paths: Sequence["str | os.PathLike"], study: Study) -> Answers:
    """Read answer files, .json or .csv as saved by the page, of one or several raters each.

    Raises:
        ValueError: a file of another format or study, an unknown rater or clip, a rater in two files, a duplicate rating, or a
            rating that is not an integer on the scale.
    """
    clips = {clip.id: clip for clip in study.clips}
    seen: dict[str, str] = {}
    ratings: list[Rating] = []
    broken: dict[str, set[str]] = {}
    for path in map(Path, paths):
        raters = set()
        given: set[tuple[str, str, str | None]] = set()
        for line in _lines(path, study):
            _check(line, study, clips)
            raters.add(line.rater)
            if (line.rater, line.clip, line.question) in given:
                raise ValueError(f"{line.where}: clip {line.clip} is rated twice on {line.question} by rater {line.rater}")
            given.add((line.rater, line.clip, line.question))
            if line.question is None:
                broken.setdefault(line.rater, set()).add(line.clip)
            else:
                clip = clips[line.clip]
                ratings.append(Rating(line.rater, clip.id, clip.system, clip.item, line.question, int(line.value)))
        for rater in sorted(raters):
            if rater in seen:
                raise ValueError(f"{path}: rater {rater} is in {seen[rater]} already; keep one file of each rater")
            seen[rater] = str(path)
    if not ratings:
        raise ValueError(f"no ratings in {', '.join(str(path) for path in paths)}")
    return Answers(tuple(ratings), tuple(_progress(rater, ratings, broken, study) for rater in sorted(seen, key=_by_number)))


def _progress(rater: str, ratings: Sequence[Rating], broken: dict[str, set[str]], study: Study) -> Rater:
    marks: dict[str, int] = {}
    for rating in ratings:
        if rating.rater == rater:
            marks[rating.clip] = marks.get(rating.clip, 0) + 1
    whole = sum(count == len(study.form.questions) for count in marks.values())
    return Rater(rater, whole, len(broken.get(rater, set()) - set(marks)), len(study.raters[rater]))


def _by_number(rater: str) -> tuple[int, str]:
    return int(rater) if rater.isdigit() else 0, rater


def _check(line: _Line, study: Study, clips: dict[str, StudyClip]) -> None:
    """Validate one line.

    Raises:
        ValueError: see `read`.
    """
    form = study.form
    if line.study != study.study:
        raise ValueError(f"{line.where}: answers to study {line.study!r}; the key is of {study.study!r}")
    if line.rater not in study.raters:
        raise ValueError(f"{line.where}: rater {line.rater!r}; the study has raters {', '.join(study.raters)}")
    if line.clip not in clips or line.clip not in study.raters[line.rater]:
        raise ValueError(f"{line.where}: clip {line.clip!r} was not shown to rater {line.rater}; is the key of another study?")
    if line.question is None:
        return
    known = [question.key for question in form.questions]
    if line.question not in known:
        raise ValueError(f"{line.where}: question {line.question!r}; the study asked {', '.join(known)}")
    text = str(line.value).strip()
    if isinstance(line.value, bool) or not text.lstrip("-").isdigit() or not form.low <= int(text) <= form.high:
        raise ValueError(f"{line.where}: rating {line.value!r}; expected a whole number from {form.low} to {form.high}")


def _lines(path: Path, study: Study) -> Iterator[_Line]:
    if path.suffix.lower() == ".csv":
        return _csv(path)
    if path.suffix.lower() == ".json":
        return _json(path)
    raise ValueError(f"{path}: expected the answers of study {study.study} as .json or .csv, as the page saves them")


def _csv(path: Path) -> Iterator[_Line]:
    for number, row in text_files.read_table(path, COLUMNS):
        # Concatenated files repeat the header.
        if row["study"] == "study":
            continue
        unplayable = row.get("unplayable", "").lower() == "true"
        question = None if unplayable and not row["question"] else row["question"]
        yield _Line(f"{path} line {number}", row["study"], row["rater"], row["clip"], question, row["rating"])


def _json(path: Path) -> Iterator[_Line]:
    found: Any = text_files.read_json(path)
    for part in found if isinstance(found, list) else [found]:
        if not isinstance(part, dict) or part.get("format") != ANSWERS:
            raise ValueError(f"{path}: not the answers of a rating study; expected a file that the study's page saved")
        study, rater = str(part.get("study")), str(part.get("rater"))
        for row in part.get("answers") or []:
            ratings = row.get("ratings") if isinstance(row, dict) else None
            if not isinstance(ratings, dict) or "clip" not in row:
                raise ValueError(f"{path}: an answer without clip or ratings; expected a file that the study's page saved")
            where = f"{path} clip {row['clip']}"
            if row.get("unplayable") is True:
                yield _Line(where, study, rater, str(row["clip"]), None, None)
                continue
            for question, value in ratings.items():
                yield _Line(where, study, rater, str(row["clip"]), question, value)
