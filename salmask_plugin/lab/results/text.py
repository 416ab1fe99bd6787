"""Comparison tables as text: Markdown and HTML cells for people, dicts and CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence

from salmask_plugin.lab.results.column_names import ColumnNames, column_names
from salmask_plugin.lab.results.escaping import escape_block, escape_markdown
from salmask_plugin.lab.results.grid import NOTHING, Grid, rows_csv
from salmask_plugin.lab.results.statistics import Summary
from salmask_plugin.lab.results.table import Column, Comparison, Row, Table

VS_BASELINE = "vs baseline (± 95 %)"
"""The sign ± stands before intervals alone; a spread is called SD."""
ABREAST = 3
"""Measures in a part of a LaTeX table, each with its difference to the baseline."""


def grid_of(table: Table) -> Grid:
    """Return a table's texts for people."""
    titles = ["Host", "Method", "Recipe", "Localizer"]
    titles += ["Setting"] if _has_variants(table) else []
    titles += ["Seeds"]
    for column in table.columns:
        titles += [column.title, VS_BASELINE] if column.is_compared else [column.title]
    titles += ["Pretraining (min)", "Time ratio", *table.extra_columns]
    return Grid(titles, [_row_cells(table, row) for row in table.rows])


def to_markdown(comparison: Comparison) -> str:
    """Return all tables with their conditions and notes."""
    blocks = [table_markdown(table) for table in comparison.tables]
    if not blocks:
        blocks = ["No finished run to compare."]
    return "\n\n".join([*blocks, *bullets(comparison.notes)]) + "\n"


def table_markdown(table: Table) -> str:
    """Return one table: its conditions as a bold line, the rows, the notes."""
    grid = grid_of(table)
    title = f"**{escape_markdown(table.conditions.title)}**"
    blocks = [title, grid.markdown(left=grid.headers.index("Seeds"))]
    return "\n\n".join([*blocks, *bullets(table.notes)])


def bullets(texts: Sequence[str]) -> list[str]:
    """Return a Markdown list as one block, or no block."""
    return ["\n".join(f"- {escape_block(text)}" for text in texts)] if texts else []


def to_dicts(comparison: Comparison) -> list[dict[str, object]]:
    """Return one flat dict per row; docs/reports.md lists the names.

    Shares are in percent, as in the tables; None is no value. What every table has comes first.
    """
    known = [(table, row, _ran(table, row)) for table in comparison.tables for row in table.rows]
    names = column_names(comparison, {name for _, _, flat in known for name in flat})
    for table, row, flat in known:
        for column in table.columns:
            flat |= _numbers(column, row, names)
        flat |= {names.extra(title): row.extra.get(title) for title in table.extra_columns}
    return [flat for _, _, flat in known]


def _ran(table: Table, row: Row) -> dict[str, object]:
    """What ran, and what it cost."""
    data, setting, minutes = table.conditions.data, row.setting, row.minutes
    return {
        "data": data.name,
        "train_images": data.train_images,
        "val_images": data.val_images,
        "classes": data.classes,
        "view_size": data.view_size,
        "backbone": table.conditions.backbone,
        "epochs": table.conditions.epochs,
        "host": setting.host,
        "method": setting.method,
        "recipe": setting.recipe,
        "localizer": setting.localizer,
        "localizer_trained_on": setting.localizer_trained_on,
        "variant": row.variant,
        "seeds": " ".join(map(str, row.runs)),
        "pretrain_minutes": minutes.mean if minutes else None,
        "pretrain_minutes_sd": minutes.spread if minutes else None,
        "time_ratio": row.time_ratio,
    }


def to_latex(comparison: Comparison) -> str:
    """Return all tables as LaTeX, in parts of three measures: more are wider than a page.

    The conditions, and what all rows share, are the captions. Needs the package booktabs.
    """
    tables = [(grid_of(table), table.conditions.title) for table in comparison.tables]
    return "\n".join(part for grid, title in tables for part in _latex_parts(grid, title))


