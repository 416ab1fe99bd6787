"""What makes a run another run, and what may change without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from salmask_plugin.lab.settings.settings import Settings

VOLATILE = ("out", "name", "recipe", "logger", "checkpoints", "compare", "experiment", "evaluation")
"""Settings that may change between a run and its resume without making it another run."""
VOLATILE_PARTS = {"loader": ("workers", "keep"), "trainer": ("log_every_n_steps",)}
FIXED_BEFORE = ("plan", "gate")
"""What a study fixes before its first run; a run that has begun keeps its own."""


def differences(kept: Settings, settings: Settings) -> list[str]:
    """Return in words, sorted, what makes a run of these settings another than the kept one."""
    return sorted(_unlike(_identity(kept), _identity(settings)))


def with_plan_of(kept: Settings, settings: Settings) -> Settings:
    """Return the settings with what a study has fixed before the run that was kept."""
    asked = settings.values.get("compare")
    if not isinstance(asked, dict):
        return settings
    before = kept.values.get("compare") or {}
    fixed = {key: before[key] for key in FIXED_BEFORE if key in before}
    return replace(settings, values={**settings.values, "compare": {**asked, "plan": {}, **fixed}})


def _identity(settings: Settings) -> dict[str, Any]:
    values = {key: value for key, value in settings.values.items() if key not in VOLATILE}
    for group, keys in VOLATILE_PARTS.items():
        if isinstance(part := values.get(group), dict):
            values[group] = {key: value for key, value in part.items() if key not in keys}
    of_channels = (("backbone", "in_channels"), ("method", "in_channels"), ("data", "channels"))
    for group, name in of_channels:
        # Those from before it could be said had three.
        if isinstance(part := values.get(group), dict) and part.get(name) == 3:
            values[group] = {key: value for key, value in part.items() if key != name}
    if isinstance(loader := values.get("loader"), dict):
        # Runs from before there was a choice were made on the host.
        values["loader"] = {"input": "host", **loader}
    return values


def _unlike(kept: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(kept, dict) and isinstance(new, dict):
        keys = {**kept, **new}
        return [
            line
            for key in keys
            for line in _unlike(kept.get(key), new.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if kept == new else [f"{path}: {kept} there, {new} here"]
