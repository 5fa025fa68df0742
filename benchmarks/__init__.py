"""Benchmarks: what is measured, how, and by which command. `python -m benchmarks` lists them; the figures are in README.md."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def command(name: str) -> list[str]:
    """The command line of a benchmark in a process of its own, from any working directory."""
    return [sys.executable, str(FOLDER), name]
