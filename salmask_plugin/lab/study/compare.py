"""``salmask compare``: rows x seeds -> finished runs -> one table and one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.tasks import check_tasks, is_done, requested_tasks
from salmask_plugin.lab.results.store import RECORD_NAME, RecordError, read_record
from salmask_plugin.lab.runs.folder import begun_with, below_out, keep_settings, run_folder
from salmask_plugin.lab.runs.progress import check_length
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.settings.allowed_targets import (
    Trust,
    allowing,
    fetches,
    flags_for_children,
)
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.departures import departures_from_paper
from salmask_plugin.lab.settings.paper_values import left_out_rows
from salmask_plugin.lab.settings.processes import asked_processes
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.settings.shorthand import check_data_is_named, in_full
from salmask_plugin.lab.settings.study_rows import (
    EXPERIMENT,
    check_plan,
    row_of,
    row_settings,
    study_name,
    without_identity,
)
from salmask_plugin.lab.settings.unused import refuse_unused_by_all
from salmask_plugin.lab.study.on_slurm import Launched, check_launcher, run_on_slurm
from salmask_plugin.lab.study.report_folder import Written, report_folder
from salmask_plugin.lab.study.side_by_side import Job, run_jobs


@dataclass(frozen=True)
class Row:
    """One run of the comparison.

    Attributes:
        name: of the row, with the seed.
        settings: composed.
        arguments: for ``salmask pretrain``.
    """

    name: str
    settings: Settings
    arguments: list[str]

    @property
    def folder(self) -> Path:
        """Where the run goes."""
        return run_folder(self.settings)


@dataclass(frozen=True)
class Compared:
    """What a comparison came to.

    Attributes:
        report: of all runs that are finished; None while there is none.
        runs: how many there should be.
        failed: names of those that failed; the same call runs them again.
        going: names of those that are in the queue or run, where they are not waited for.
    """

    report: Written | None
    runs: int
    failed: list[str]
    going: list[str]


def run_comparison(
    overrides: Sequence[str] = (), *, config_dir: str | None = None, trust: Trust = False
) -> Compared:
    """Run what is not finished yet, then write the report.

    Raises:
        UserError: before any run starts, if a row does not compose, or its folder holds a run with
            other settings.
    """
    check_data_is_named(overrides, config_dir=config_dir)
    settings = compose_settings(overrides, config_dir=config_dir, trust=trust)
    rows = plan_rows(settings, overrides, config_dir=config_dir, trust=trust)
    check_launcher(settings.compare, {row.name: row.settings.trainer for row in rows})
    for row in rows:
        begun_with(row.folder, row.settings)  # what is finished, too, must be of these settings
    study = below_out(settings, study_name(settings))
    print(f"{len(rows)} runs in {study}:")
    for row in rows:
        print(f"  {'finished' if is_finished(row) else 'to do   '}  {row.name}")
    if settings.compare.duration:
        print(f"All of them take {settings.compare.duration}.")
    said = [*settings.compare.notes]
    said += left_out_rows(settings.compare.rows, settings.compare.left_out)
    print("\n".join([*said, *_departures(rows)]))
    include = [Path(place) for place in settings.compare.include]
    for place in include:
        if not place.is_dir():
            raise UserError(f"compare.include: {place} is not a folder.")
    todo = [row for row in rows if not is_finished(row)]
    for row in todo:
        check_length(row.settings.trainer)
        if settings.compare.launcher == "here":  # where jobs are submitted, no GPU need be
            check_trainer(row.settings)
        check_tasks(row.settings)
    by_name = {row.name: row for row in rows}
    jobs = _jobs(todo, config_dir=config_dir, trust=trust)
    if settings.compare.launcher == "slurm":
        launched = run_on_slurm(
            jobs,
            settings.compare.slurm,
            study,
            wait=settings.compare.wait,
            finished=lambda job: is_finished(by_name[job.name]),
            settle=lambda job, going: _settle(by_name[job.name], going=going),
        )
    else:
        launched = Launched(run_jobs(jobs, parallel=settings.compare.parallel), [])
    left = launched.going or launched.failed
    if left and not include and not any(is_finished(row) for row in rows):
        return Compared(None, len(rows), launched.failed, launched.going)
    written = report_folder(
        study,
        title=f"Comparison {study.name}",
        baseline=settings.compare.baseline or "",
        notes=tuple(settings.compare.notes),
        include=include,
    )
    return Compared(written, len(rows), launched.failed, launched.going)


def _departures(rows: Sequence[Row]) -> list[str]:
    """Say once what all rows depart from the paper in, then what one of them alone does."""
    found = {row.name: departures_from_paper(row.settings) for row in rows}
    shared = [
        line for line in next(iter(found.values())) if all(line in own for own in found.values())
    ]
    lines = ["Departures from the paper's setting, of all rows:"] if shared else []
    lines += [f"  - {line}" for line in shared]
    seen: set[str] = set()
    for name, own in found.items():
        recipe = name.rpartition(", seed ")[0]
        if recipe not in seen and (more := [line for line in own if line not in shared]):
            lines.append(f"{recipe} as well: {'; '.join(more)}")
        seen.add(recipe)
    return lines or ["All rows have the paper's setting."]


def plan_rows(
    settings: Settings,
    overrides: Sequence[str],
    *,
    config_dir: str | None = None,
    trust: Trust = False,
) -> list[Row]:
    """Compose every row with every seed.

    Raises:
        UserError: naming the row that does not compose or is left out, a baseline that is no row,
            a planned comparison of one, or a row or seed that is named twice.
    """
    wanted = settings.compare
    if wanted.row is not None:
        raise UserError(
            f"row {wanted.row} alone is no comparison: `salmask pretrain --evaluate` runs it, "
            f"and `salmask compare {EXPERIMENT}{settings.choices['experiment']}` then counts it."
        )
    if wanted.baseline is not None and wanted.baseline not in wanted.rows:
        raise UserError(
            f"compare.baseline={wanted.baseline!r} is none of the rows: {', '.join(wanted.rows)}."
        )
    check_plan(settings)
    chosen = wanted.only
    if chosen is None:
        chosen = [name for name in wanted.rows if name not in wanted.left_out]
    for name in chosen:
        try:
            row_of(settings, name)
        except UserError as error:
            raise UserError(f"compare.only: {error}") from error
    if not wanted.seeds or not chosen:
        raise UserError("compare.seeds and the rows must not be empty.")
    for key, named in (("seeds", wanted.seeds), ("only", chosen)):
        if len(set(named)) < len(named):
            raise UserError(f"compare.{key}={named} names one twice: both would be the same run.")
    rows = []
    given = without_identity(overrides)
    for seed in wanted.seeds:
        for name in chosen:
            label = f"{name}, seed {seed}"
            arguments = [*given, *row_settings(settings, name, seed)]
            try:
                composed = compose_settings(arguments, config_dir=config_dir, trust=trust)
            except UserError as error:
                raise UserError(f"row {label}: {error}") from error
            rows.append(Row(label, composed, arguments))
    refuse_unused_by_all([row.settings for row in rows], in_full(given, "run"))
    return rows


def _settle(row: Row, *, going: bool) -> None:
    """Keep a run's settings before it waits in a queue, or refuse those of another that does.

    Raises:
        UserError: if the folder's run has other settings.
    """
    if going:
        begun_with(row.folder, row.settings, going=True)
    else:
        keep_settings(row.folder, row.settings)


def is_finished(row: Row) -> bool:
    """Whether the row is pretrained, and evaluated as its settings ask for now."""
    if not (row.folder / RECORD_NAME).is_file():
        return False
    try:
        record = read_record(row.folder)
    except RecordError:
        return False
    return record.status in ("finished", "stopped") and all(
        is_done(record, task) for task in requested_tasks(row.settings)
    )


def _jobs(rows: list[Row], *, config_dir: str | None, trust: Trust) -> list[Job]:
    """What has to be run, a job a row."""
    flags = flags_for_children(trust)
    flags += ["--config-dir", config_dir] if config_dir else []
    jobs = []
    for row in rows:
        # The run folder holds what was composed here: what it fetches, the user has asked for.
        own = allowing(fetches(row.settings.values))
        commands = [
            ["pretrain", *flags, *row.arguments],
            ["evaluate", "--only-missing", *flags, *own, str(row.folder)],
        ]
        if asked_processes(row.settings.trainer) == 1:
            # One process serves both: the second interpreter start is saved.
            commands = [["pretrain", "--evaluate", *flags, *row.arguments]]
        jobs.append(Job(row.name, commands, row.folder))
    return jobs
