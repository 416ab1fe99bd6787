"""Run folders: their names, the settings kept in them, and the refusal to mix two runs in one."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from salmask_plugin.cli.config import Settings
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.targets import check_targets
from salmask_plugin.evaluation.checkpoint_files import checkpoints_in
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
    name = str(settings["name"] or default_name(settings))
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    if absolute or ".." in parts or not PurePosixPath(name).name:
        raise UserError(f"name={name!r} must be a folder below out={settings['out']}.")
    return Path(settings["out"]) / name


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


def read_settings(folder: Path, *, trust: bool = False) -> Settings:
    """Return the settings of the run in ``folder``, which may come from somebody else.

    Args:
        folder: of the run.
        trust: allow any ``_target_``.

    Raises:
        UserError: if the folder holds no run, or its settings would build what is not allowed.
    """
    path = folder / SETTINGS_NAME
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {SETTINGS_NAME}.")
    try:
        content = json.loads(path.read_text())
        settings = Settings(dict(content["values"]), dict(content["choices"]), ())
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}.") from error
    if not trust:
        check_targets(settings.values)
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
