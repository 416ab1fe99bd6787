"""A comparison for a terminal: a block a measure, 80 columns, no markup."""

from __future__ import annotations

import shutil
import textwrap

from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.results.grid import NOTHING
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
    columns = width or min(max(shutil.get_terminal_size((80, 24)).columns, LEAST), MOST)
    blocks = [_table(table, columns) for table in comparison.tables]
    notes = [note for table in comparison.tables for note in table.notes] + list(comparison.notes)
    lines = [textwrap.fill(f"- {shown(note)}", columns, subsequent_indent="  ") for note in notes]
    return "\n\n".join([*blocks, *(["\n".join(lines)] if lines else [])])


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
        cut = label if len(label) <= name else f"{label[: name - 1]}…"
        lines.append(f"  {cut:{name}}  {result:>{value}}  {difference:>{against}}".rstrip())
    return "\n".join(lines)


def _extra(table: Table, title: str, width: int) -> str:
    """One further column, such as the values that the paper reports: a line a row that has one."""
    cells = [(shown(row.label), row.extra[title]) for row in table.rows if title in row.extra]
    name = max((len(label) for label, _ in cells), default=0)
    lines = [f"  {label:{name}}  {shown(value)}" for label, value in cells]
    return "\n".join([*textwrap.wrap(shown(title), width), *lines])
