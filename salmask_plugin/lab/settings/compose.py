"""From overrides to a checked configuration: Hydra composition and our resolvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import salmask_plugin
from salmask_plugin.filters import kernel_for_view
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.allowed_targets import Trust, check_targets
from salmask_plugin.lab.settings.biases import bias_for_batch, bias_for_queue
from salmask_plugin.lab.settings.checks import Fault, judge
from salmask_plugin.lab.settings.hydra_refusals import hydra_refusal
from salmask_plugin.lab.settings.override_text import Typed, parse_value, quoted, read_typed
from salmask_plugin.lab.settings.own_configs import own_configs
from salmask_plugin.lab.settings.processor import (
    at_most_cores,
    fastest_memory_format,
    fastest_precision,
)
from salmask_plugin.lab.settings.reserved_arguments import FIXED, SET_BY_SCHEDULE, STILL_ACT
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.settings.shorthand import folder_as_data, in_full
from salmask_plugin.lab.settings.study_rows import expand_row
from salmask_plugin.lab.settings.unused import unused_settings

CONFIGS = Path(salmask_plugin.__file__).resolve().parent / "configs"


def compose_settings(
    overrides: Sequence[str],
    *,
    root: str = "run",
    config_dir: str | None = None,
    trust: Trust = False,
    foreign: bool = False,
) -> Settings:
    """Compose ``configs/run.yaml`` with the user's overrides and check it.

    Values are taken as people type them: what Hydra's grammar cannot read is a text, ``~`` at the
    beginning of a path is the user's folder. ``key=value`` and ``+key=value`` are held to the same
    keys, and so are the files of ``config_dir``. A folder by itself stands for ``data=folder`` with
    that ``data.root``.

    Args:
        overrides: Hydra overrides, ``key=value``. ``experiment=STUDY/ROW`` is one row of a study.
        root: another file of ``configs/``, such as "transfer".
        config_dir: a folder whose groups are added to ours.
        trust: what may be built besides what our configurations name.
        foreign: whether an override may come from somebody else; then nothing may be fetched.

    Raises:
        UserError: for an unknown key or choice, a missing value, a value of another type, a
            setting that the command sets itself, a target that is not allowed, a ``config_dir``
            that is no folder or names a file as ours.
    """
    own = own_configs(config_dir, CONFIGS)
    typed = overrides
    if root == "run":
        overrides = folder_as_data(overrides)

    def composed(given: Sequence[str], *, complete: bool = True) -> Settings:
        return _compose(given, own, root=root, trust=trust, foreign=foreign, complete=complete)

    folders = [CONFIGS] if own is None else [own, CONFIGS]
    # A study says its rows although values that every run needs are given to the row alone.
    full = in_full(overrides, root)
    given = expand_row(full, folders, partial(composed, complete=False))
    return replace(composed(given), overrides=tuple(typed))


def _compose(
    overrides: Sequence[str],
    own: Path | None,
    *,
    root: str,
    trust: Trust,
    foreign: bool,
    complete: bool,
    as_text: frozenset[str] = frozenset(),
) -> Settings:
    folders = [CONFIGS] if own is None else [own, CONFIGS]
    typed = read_typed(
        overrides, lambda name: any((folder / name).is_dir() for folder in folders), as_text
    )
    for entry in typed:
        if (decided := SET_BY_SCHEDULE.get(root, {}).get(entry.key)) is not None:
            raise UserError(f"{entry.key} would be lost: {decided}.")
    raw, choices = _composed([entry.hydra for entry in typed], own, root)
    values = _resolved(raw)
    missing = sorted(_missing(values)) if complete else []
    if missing:
        raise UserError(
            "these settings have no value yet; give them on the command line: "
            + " ".join(f"{key}=VALUE" for key in missing)
        )
    check_targets(values, trust=trust, foreign=foreign)
    judged = judge(values, root)
    if texts := _typed_texts(judged.faults, typed) - as_text:
        texts |= as_text
        return _compose(
            overrides,
            own,
            root=root,
            trust=trust,
            foreign=foreign,
            complete=complete,
            as_text=texts,
        )
    if judged.faults:
        raise UserError(judged.faults[0].message)
    ours = {key: str(value) for key, value in choices.items() if not key.startswith("hydra/")}
    words = dict(zip(overrides, typed, strict=True)) if root == "run" else {}
    unused = unused_settings(words, raw, judged.values, ours, folders)
    return Settings(judged.values, ours, tuple(overrides), unused)


def _composed(
    overrides: Sequence[str], own: Path | None, root: str
) -> tuple[DictConfig, dict[str, Any]]:
    register_resolvers()
    extra = [] if own is None else [f"hydra.searchpath=[{quoted(f'file://{own}')}]"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = compose(root, [*extra, *overrides], return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(hydra_refusal(error, CONFIGS)) from error
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    return composed, choices


def _typed_texts(faults: Sequence[Fault], typed: Sequence[Typed]) -> frozenset[str]:
    """Settings that are a text, and were typed as something that looks like a number or a list."""
    keys = {entry.key for entry in typed if not entry.is_choice and entry.value is not None}
    return frozenset(fault.path for fault in faults if fault.is_text and fault.path in keys)


def register_resolvers() -> None:
    """Make our interpolations known to OmegaConf; safe to call again."""
    resolvers: dict[str, Callable[..., Any]] = {
        "kernel_size_for_view": lambda size, view: kernel_for_view(int(size), 1.0, int(view))[0],
        "sigma_for_view": lambda sigma, view: kernel_for_view(3, float(sigma), int(view))[1],
        "bias_for_queue": bias_for_queue,
        "bias_for_batch": bias_for_batch,
        "at_most_cores": lambda wanted: at_most_cores(int(wanted)),
        "fastest_precision": fastest_precision,
        "fastest_memory_format": fastest_memory_format,
    }
    for name, function in resolvers.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def _resolved(composed: DictConfig) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(hydra_refusal(error, CONFIGS)) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _missing(node: Any, path: str = "") -> list[str]:
    if node == "???":
        return [path]
    items = node.items() if isinstance(node, dict) else ()
    return [key for name, value in items for key in _missing(value, f"{path}.{name}".lstrip("."))]


def apply_overrides(settings: Settings, overrides: Sequence[str], *, trust: Trust) -> Settings:
    """Return kept settings with plain ``key=value`` changes to keys that exist and still act.

    Raises:
        UserError: for a key that does not exist, a group's choice or whatever the run has fixed by
            then, a value of another type.
    """
    return _applied(settings, overrides, trust=trust)


def _applied(
    settings: Settings,
    overrides: Sequence[str],
    *,
    trust: Trust,
    as_text: frozenset[str] = frozenset(),
) -> Settings:
    overrides = in_full(overrides, "run")
    typed = read_typed(overrides, lambda name: (CONFIGS / name).is_dir(), as_text)
    config = OmegaConf.create(settings.values)
    for text, entry in zip(overrides, typed, strict=True):
        plain = not entry.is_choice and text.startswith(f"{entry.key}=")
        if not plain or not entry.key.startswith(STILL_ACT) or entry.key in FIXED:
            raise UserError(
                f"'{text}' is not a setting of this run that can still change: it must be "
                f"key=value below {', '.join(name.rstrip('.') for name in STILL_ACT)}."
            )
        value = parse_value(entry)
        try:
            OmegaConf.update(config, entry.key, value, merge=True, force_add=True)
        except (OmegaConfBaseException, ValueError) as error:
            words = " ".join(str(error).split())
            raise UserError(f"'{text}' fits no setting of this run: {words:.200}") from error
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(hydra_refusal(error, CONFIGS)) from error
    assert isinstance(values, dict)
    plain_values = {str(key): value for key, value in values.items()}
    check_targets(plain_values, trust=trust)
    judged = judge(plain_values, "run")
    keys = tuple(entry.key for entry in typed)
    # What an older version has kept is its own affair: judged is what was typed now.
    faults = [fault for fault in judged.faults if f"{fault.path}.".startswith(_below(keys))]
    if texts := _typed_texts(faults, typed) - as_text:
        return _applied(settings, overrides, trust=trust, as_text=as_text | texts)
    if faults:
        raise UserError(f"not a setting of this run: {faults[0].message}")
    return Settings({**plain_values, **judged.values}, settings.choices, tuple(overrides))


def _below(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{key}." for key in keys)
