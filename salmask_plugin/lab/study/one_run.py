"""One run of a study: pretrained, and evaluated where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.json_files import OBJECT
from salmask_plugin.lab.probes.evaluate import evaluate
from salmask_plugin.lab.probes.tasks import check_tasks
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.results.store import RECORD_NAME
from salmask_plugin.lab.runs.folder import run_folder, some_settings
from salmask_plugin.lab.runs.folder_lock import alone_in, is_first_process
from salmask_plugin.lab.runs.launcher import alone, check_world
from salmask_plugin.lab.runs.pretrain import pretrain
from salmask_plugin.lab.runs.progress import check_length
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.settings.allowed_targets import Trust, allowing, fetched_by_run
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.shorthand import check_data_is_named
from salmask_plugin.lab.settings.unused import refuse_unused


def run_one(
    overrides: Sequence[str] = (),
    *,
    evaluated: bool = False,
    config_dir: str | None = None,
    trust: Trust = False,
) -> Path:
    """Pretrain (or resume), write the record, and evaluate if asked to; return the run's folder.

    Args:
        overrides: settings, ``key=value``.
        evaluated: whether what ``evaluation.tasks`` names is measured as well.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.

    Raises:
        UserError: before anything is computed, for settings that cannot work.
        RunStopped: if the training cannot go on; it says where the same command will.
    """
    check_data_is_named(overrides, config_dir=config_dir)
    settings = compose_settings(overrides, config_dir=config_dir, trust=trust)
    refuse_unused(settings)
    check_length(settings.trainer)
    check_world(settings.trainer)
    folder = run_folder(settings)
    check_trainer(settings)
    if evaluated:
        check_tasks(settings)
    with alone_in(folder):
        pretrain(settings, folder)
        # The run's other processes are done: evaluations know of no second device.
        if evaluated and is_first_process():
            with alone():
                evaluate(settings, folder, only_missing=True)
    return folder


def fetched_again(folder: Path) -> list[str]:
    """Return the flags by which another command may fetch what a run has been allowed to.

    Args:
        folder: of the run.
    """
    if not (folder / RECORD_NAME).is_file():
        return []
    return allowing(fetched_by_run(read_record(folder).config))


def unlabelled_pictures(folder: Path) -> str | None:
    """Return where the pictures of a run lie that have no labels; None where they have some.

    Args:
        folder: of the run.
    """
    if not (folder / RECORD_NAME).is_file():
        return None
    if read_record(folder).data.val_images:
        return None
    # Of the settings: a record keeps of a path on this machine its last part alone.
    return str(some_settings(folder, {"data": OBJECT})["data"]["root"])
