"""Run folders: their names, the settings kept in them, and the refusal to mix two runs in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from salmask_plugin.cli.config import Settings
from salmask_plugin.cli.errors import UserError
from salmask_plugin.results.store import write_atomically

SETTINGS_NAME = "settings.json"
CHECKPOINTS = "checkpoints"
VOLATILE = ("out", "name", "recipe", "logger", "checkpoints", "compare", "experiment", "evaluation")
"""Settings that may change between a run and its resume without making it another run."""
VOLATILE_PARTS = {"loader": ("workers", "keep"), "trainer": ("log_every_n_steps",)}


def run_folder(settings: Settings) -> Path:
    """Return the folder of a run: ``out/name``, the name made from the choices by default."""
    return Path(settings["out"]) / (settings["name"] or default_name(settings))


def default_name(settings: Settings) -> str:
    """Return a name that says what ran, with the seed last."""
    choices = settings.choices
    localizer = [] if choices["masking"] == "none" else [choices["localizer"]]
    parts = [choices["data"], choices["backbone"], choices["method"], choices["masking"]]
    parts += [*localizer, f"e{settings['trainer']['max_epochs']}", f"seed{settings['seed']}"]
    return "-".join(parts)


def keep_settings(folder: Path, settings: Settings) -> None:
    """Write the settings into the run's folder, or check them against those already there.

    Raises:
        UserError: if the folder holds a run with other settings.
    """
    path = folder / SETTINGS_NAME
    if path.is_file():
        kept = read_settings(folder)
        different = sorted(_differences(_identity(kept), _identity(settings)))
        if different:
            raise UserError(
                f"{folder} holds a run with other settings ({'; '.join(different)}). "
                "Choose another name=... or out=..., or delete that folder."
            )
        return
    content = {"values": settings.values, "choices": settings.choices}
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def read_settings(folder: Path) -> Settings:
    """Return the settings of the run in ``folder``.

    Raises:
        UserError: if the folder holds no run.
    """
    path = folder / SETTINGS_NAME
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {SETTINGS_NAME}.")
    try:
        content = json.loads(path.read_text())
        return Settings(content["values"], content["choices"], ())
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}.") from error


def _identity(settings: Settings) -> dict[str, Any]:
    values = {key: value for key, value in settings.values.items() if key not in VOLATILE}
    # Runs from before there was a choice were made on the host.
    values["loader"] = {"input": "host", **values["loader"]}
    for group, keys in VOLATILE_PARTS.items():
        values[group] = {key: value for key, value in values[group].items() if key not in keys}
    return values


def _differences(kept: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(kept, dict) and isinstance(new, dict):
        keys = {**kept, **new}
        return [
            line
            for key in keys
            for line in _differences(kept.get(key), new.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if kept == new else [f"{path}: {kept} there, {new} here"]
