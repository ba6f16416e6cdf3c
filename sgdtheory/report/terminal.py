"""Prose and tables on stdout. They fit 80 columns, on a terminal and through a pipe."""

import sys

from sgdtheory.report.stdio import shown

WIDTH = 80


def print_prose(lines: list[str]) -> None:
    """Lines of prose, broken between words at the width."""
    from textwrap import fill

    for line in lines:
        text = shown(line, sys.stdout)
        indent = " " * (len(text) - len(text.lstrip()))
        broken = fill(
            text,
            WIDTH,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        print(broken)


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows as lines whose columns stand below one another."""
    lines = [list(map(_in_line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def print_table(
    headings: list[str], rows: list[list[str]], right: tuple[int, ...] | None = None
) -> None:
    """Columns with a rule below the headings; numbers to the right. What is too wide is folded,
    never cut.

    `right`: the columns of numbers; without, all but the first.
    """
    from rich.box import SIMPLE_HEAD, Box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    rule = "─" if shown("─", sys.stdout) == "─" else "-"
    box = Box(str(SIMPLE_HEAD).replace("─", rule), ascii=rule == "-")
    grid = Grid(box=box, padding=(0, 1), collapse_padding=True, pad_edge=False, show_edge=False)
    titles = [shown(heading, sys.stdout) for heading in headings]
    is_tall = any("\n" in title for title in titles)
    for k, title in enumerate(titles):
        is_numeric = k > 0 if right is None else k in right
        grid.add_column(
            Text(title, justify="right" if is_numeric else "left"),
            justify="right" if is_numeric else "left",
            overflow="fold",
            vertical="bottom" if is_tall else "top",
        )
    for row in rows:
        cells = [Text(_in_line(cell)) for cell in row]
        grid.add_row(*cells)
    width = None if sys.stdout.isatty() else WIDTH
    Console(file=sys.stdout, width=width, highlight=False).print(grid)


def _in_line(cell: str) -> str:
    """A cell as this terminal shows it, on one line whatever it holds."""
    return " ".join(shown(str(cell), sys.stdout).splitlines())
