"""A small study of real clips, and the answers of raters who know what they like."""

import json
from fractions import Fraction

import numpy as np

from sonovid import media
from sonovid.core.clip import Clip
from sonovid.metrics.rating.page import ANSWERS


def clip(shade, pitch):
    """Half a second of one grey and one tone."""
    frames = np.full((4, 16, 16, 3), shade, np.uint8)
    wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(4000) / 8000)
    return Clip(frames, wave[None].astype(np.float32), Fraction(8), 8000)


def folders(path, items=4, systems=("ours", "theirs", "reference")):
    """A folder of clips for each system, every one different."""
    for i, system in enumerate(systems):
        (path / system / "inner").mkdir(parents=True)
        for item in range(items):
            where = path / system / ("inner" if item % 2 else ".") / f"item{item}.mp4"
            media.write(where, clip(40 * i + 9 * item, 300 + 100 * i + 20 * item), metadata={"comment": f"made by {system}"})
    return {system: path / system for system in systems}


def answers(study, rater, opinion, leave_out=0):
    """What the page saves: opinion(system, item, question) -> mark."""
    clips = {clip.id: clip for clip in study.clips}
    order = study.raters[rater][: len(study.raters[rater]) - leave_out]
    rows = [
        {
            "clip": name,
            "ratings": {q.key: opinion(clips[name].system, clips[name].item, q.key) for q in study.form.questions},
            "plays": 1,
            "seconds": 3.2,
            "unplayable": False,
        }
        for name in order
    ]
    return {"format": ANSWERS, "study": study.study, "rater": rater, "saved": "2026-01-01", "clips": 12, "answers": rows}


def save(path, content):
    path.write_text(json.dumps(content))
    return path
