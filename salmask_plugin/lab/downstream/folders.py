"""Where detection and depth work, and where their results go."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.file_names import path_below, safe_name
from salmask_plugin.json_files import COUNT, OBJECT, Shape, read_object
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import Evaluation, RunRecord, read_record
from salmask_plugin.lab.results.codec import decode
from salmask_plugin.lab.results.environment import environment
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.results.store import (
    NAMES_IN_EVALUATION,
    RECORD_NAME,
    shortened,
    write_atomically,
)
from salmask_plugin.lab.runs.folder import RESULT, below_out, keep_settings, some_settings
from salmask_plugin.lab.runs.folder_lock import alone_in, is_first_process
from salmask_plugin.lab.runs.progress import SHORTENING
from salmask_plugin.lab.runs.recording import change_record, entry_name, with_results
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.settings import Settings

ASKED: Shape = {"view_size": COUNT, "evaluation": OBJECT}
"""What a result's settings take from the run it belongs to."""
say = rank_zero_only(print)


def train_once(
    kind: str,
    settings: Settings,
    source: Path,
    backbone: PretrainedBackbone,
    work: Callable[[Path], Evaluation],
    *,
    pictures: LatePictures,
    digits: int,
) -> None:
    """Do the work in its folder unless its result is there; write and print the result.

    Args:
        kind: "detection" or "depth": the configuration's group, the record's task and the folder.
        settings: of the command.
        source: the checkpoint, or the run whose record gets the result.
        backbone: of the source.
        work: folder -> result; every process does it.
        pictures: of the result, drawn when it is written.
        digits: of the printed numbers.

    Raises:
        UserError: if the folder holds work of other settings or on another backbone.
    """
    folder = folder_of(kind, settings, source)
    with alone_in(folder):
        _train_once(kind, settings, source, backbone, folder, work, pictures, digits)


def _train_once(
    kind: str,
    settings: Settings,
    source: Path,
    backbone: PretrainedBackbone,
    folder: Path,
    work: Callable[[Path], Evaluation],
    pictures: LatePictures,
    digits: int,
) -> None:
    if is_first_process():
        values = {**settings.values, "backbone": backbone.fingerprint}
        keep_settings(folder, Settings(values, settings.choices, ()))
    if (folder / RESULT).is_file():
        say(f"{folder} is already finished; its result is in {RESULT}.")
        if is_first_process():
            _recorded_again(kind, settings, folder, source)
        return
    started = time.perf_counter()
    evaluation = work(folder)
    if not is_first_process():
        return
    evaluation = replace(evaluation, seconds=time.perf_counter() - started)
    name = settings.choices[kind]
    _write(kind, settings, evaluation, backbone, folder, source)
    numbers = (f"{key} {value:.{digits}f}" for key, value in evaluation.metrics.items())
    print(f"{name}: {'  '.join(numbers)}")
    print(f"Written: {', '.join([str(folder / RESULT), *(path.name for path in pictures.draw())])}")


def folder_of(kind: str, settings: Settings, source: Path) -> Path:
    """Return where the work goes: into the run's folder, or below ``out``."""
    name = settings.name or f"{settings.choices[kind]}-seed{settings.seed}"
    if (source / RECORD_NAME).is_file():
        some_settings(source, ASKED)  # refused now, not when the result is there
        return _inside(source, kind, name)
    return below_out(settings, settings.name or safe_name(f"{source.stem}-{name}"))


def _inside(run: Path, kind: str, name: object) -> Path:
    """Where a task works inside a run's folder, which may come from somebody else."""
    try:
        path_below(run / kind, name, "name")
        return path_below(run, f"{kind}/{name}", "name")
    except ValueError as error:
        raise UserError(str(error)) from error


def _write(
    kind: str,
    settings: Settings,
    evaluation: Evaluation,
    backbone: PretrainedBackbone,
    folder: Path,
    source: Path,
) -> None:
    """Write the result into its folder, then into the run's record where there is one."""
    content = {
        "metrics": dict(evaluation.metrics),
        "protocol": dict(evaluation.protocol),
        "curves": {key: list(values) for key, values in evaluation.curves.items()},
        "seconds": evaluation.seconds,
        "backbone": {"source": backbone.source, "fingerprint": backbone.fingerprint},
        "environment": vars(environment()),
    }
    kept = shortened(content, NAMES_IN_EVALUATION)
    text = json.dumps(kept, indent=2, default=str, allow_nan=False)
    write_atomically(folder / RESULT, (text + "\n").encode())
    _into_record(kind, settings, evaluation, source)


def _into_record(kind: str, settings: Settings, evaluation: Evaluation, source: Path) -> None:
    """Add a result to the record of the run that the source is, if it is one."""
    if (source / RECORD_NAME).is_file():
        # What a comparison would have asked for: it finds the result and does not repeat it.
        options = {key: value for key, value in settings[kind].items() if key != "task"}
        run = some_settings(source, ASKED)
        run = replace(run, values={**run.values, "seed": settings.seed})
        kept = EvaluationRequest(settings.choices[kind], kind, options, {}, False, run).kept
        # The checkpoint's own statistics, whatever the run's evaluations ask for.
        kept["reestimate_batch_norm"] = False
        evaluation = replace(evaluation, settings=dict(shortened(kept)))
        change_record(
            source,
            lambda there: with_results(there, {_entry(kind, settings, there): evaluation}),
        )


def _entry(kind: str, settings: Settings, record: RunRecord) -> str:
    return entry_name(record, settings.choices[kind], kind, settings.seed)


def _recorded_again(kind: str, settings: Settings, folder: Path, source: Path) -> None:
    """Bring a finished result into a record that lacks it, as after a kill between the two."""
    if not (source / RECORD_NAME).is_file():
        return
    record = read_record(source)
    if _entry(kind, settings, record) in record.evaluations:
        return
    kept = read_object(folder / RESULT)
    known = {key: kept[key] for key in ("metrics", "protocol", "curves", "seconds") if key in kept}
    found: Evaluation = decode(known, Evaluation, str(folder / RESULT))
    _into_record(kind, settings, found, source)
    say(f"It was missing in {source / RECORD_NAME} and is there now.")


def on_one_device(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return the trainer's settings for a task: other evaluations know of no second device.

    What shortens a run's pretraining does not shorten its tasks.
    """
    whole = {key: value for key, value in trainer.items() if key not in SHORTENING}
    return {**whole, "devices": 1, "num_nodes": 1, "strategy": "auto"}


def task_folder(
    request: EvaluationRequest, name: str, backbone: PretrainedBackbone, trainer: dict[str, Any]
) -> Path:
    """Return where a task trains below its run's folder, its settings kept there.

    Args:
        request: the task.
        name: of the folder, "detection" or "depth".
        backbone: whose work it is.
        trainer: its settings.

    Raises:
        UserError: without a run's folder, or if this one holds work with other settings or on
            another encoder.
    """
    if request.folder is None:
        raise UserError(f"{name} keeps checkpoints and needs a folder.")
    settings = request.settings
    folder = _inside(request.folder, name, f"{request.name}-seed{settings.seed}")
    values = {
        name: request.options,
        "seed": settings.seed,
        "backbone": backbone.fingerprint,
        "loader": settings["loader"],
        "trainer": trainer,
    }
    keep_settings(folder, Settings(values, {name: request.name}, ()))
    return folder
