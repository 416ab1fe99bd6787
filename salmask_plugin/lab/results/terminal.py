"""Tables for a terminal: 80 columns, no markup; of a comparison a block a measure."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.results.grid import NOTHING, Grid
from salmask_plugin.lab.results.table import Column, Comparison, Table
from salmask_plugin.lab.results.text import difference_cell, result_cell

ONE_SEED, NO_INTERVAL = f" (SD {NOTHING})", f" ± {NOTHING}"
LEAST, MOST = 60, 100
"""Columns that are written at least and at most, whatever the terminal has."""


def to_terminal(comparison: Comparison, *, width: int | None = None) -> str:
    """Return the tables as aligned text, then the notes.

    Args:
        comparison: to be shown.
        width: columns; None asks the terminal, 80 where there is none.
    """
    columns = width or terminal_width()
    blocks = [_table(table, columns) for table in comparison.tables]
    notes = [note for table in comparison.tables for note in table.notes] + list(comparison.notes)
    lines = [filled(f"- {shown(note)}", "  ", columns) for note in notes]
    return "\n\n".join([*blocks, *(["\n".join(lines)] if lines else [])])


def terminal_width() -> int:
    """Return the columns to write: the terminal's within bounds, 80 where there is none."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, LEAST), MOST)


def filled(text: str, indent: str = "", width: int | None = None) -> str:
    """Return a text in lines of the terminal, ``indent`` before all but the first.

    A word that is longer, such as a path, stays whole.
    """
    return textwrap.fill(
        text,
        width or terminal_width(),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def filled_lines(lines: Sequence[str]) -> str:
    """Return lines as text that fits the terminal; what goes on is indented by two more."""
    return "\n".join(
        filled(line, " " * (len(line) - len(line.lstrip(" -")) + 2)) if line else line
        for line in lines
    )


def grid_blocks(grid: Grid, left: int, width: int | None = None) -> str:
    """Return a table as aligned text: as many columns side by side as fit, the others below.

    Args:
        grid: its first ``left`` columns name the row and stand in every block, flush left; where
            they would take more than half of the terminal they are cut.
        left: at least 1.
        width: columns of the terminal; None asks it.
    """
    total = width or terminal_width()
    columns = [list(map(shown, texts)) for texts in zip(grid.headers, *grid.rows, strict=True)]
    most = total // (2 * left) - 1
    names = [_column([_cut(text, most) for text in texts], "<") for texts in columns[:left]]
    blocks: list[list[list[str]]] = []
    room = 0
    for texts in columns[left:]:
        values = _column(texts, ">")
        if len(values[0]) + 2 > room:
            blocks.append([])
            room = total - sum(len(column[0]) + 2 for column in names)
        blocks[-1].append(values)
        room -= len(values[0]) + 2
    return "\n\n".join(
        "\n".join("  ".join(line).rstrip() for line in zip(*names, *block, strict=True))
        for block in blocks or [[]]
    )


def grid_entries(grid: Grid, width: int | None = None) -> str:
    """Return a table of few and long rows as text: its first cell, below it the others by name."""
    names = max(map(len, grid.headers))
    entries = []
    for first, *cells in grid.rows:
        lines = [filled(f"{grid.headers[0]}: {shown(first)}", "  ", width)]
        lines += [
            filled(f"  {header:{names}}  {shown(cell)}", " " * (names + 4), width)
            for header, cell in zip(grid.headers[1:], cells, strict=True)
            if cell != NOTHING
        ]
        entries.append("\n".join(lines))
    return "\n\n".join(entries)


def _column(texts: list[str], side: str) -> list[str]:
    wide = max(map(len, texts))
    return [format(text, f"{side}{wide}") for text in texts]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _table(table: Table, width: int) -> str:
    parts = [textwrap.fill(shown(table.conditions.title), width)]
    parts += [_block(table, column, width) for column in table.columns]
    parts += [_extra(table, title, width) for title in table.extra_columns]
    return "\n\n".join(parts)


def _block(table: Table, column: Column, width: int) -> str:
    """One measure: a line a row, its value, its difference to the baseline."""
    cells = [
        (
            shown(row.label),
            result_cell(row, column).replace(ONE_SEED, ""),
            "" if row.is_baseline else difference_cell(row, column).replace(NO_INTERVAL, ""),
        )
        for row in table.rows
        if column in row.results
    ]
    value, against = (max(len(cell[place]) for cell in cells) for place in (1, 2))
    compared = any(cell[2] for cell in cells)
    room = width - value - 4 - (against + 2 if compared else 0)
    name = min(room, max(len(cell[0]) for cell in cells))
    head = shown(column.title) + (", and above the baseline (± 95 %)" if compared else "")
    lines = textwrap.wrap(head, width)
    for label, result, difference in cells:
        lines.append(
            f"  {_cut(label, name):{name}}  {result:>{value}}  {difference:>{against}}".rstrip()
        )
    return "\n".join(lines)


def _extra(table: Table, title: str, width: int) -> str:
    """One further column, such as the values that the paper reports: a line a row that has one."""
    cells = [(shown(row.label), row.extra[title]) for row in table.rows if title in row.extra]
    name = max((len(label) for label, _ in cells), default=0)
    lines = [f"  {label:{name}}  {shown(value)}" for label, value in cells]
    return "\n".join([*textwrap.wrap(shown(title), width), *lines])
