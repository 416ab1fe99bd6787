"""Composed settings held against what there is: keys, types, and what a command sets itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_type_hints, is_typeddict

from salmask_plugin.lab.settings.constructor_defaults import left_out
from salmask_plugin.lab.settings.groups import GROUPS, required
from salmask_plugin.lab.settings.known import KINDS, ROOTS, Evaluation
from salmask_plugin.lab.settings.nodes import NO_FOLDER, TARGET, target_of
from salmask_plugin.lab.settings.reserved_arguments import SET_BY_US
from salmask_plugin.lab.settings.shorthand import SHORT_NAMES
from salmask_plugin.lab.settings.unknown_keys import joined, unknown_setting
from salmask_plugin.lab.settings.value_types import ABSENT, fitted, in_words, is_text, is_too_large

LONGEST = 200
"""Characters of a value that a message shows."""
WARM_UP = "method.warm_up"
NO_WARM_UP = (
    "method.warm_up is no setting of {target}; masking=label_free_warmup brings one, and wants a "
    "method whose masks a recipe makes: method=mocov2 or simclr."
)
SPECIAL = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")


@dataclass(frozen=True)
class Fault:
    """What is wrong with one setting.

    Attributes:
        path: of the setting.
        message: one sentence.
        is_text: whether the setting is a text and the value is none, such as a folder "2024".
    """

    path: str
    message: str
    is_text: bool = False


@dataclass
class Judgement:
    """The result of :func:`judge`.

    Attributes:
        values: the settings, paths with ``~`` expanded.
        faults: in the order of the settings.
    """

    values: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def judge(values: Mapping[str, Any], root: str) -> Judgement:
    """Hold settings against their description, and nodes that are built against their constructor.

    Targets are imported: those of settings that are not the user's must have been allowed before.

    Args:
        values: composed, plain containers, nothing missing.
        root: file of ``configs/``.
    """
    judged = Judgement()
    known = [*sorted(_paths(values)), *SHORT_NAMES.get(root, {})]
    judged.values = _described(dict(values), ROOTS[root], "", judged.faults, known)
    return judged


def judge_node(node: dict[str, Any]) -> list[Fault]:
    """Return what is wrong with a node, held against the constructors of what it builds.

    Args:
        node: with a ``_target_``, plain containers; its targets are allowed.
    """
    faults: list[Fault] = []
    _built(node, "", faults, sorted(_paths(node)))
    return faults


def judge_task(kind: str, options: Mapping[str, Any], path: str) -> list[Fault]:
    """Return what is wrong with the settings of a task of that kind, which lie at ``path``."""
    faults: list[Fault] = []
    _described(dict(options), KINDS[kind], path, faults, [])
    return faults


def _described(
    node: Any, hint: type, path: str, faults: list[Fault], known: list[str]
) -> dict[str, Any]:
    """A mapping whose keys are declared, in a dataclass or a TypedDict."""
    if not isinstance(node, dict):
        faults.append(_wrong(path, node, hint))
        return {}
    hints = get_type_hints(hint, include_extras=True)
    for name in sorted(_required(hint) - node.keys()):
        place = joined(path, name)
        faults.append(Fault(place, f"the setting {place} is missing: the command reads it."))
    found = {}
    for key, value in node.items():
        place = joined(path, str(key))
        inner = hints.get(str(key), _task(hint, value, str(key)))
        if inner is None and "_target_" in node:
            continue  # the constructor's
        if inner is None:
            faults.append(Fault(place, unknown_setting(place, hints, known)))
            continue
        found[key] = _value(value, inner, place, faults, known)
    return {**found, **_built(node, path, faults, known)} if "_target_" in node else found


def _required(hint: Any) -> frozenset[str]:
    if hint in GROUPS:
        return required(hint)
    return frozenset(hint.__required_keys__)


def _task(hint: type, value: Any, name: str) -> type | None:
    """What a further name in ``evaluation`` is: a task of a kind that its settings name."""
    if hint is not Evaluation or not isinstance(value, dict):
        return None
    kind = value.get("task", name)
    return KINDS.get(kind, dict[str, Any]) if isinstance(kind, str) else dict[str, Any]


def _value(value: Any, hint: Any, path: str, faults: list[Fault], known: list[str]) -> Any:
    marks = getattr(hint, "__metadata__", ())
    if is_typeddict(hint) or hint in GROUPS:
        return _described(value, hint, path, faults, known)
    if isinstance(value, dict) and "_target_" in value:
        return _built(value, path, faults, known, no_folder=NO_FOLDER in marks)
    if TARGET in marks:
        if not isinstance(value, dict):
            faults.append(Fault(path, f"{path}={value!r} must be a node with a _target_."))
            return value
        for key in value:
            place = joined(path, str(key))
            faults.append(Fault(place, f"'{place}' is no setting: {path} builds nothing here."))
        return value
    if isinstance(value, dict) and (inner := _of_mapping(hint)) is not None:
        return {k: _value(v, inner, joined(path, str(k)), faults, known) for k, v in value.items()}
    if isinstance(value, list):
        value = [
            _built(entry, f"{path}[{index}]", faults, known)
            if isinstance(entry, dict) and "_target_" in entry
            else entry
            for index, entry in enumerate(value)
        ]
    try:
        found = fitted(value, hint)
    except ValueError as error:
        faults.append(Fault(path, f"{path}: {error}"))
        return value
    if found is ABSENT:
        faults.append(_wrong(path, value, hint))
        return value
    return found


def _built(
    node: dict[str, Any],
    path: str,
    faults: list[Fault],
    known: list[str],
    *,
    no_folder: bool = False,
) -> dict[str, Any]:
    """A node whose keys are its constructor's arguments, all that it does not say filled in."""
    target = target_of(node)
    if target is None:
        return node
    parameters, hints = _signature(target)
    free = any(entry.kind is entry.VAR_KEYWORD for entry in parameters.values())
    found: dict[str, Any] = {}
    for key, value in node.items():
        place = joined(path, str(key))
        found[key] = value
        if key in SPECIAL:
            continue
        taken = SET_BY_US.get(path, {}).get(key)
        if taken is not None:
            faults.append(
                Fault(place, f"{place}={value!r} would be lost, the command sets it: {taken}.")
            )
        elif key in parameters and parameters[key].kind is not inspect.Parameter.VAR_KEYWORD:
            if not (value is None and key == "root" and no_folder):
                found[key] = _value(value, hints.get(key, Any), place, faults, known)
        elif not free and place == WARM_UP:
            faults.append(Fault(place, NO_WARM_UP.format(target=node["_target_"])))
        elif not free:
            own = [name for name in parameters if name not in SET_BY_US.get(path, {})]
            faults.append(Fault(place, unknown_setting(place, own, known, str(node["_target_"]))))
    return found | left_out(node, target, parameters, SET_BY_US.get(path, {}))


