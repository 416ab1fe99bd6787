"""What the columns of a comparison are called in CSV and dicts: no two share a name."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from salmask_plugin.lab.results.table import Column, Comparison, snake_case

PARTS = ("", "_sd", "_n", "_diff", "_ci", "_flag", "_pairs")
"""What is said of a value, each in a column of its own that begins with the value's name."""
Owner = tuple[str, ...]
"""What a name is of, in full; its first part says of which kind it is."""


@dataclass(frozen=True)
class ColumnNames:
    """Names of columns, by what they are of."""

    names: Mapping[Owner, str]

    def value(self, column: Column) -> str:
        """Return the name of a value: "knn_top1"."""
        return self.names[_value(column)]

    def protocol(self, column: Column) -> str:
        """Return the name of what a value was measured under: "knn_protocol"."""
        return self.names[_protocol(column)]

    def extra(self, title: str) -> str:
        """Return the name of a further column of texts."""
        return self.names["extra", title]


def column_names(comparison: Comparison, fixed: Collection[str]) -> ColumnNames:
    """Name all columns of a comparison by their letters and digits.

    Where two would share a name, or one has letters that are lost in it, digits of a digest follow:
    no value takes the place of another.

    Args:
        comparison: of one or more tables. A result has one name in all of them.
        fixed: names that are taken.
    """
    wanted: dict[Owner, str] = {}
    for table in comparison.tables:
        for column in table.columns:
            wanted[_value(column)] = column.name
            wanted[_protocol(column)] = column.protocol_name
        for title in table.extra_columns:
            wanted["extra", title] = snake_case(title)
    owners: dict[str, set[Owner]] = {name: {("fixed",)} for name in fixed}
    for owner, name in wanted.items():
        for claimed in _claimed(owner, name):
            owners.setdefault(claimed, set()).add(owner)
    return ColumnNames(
        {
            owner: name
            if all(len(owners[claimed]) == 1 for claimed in _claimed(owner, name))
            and not _loses_letters(owner)
            else f"{name}_{_digest(owner)}".lstrip("_")
            for owner, name in wanted.items()
        }
    )


def _value(column: Column) -> Owner:
    return ("value", column.evaluation, column.metric, repr(column.shown))


def _protocol(column: Column) -> Owner:
    return ("protocol", column.evaluation, repr(column.shown))


def _claimed(owner: Owner, name: str) -> list[str]:
    return [f"{name}{part}" for part in PARTS] if owner[0] == "value" else [name]


def _loses_letters(owner: Owner) -> bool:
    return any(sign.isalnum() and not sign.isascii() for part in owner for sign in part)


def _digest(owner: Owner) -> str:
    text = "\0".join(owner[1:])
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