def _latex_parts(grid: Grid, title: str) -> list[str]:
    headers, seeds = grid.headers, grid.headers.index("Seeds")
    named, said = [], [title]
    for place in range(seeds + 1):
        values = {row[place] for row in grid.rows}
        if headers[place] == "Recipe" or len(values) > 1:
            named.append(place)
        elif values != {NOTHING}:
            said.append(f"{headers[place].lower()} {values.pop()}")
    measures: list[list[int]] = []
    for place in range(seeds + 1, len(headers)):
        if headers[place] == VS_BASELINE:
            measures[-1].append(place)
        else:
            measures.append([place])
    groups = [measures[at : at + ABREAST] for at in range(0, len(measures), ABREAST)]
    parts = []
    for number, group in enumerate(groups, start=1):
        places = named + [place for measure in group for place in measure]
        cells = [[row[place] for place in places] for row in grid.rows]
        count = f" ({number} of {len(groups)})" if len(groups) > 1 else ""
        part = Grid([headers[place] for place in places], cells)
        parts.append(part.latex(sum(place < seeds for place in named), ", ".join(said) + count))
    return parts


def to_csv(comparison: Comparison) -> str:
    """Return :func:`to_dicts` as CSV, numbers with six digits; an empty cell is no value."""
    return rows_csv(
        [{name: _six_digits(value) for name, value in row.items()} for row in to_dicts(comparison)]
    )


def _numbers(column: Column, row: Row, names: ColumnNames) -> dict[str, object]:
    name, scale = names.value(column), column.scale
    result, found = row.results.get(column), row.differences.get(column)
    return {
        name: result.mean * scale if result else None,
        f"{name}_sd": _scaled(result.spread, scale) if result else None,
        f"{name}_n": result.count if result else 0,
        f"{name}_diff": found.mean * scale if found else None,
        f"{name}_ci": _scaled(found.interval, scale) if found else None,
        f"{name}_flag": row.unread.get(column),
        f"{name}_pairs": len(found.pairs) if found else 0,
        names.protocol(column): "; ".join(f"{key}={value}" for key, value in column.protocol),
    }


def _six_digits(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _row_cells(table: Table, row: Row) -> list[str]:
    setting = row.setting
    texts = [setting.host, setting.method, setting.recipe, _localizer(table, row)]
    texts += [row.variant or NOTHING] if _has_variants(table) else []
    texts += [str(len(row.runs))]
    for column in table.columns:
        texts += [result_cell(row, column)]
        texts += [difference_cell(row, column)] if column.is_compared else []
    texts += [_minutes(row.minutes), NOTHING if row.time_ratio is None else f"{row.time_ratio:.2f}"]
    return texts + [row.extra.get(title, NOTHING) for title in table.extra_columns]


def _localizer(table: Table, row: Row) -> str:
    """Name the localizer; what it was trained on is said where the name alone is ambiguous."""
    name, source = row.setting.localizer, row.setting.localizer_trained_on
    if name == "none":
        return NOTHING
    sources = {
        other.setting.localizer_trained_on
        for other in table.rows
        if other.setting.localizer == name
    }
    return name if len(sources) == 1 else f"{name} ({source})"


def result_cell(row: Row, column: Column) -> str:
    """Return a row's mean and standard deviation over seeds."""
    result = row.results.get(column)
    if result is None:
        return NOTHING
    text = f"{number(result.mean, column)} (SD {number(result.spread, column)})"
    # Said only where some seeds of the row lack this value.
    return text if result.count == len(row.runs) else f"{text} (n={result.count})"


def difference_cell(row: Row, column: Column) -> str:
    """Return a row's difference to its baseline with its interval, or why there is none."""
    found = row.differences.get(column)
    if found is None:
        return NOTHING
    if column in row.unread:
        return row.unread[column]
    mean = number(found.mean, column, sign=True)
    return f"{mean} ± {number(found.interval, column)}" if found.pairs else f"{mean} †"


def number(value: float | None, column: Column, *, sign: bool = False) -> str:
    """Return a value in its column's unit: two decimals for percent, else four digits."""
    if value is None:
        return NOTHING
    form = ("+" if sign else "") + (".2f" if column.scale == 100 else ".4g")
    return format(value * column.scale, form).replace("-", "−")  # noqa: RUF001


def _minutes(minutes: Summary | None) -> str:
    if minutes is None:
        return NOTHING
    spread = NOTHING if minutes.spread is None else f"{minutes.spread:.1f}"
    return f"{minutes.mean:.1f} (SD {spread})"


def _has_variants(table: Table) -> bool:
    return any(row.variant for row in table.rows)