@cache
def _signature(target: Any) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """Parameters by name and their types; types that cannot be read are left out."""
    made = target.__init__ if inspect.isclass(target) else target
    try:
        parameters = dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return {"": inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)}, {}
    try:
        return parameters, get_type_hints(made, include_extras=True)
    except Exception:  # annotations of other packages may name what is not imported
        return parameters, {}


def _of_mapping(hint: Any) -> Any:
    """The type of a mapping's values, or None where the setting takes no mapping."""
    if hint is Any:
        return Any
    origin = getattr(hint, "__origin__", hint)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return (*get_args(hint), Any, Any)[1]
    return next((found for part in get_args(hint) if (found := _of_mapping(part))), None)


def _wrong(path: str, value: Any, hint: Any) -> Fault:
    more = ""
    if isinstance(value, str) and "," in value:
        several = "compare.seeds=[0,1]" if path == "seed" else "compare.rows"
        more = f" (one value; `salmask compare` takes several, see {several})"
    words = in_words(hint)
    if is_too_large(value) and "below" not in words:
        more = ", below 2**63 in size"
    text = f"{path}={_shown(value)} must be {words}{more}."
    return Fault(path, text, is_text(hint) and value is not None)


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _paths(node: Any, path: str = "") -> Iterator[str]:
    """The settings that are no mappings of others."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _paths(value, joined(path, str(key)))
    elif path:
        yield path
