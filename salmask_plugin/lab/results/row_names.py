"""How the rows of a table are told apart: only what differs is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from salmask_plugin.lab.results.arms import Arm
from salmask_plugin.lab.results.gate import is_untrained
from salmask_plugin.lab.results.grouping import Setting
from salmask_plugin.lab.results.table import Row


def name_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with ``variant``, ``name`` and ``label`` set."""
    several_hosts = len({row.setting.host for row in rows}) > 1
    several_methods = len({(row.setting.host, row.setting.method) for row in rows}) > 1
    named = []
    for row in rows:
        setting = row.setting
        variant = _variant(row, rows)
        siblings = [other.setting for other in rows if other.setting.recipe == setting.recipe]
        localizers = {sibling.localizer for sibling in siblings}
        sources = {
            sibling.localizer_trained_on
            for sibling in siblings
            if sibling.localizer == setting.localizer
        }
        own: tuple[str, ...] = (
            setting.recipe,
            setting.localizer if len(localizers) > 1 else "",
            setting.localizer_trained_on if len(sources) > 1 else "",
        )
        # A name of one's own is enough; what else differs stands in the table.
        namesakes = [
            sibling
            for sibling in siblings
            if (sibling.host, sibling.method) == (setting.host, setting.method)
            and _name(sibling) == _name(setting)
        ]
        own = (*own, variant if len(namesakes) > 1 else "")
        family = (
            setting.host if several_hosts else "",
            setting.method if several_methods else "",
        )
        named.append(replace(row, variant=variant, name=_join(own), label=_join((*family, *own))))
    return named


def is_still(row: Row | Arm) -> bool:
    """Whether a row of a table or study is the encoder as it was initialised, in all its runs."""
    return all(is_untrained(run) for run in row.runs.values())


def _join(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)


def _variant(row: Row, rows: Sequence[Row]) -> str:
    """Return "rho=1.0, branch=key": settings that differ between rows of one kind.

    Baselines have no masking, so they are compared with one another and not with masked rows;
    likewise the untrained encoder. Of the whole configuration only that is said which tells rows of
    one name apart.
    """
    own = row.setting
    siblings = [
        other.setting
        for other in rows
        if other.is_baseline == row.is_baseline
        and is_still(other) == is_still(row)
        and (other.setting.host, other.setting.method) == (own.host, own.method)
    ]
    further = {key for sibling in siblings for key, _ in sibling.config}
    namesakes = [sibling for sibling in siblings if _name(sibling) == _name(own)]
    differing = [
        key
        for key in sorted({key for sibling in siblings for key in sibling.variant})
        if len({repr(s.variant.get(key)) for s in (namesakes if key in further else siblings)}) > 1
    ]
    variant = own.variant
    return ", ".join(f"{key}={variant[key]}" for key in differing if variant.get(key) is not None)


def _name(setting: Setting) -> tuple[str, ...]:
    return setting.recipe, setting.localizer, setting.localizer_trained_on
