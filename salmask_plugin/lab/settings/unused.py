"""Settings that were typed and act on nothing: a choice that the recipe has made otherwise."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.nodes import built_by
from salmask_plugin.lab.settings.override_text import Typed

if TYPE_CHECKING:
    from salmask_plugin.lab.settings.settings import Settings

READ_BY_NAME = ("localizer", "localizer_size")
"""Settings of a run that nothing reads but other settings that name them, "${localizer}"."""
OF_NEGATIVES = {
    "method": ("method.rho", "method.hard_negative_bias", "method.warm_up.ramp"),
    "masking": ("masking.num_negatives", "masking.negative_source"),
}
"""Settings, by their node, that say something of hard negatives alone."""
WITH_NEGATIVES = ("MaskedMoCoV2", "MaskedSimCLR", "SaliencyMasking")
"""What our nodes build; somebody else's may read the same names for themselves."""
OF_A_STUDY = ("compare.", "rows@compare.")
"""Beginnings of settings that only a comparison reads."""


def unused_settings(
    typed: Mapping[str, Typed],
    raw: Any,
    values: Mapping[str, Any],
    choices: Mapping[str, str],
    folders: Sequence[Path],
) -> dict[str, str]:
    """Return what was typed and acts on nothing, each with a sentence that says why.

    Args:
        typed: text as it was typed -> how it is read.
        raw: the composed configuration, interpolations unresolved.
        values: the same resolved, plain containers.
        choices: which leaf each group took.
        folders: where configuration groups are.
    """
    read = _read_by_name(raw)
    found = {}
    for text, entry in typed.items():
        group, _, rest = entry.key.partition(".")
        own = group in READ_BY_NAME and _package(entry) in (None, group) and group not in read
        if own and not (rest and _has_no_value(rest, choices.get(group), group, folders)):
            found[text] = f"{text} acts on nothing: {_instead(group, values, choices)}."
        elif (place := _lost(entry, values)) is not None:
            found[text] = f"{text} acts on nothing: {place} is null here."
        elif (why := _idle(entry, values, choices)) is not None:
            found[text] = f"{text} acts on nothing: {why}."
    return found


def refuse_unused(settings: Settings) -> None:
    """Raise UserError if something was typed for a run that acts on nothing in it.

    A row of a study is left alone: its command line may be that of all rows.
    """
    if settings.values["compare"]["row"] is not None:
        return
    for text in settings.overrides:
        if text.lstrip("+~").startswith(OF_A_STUDY):
            raise UserError(f"{text} acts on nothing: `salmask compare` alone reads it.")
    for sentence in settings.unused.values():
        raise UserError(sentence)


def refuse_unused_by_all(rows: Collection[Settings], typed: Sequence[str]) -> None:
    """Raise UserError if a setting that was typed for several rows acts on nothing in each.

    Args:
        rows: composed.
        typed: of all rows.
    """
    for text in typed:
        said = [row.unused[text] for row in rows if text in row.unused]
        if said and len(said) == len(rows):
            more = " So it is in all other rows." if len(rows) > 1 else ""
            raise UserError(said[0] + more)


def _read_by_name(raw: Any) -> set[str]:
    """Those of the settings above that others name, these among themselves included."""
    nodes = OmegaConf.to_container(raw, resolve=False)
    assert isinstance(nodes, dict)
    read: set[str] = set()
    texts = list(_texts({key: node for key, node in nodes.items() if key not in READ_BY_NAME}))
    while texts:
        text = texts.pop()
        for name in READ_BY_NAME:
            if name not in read and re.search(rf"\$\{{[^}}]*\b{name}\b", text):
                read.add(name)
                texts += _texts(nodes.get(name))
    return read


def _texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for value in node.values() for text in _texts(value)]
    if isinstance(node, list):
        return [text for value in node for text in _texts(value)]
    return [node] if isinstance(node, str) and "${" in node else []


def _package(entry: Typed) -> str | None:
    """Where the choice of a group's file goes, if that is said: "masking.query.fill"."""
    head, separator, package = entry.hydra.partition("=")[0].partition("@")
    return package if separator and head else None


def _lost(entry: Typed, values: Mapping[str, Any]) -> str | None:
    """Return the place that is null although something was typed below it or for it."""
    path = _package(entry) if entry.is_choice else entry.key
    if entry.value is None or path is None or path.startswith("_"):
        return None
    node: Any = values
    parts = path.split(".")
    for index, part in enumerate(parts):
        below = index + 1 < len(parts) or entry.is_choice
        node = node.get(part) if isinstance(node, dict) else None
        if node is None:
            return ".".join(parts[: index + 1]) if below else None
    return None


def _idle(entry: Typed, values: Mapping[str, Any], choices: Mapping[str, str]) -> str | None:
    """Say what is missing that a setting of the method or the masking is about, if it is."""
    for group, keys in OF_NEGATIVES.items():
        ours = built_by(values.get(group)) in WITH_NEGATIVES
        if entry.key in keys and ours and not (values.get("masking") or {}).get("negative"):
            return f"there are no hard negatives, masking={choices.get('masking')} has none here"
    method = values.get("method") or {}
    if entry.key == "method.trust_coefficient" and built_by(method) == "MaskedSimCLR":
        return "method.optimizer=sgd has none" if method.get("optimizer") == "sgd" else None
    return None


def _has_no_value(key: str, choice: str | None, group: str, folders: Sequence[Path]) -> bool:
    """Whether a group's file leaves a value to its user, who is asked for it in any case."""
    for folder in folders:
        path = folder / group / f"{choice}.yaml"
        if path.is_file():
            leaf = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
            return isinstance(leaf, dict) and leaf.get(key) == "???"
    return False


def _instead(group: str, values: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    masking = values.get("masking") or {}
    recipe = f"masking={choices.get('masking')}"
    if "_target_" not in masking:
        return f"{recipe} has no masks"
    if group == "localizer":
        return f"{recipe} has a localizer of its own, masking.localizer"
    return f"{recipe} with localizer={choices.get('localizer')} resizes no views for it"
