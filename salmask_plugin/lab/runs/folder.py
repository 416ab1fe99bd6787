"""Run folders: their names, the settings kept in them, and the refusal to mix two runs in one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from salmask_plugin.encoders.checkpoint_files import checkpoints_in
from salmask_plugin.file_names import path_below
from salmask_plugin.json_files import (
    BOOL,
    COUNT,
    NODE,
    NULL,
    NUMBER,
    OBJECT,
    SEED,
    SIZE,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
    Shape,
    check_shape,
    read_object,
)
from salmask_plugin.lab.errors import UserError, first_of
from salmask_plugin.lab.results.store import RECORD_NAME, write_atomically
from salmask_plugin.lab.runs.identity import differences, with_plan_of
from salmask_plugin.lab.settings.allowed_targets import Trust, check_targets
from salmask_plugin.lab.settings.choice_names import (
    backbone_name,
    crops_ask,
    crops_localizer,
    crops_name,
    data_name,
    localizer_name,
    placed_by_chance,
)
from salmask_plugin.lab.settings.settings import Settings

SETTINGS_NAME = "settings.json"
SHOWN = 6
"""Settings that an error names of those that differ."""
RESULT = "result.json"
"""Of detection and depth, in their folders."""
CHECKPOINTS = "checkpoints"
_CHOICE = re.compile(r"\w[\w+-]*([./]\w[\w+-]*)*")
"""A file of a group, as the command line takes it; nothing that is read as a node or climbs."""


def run_folder(settings: Settings) -> Path:
    """Return the folder of a run: ``out/name``, the name made from the choices by default.

    Raises:
        UserError: if the name leads out of ``out``.
    """
    return below_out(settings, settings.name or default_name(settings))


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
        return path_below(Path(settings.out) / folder, name, "name", follow_links=True)
    except ValueError as error:
        raise UserError(str(error)) from error


def default_name(settings: Settings) -> str:
    """Return a name that says what ran, with the seed last."""
    choices = settings.choices
    crops = [crops_name(settings)] if settings.crops else []
    asked = crops_localizer(settings) if crops_ask(settings) else localizer_name(settings)
    nobody = asked == "none" or (not crops_ask(settings) and placed_by_chance(settings))
    localizer = [] if nobody else [asked]
    network = backbone_name(settings).replace("/", "_")
    parts = [data_name(settings), network, choices["method"], choices["masking"], *crops]
    parts += [*localizer, f"e{settings.trainer['max_epochs']}", f"seed{settings.seed}"]
    return "-".join(parts)


RUN: Shape = {
    "seed": SEED,
    "view_size": COUNT,
    "localizer_size?": COUNT,
    "name?": TEXT | NUMBER | NULL,
    "recipe?": TEXT | NUMBER | NULL,
    "data": NODE,
    "backbone": NODE,
    "method": NODE,
    "views": NODE,
    "masking": OBJECT | NULL,
    "loader": {"batch_size": COUNT, "workers": SIZE},
    "trainer": {**NODE, "accelerator": TEXT, "max_epochs": WHOLE},
    "evaluation": {"tasks?": TEXTS, "data?": OBJECT | NULL, "reestimate_batch_norm?": BOOL},
    "compare?": OBJECT,
}
"""What commands take from the settings of a run; what a node's object takes, it checks itself."""
NO_TASKS = ("tasks", "data", "reestimate_batch_norm")
"""Keys of ``evaluation`` that are no tasks."""
CHOICE = Kind(
    "the name of a choice",
    lambda value: isinstance(value, str) and _CHOICE.fullmatch(value) is not None,
)
CHOICES: Shape = dict.fromkeys(("data", "backbone", "method", "masking", "localizer"), CHOICE)


