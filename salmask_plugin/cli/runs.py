"""Run folders: their names, the settings kept in them, and the refusal to mix two runs in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from salmask_plugin.cli.config import Settings
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.targets import Trust, check_targets
from salmask_plugin.evaluation.checkpoint_files import checkpoints_in
from salmask_plugin.file_names import path_below
from salmask_plugin.results.store import RECORD_NAME, write_atomically

SETTINGS_NAME = "settings.json"
RESULT = "result.json"
"""Of detection and depth, in their folders."""
CHECKPOINTS = "checkpoints"
VOLATILE = ("out", "name", "recipe", "logger", "checkpoints", "compare", "experiment", "evaluation")
"""Settings that may change between a run and its resume without making it another run."""
VOLATILE_PARTS = {"loader": ("workers", "keep"), "trainer": ("log_every_n_steps",)}


def run_folder(settings: Settings) -> Path:
    """Return the folder of a run: ``out/name``, the name made from the choices by default.

    Raises:
        UserError: if the name leads out of ``out``.
    """
    return below_out(settings, settings["name"] or default_name(settings))


def below_out(settings: Settings, name: object, folder: str = "") -> Path:
    """Return what the settings call ``name``, below ``out``.

    Args:
        settings: say ``out``.
        name: of a folder or file; may have several parts.
        folder: below ``out``, that it stays in.

    Raises:
        UserError: if the name leads out of it.
    """
    try:
        return path_below(Path(settings["out"]) / folder, name, "name", follow_links=True)
    except ValueError as error:
        raise UserError(str(error)) from error


def default_name(settings: Settings) -> str:
    """Return a name that says what ran, with the seed last."""
    choices = settings.choices
    localizer = [] if choices["masking"] == "none" else [choices["localizer"]]
    parts = [choices["data"], choices["backbone"], choices["method"], choices["masking"]]
    parts += [*localizer, f"e{settings['trainer']['max_epochs']}", f"seed{settings['seed']}"]
    return "-".join(parts)


def keep_settings(folder: Path, settings: Settings) -> None:
    """Write the settings into the run's folder, or check them against those already there.

    What may change without making it another run is then kept as it is asked for now. Settings
    that nothing has come of, as a failed start leaves them, are replaced.

    Raises:
        UserError: if the folder holds a run with other settings.
    """
    path = folder / SETTINGS_NAME
    if path.is_file() and holds_work(folder):
        # Compared, not built: what --trust has allowed need not be allowed again.
        kept = read_settings(folder, trust=True)
        different = sorted(_differences(_identity(kept), _identity(settings)))
        if different:
            raise UserError(
                f"{folder} holds a run with other settings ({'; '.join(different)}). "
                "Choose another name=... or out=..., or delete that folder."
            )
        if (kept.values, kept.choices) == (settings.values, settings.choices):
            return
    content = {"values": settings.values, "choices": settings.choices}
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def holds_work(folder: Path) -> bool:
    """Whether a folder has a checkpoint, whole or damaged, or a result that could be mixed up."""
    results = any((folder / name).is_file() for name in (RECORD_NAME, RESULT))
    return results or bool(checkpoints_in(folder / CHECKPOINTS))


def read_settings(folder: Path, *, trust: Trust = False) -> Settings:
    """Return the settings of the run in ``folder``, which may come from somebody else.

    Args:
        folder: of the run.
        trust: what the command line allows besides what our configurations name; True where
            nothing is built.

    Raises:
        UserError: if the folder holds no run, or its settings would build or fetch what is not
            allowed.
    """
    path = folder / SETTINGS_NAME
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {SETTINGS_NAME}.")
    try:
        content = json.loads(path.read_text())
        settings = Settings(dict(content["values"]), dict(content["choices"]), ())
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}.") from error
    check_targets(settings.values, trust=trust, foreign=True)
    return settings


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
