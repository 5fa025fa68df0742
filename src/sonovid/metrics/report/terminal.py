"""Reports in the terminal."""

from collections.abc import Sequence
from typing import Any

from sonovid.metrics.base import UnavailableError
from sonovid.metrics.report.cells import COMPARISON_LEGEND, HEADER, LEGEND, Table


def write(found: Table, console: Any = None) -> None:
    """Print a table with its notes and skipped metrics.

    Raises:
        UnavailableError: rich is not installed.
    """
    console = console or terminal()
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(title=Text(found.title), box=None, title_justify="left", title_style="bold", header_style="dim", pad_edge=False)
    for place, name in enumerate(HEADER):
        grid.add_column(name, justify="left" if place == 0 else "right", no_wrap=place > 0)
    for row in found.rows:
        grid.add_row(*map(Text, row))
    console.print(grid)
    for place, note in enumerate(found.notes, 1):
        console.print(Text(f"[{place}] {note}"), style="yellow")
    for line in found.warnings:
        console.print(Text(line), style="yellow")
    for names, reason in found.skipped:
        console.print(Text(f"skipped {names}: {reason}"), style="dim")
    console.print(Text(LEGEND), style="dim")


def write_comparison(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str], console: Any = None) -> None:
    """Print the table of several systems with notes.

    Raises:
        UnavailableError: rich is not installed.
    """
    console = console or terminal()
    from rich.text import Text

    write_grid(header, rows, lines, console)
    console.print(Text(COMPARISON_LEGEND), style="dim")


def write_grid(header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[str], console: Any = None) -> None:
    """Print a table with notes.

    Raises:
        UnavailableError: rich is not installed.
    """
    console = console or terminal()
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(header):
        grid.add_column(Text(name), justify="left" if place == 0 else "right")
    for row in rows:
        grid.add_row(*map(Text, row))
    console.print(grid)
    for line in lines:
        console.print(Text(line), style="yellow")


def terminal() -> Any:
    """The console for tables.

    Raises:
        UnavailableError: rich is not installed.
    """
    try:
        from rich.console import Console
    except ImportError:
        raise UnavailableError("rich, which prints the tables, is not installed: pip install 'sonovid[eval]'") from None
    console = Console(highlight=False)
    # A file or a pipe has no width; tables must not be truncated there.
    return console if console.is_terminal else Console(width=180, highlight=False)
