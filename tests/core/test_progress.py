"""Progress: tqdm on a terminal, a few lines elsewhere, and none for short work."""

import pytest

from sonovid.core import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_short_work_writes_nothing_off_a_terminal(clock, capsys):
    for _ in progress.bar(range(1000), desc="clips", unit="clip"):
        clock[0] += 0.009
    assert capsys.readouterr().err == ""


def test_long_work_writes_a_line_at_each_tenth(clock, capsys):
    for _ in progress.bar(range(1000), desc="clips", unit="clip"):
        clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "clips: 100 of 1000 clip (10%) in 1 min 40 s, about 15 min 00 s left"
    assert lines[-1] == "clips: 1000 of 1000 clip (100%) in 16 min 40 s"
    assert "\r" not in "".join(lines)


def test_lines_are_at_least_ten_seconds_apart(clock, capsys):
    for _ in progress.bar(range(100), desc="clips"):
        clock[0] += 0.3
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_work_of_unknown_length_is_reported_at_growing_intervals(clock, capsys):
    with progress.bar(desc="frames", unit="frame") as bar:
        for _ in range(10_000):
            clock[0] += 1
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert 8 <= len(lines) <= 14
    assert lines[0] == "frames: 10 frame in 10 s"


def test_a_resumed_run_counts_from_its_initial_value(clock, capsys):
    bar = progress.bar(total=100, initial=50, desc="train", unit="step")
    bar.set_postfix_str("loss 0.5")
    clock[0] += 20
    bar.update(25)
    assert capsys.readouterr().err == "train: 75 of 100 step (75%) in 20 s, about 20 s left; loss 0.5\n"


def test_quiet_writes_nothing_and_a_terminal_shows_tqdm(clock, capsys, monkeypatch):
    for _ in progress.bar(range(100), quiet=True):
        clock[0] += 10
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "is_interactive", lambda: True)
    assert type(progress.bar(range(3))).__name__ in ("tqdm", "tqdm_asyncio", "std_tqdm")