def keep_settings(folder: Path, settings: Settings) -> Settings:
    """Write the settings into the run's folder, or check them against those already there.

    What may change without making it another run is then kept as it is asked for now; a plan is
    what was fixed before the run, so a run that has begun keeps its own. Settings that nothing has
    come of, as a failed start leaves them, are replaced.

    Returns:
        The settings as they are kept.

    Raises:
        UserError: if the folder holds a run with other settings.
    """
    kept = begun_with(folder, settings)
    if kept is not None:
        settings = with_plan_of(kept, settings)
        if (kept.values, kept.choices) == (settings.values, settings.choices):
            return settings
    content = {"values": settings.values, "choices": settings.choices}
    write_atomically(folder / SETTINGS_NAME, (json.dumps(content, indent=2) + "\n").encode())
    return settings


def begun_with(folder: Path, settings: Settings, *, going: bool = False) -> Settings | None:
    """Return the settings that the run in a folder has begun with; None where none has.

    Args:
        folder: of the run.
        settings: that are asked for now.
        going: that it runs or waits in a queue: it has begun though nothing has come of it yet.

    Raises:
        UserError: if they are others than these, so that it is another run.
    """
    if not (folder / SETTINGS_NAME).is_file() or not (going or holds_work(folder)):
        return None
    # Compared, not built: what --trust has allowed need not be allowed again.
    kept = _kept(folder)
    different = differences(kept, settings)
    if different:
        raise UserError(
            f"{folder} holds a run with other settings ({first_of(different, SHOWN)}). "
            "Choose another name=... or out=..., or delete that folder."
        )
    return kept


def holds_work(folder: Path) -> bool:
    """Whether a folder has a checkpoint, whole or damaged, or a result that could be mixed up."""
    results = any((folder / name).is_file() for name in (RECORD_NAME, RESULT))
    return results or bool(checkpoints_in(folder / CHECKPOINTS))


def read_settings(folder: Path, *, trust: Trust = False) -> Settings:
    """Return the settings of the run in ``folder``, which may come from somebody else.

    Args:
        folder: of the run.
        trust: what the command line allows besides what our configurations name.

    Raises:
        UserError: if the folder holds no run, or its settings would build or fetch what is not
            allowed.
    """
    settings = _kept(folder)
    check_targets(settings.values, trust=trust, foreign=True)
    check_run(settings, str(folder / SETTINGS_NAME))
    return settings


def some_settings(folder: Path, shape: Shape) -> Settings:
    """Return the settings of a run of which a few values are looked at, and nothing is built.

    Args:
        folder: of the run.
        shape: of these values.

    Raises:
        UserError: if the folder holds no run, or the values are of another form.
    """
    settings = _kept(folder)
    try:
        check_shape({"values": settings.values}, {"values": shape}, str(folder / SETTINGS_NAME))
    except ValueError as error:
        raise UserError(str(error)) from error
    return settings


def check_run(settings: Settings, where: str) -> None:
    """Raise UserError if the settings are not of the form that a run's have.

    Args:
        settings: whose keys and types are looked at.
        where: they come from, for the error.
    """
    try:
        check_shape({"values": settings.values}, {"values": RUN}, where)
        check_shape({"choices": settings.choices}, {"choices": CHOICES}, where)
        evaluation = settings.evaluation
        tasks = {key: value for key, value in evaluation.items() if key not in NO_TASKS and value}
        check_shape(tasks, {key: {"task?": TEXT} for key in tasks}, where, "values.evaluation")
        sets = evaluation.get("data") or {}
        check_shape(sets, dict.fromkeys(sets, NODE), where, "values.evaluation.data")
    except ValueError as error:
        raise UserError(str(error)) from error


def _kept(folder: Path) -> Settings:
    """The settings in a folder, of a run or of a task inside of one."""
    path = folder / SETTINGS_NAME
    if not path.is_file():
        raise UserError(f"{folder} is not a run folder: it has no {SETTINGS_NAME}.")
    try:
        content = read_object(path, {"values": OBJECT, "choices": OBJECT})
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return Settings(content["values"], content["choices"], ())
