"""``salmask compare``: rows x seeds -> finished runs -> one table and one report."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.cli.config import Settings, compose_settings
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.refusals import check_trainer
from salmask_plugin.cli.report import report_folder
from salmask_plugin.cli.reported import left_out_rows
from salmask_plugin.cli.runs import run_folder
from salmask_plugin.cli.study import EXPERIMENT, IDENTITY, row_of, row_settings, study_name
from salmask_plugin.cli.tasks import check_tasks, is_done, wanted_tasks
from salmask_plugin.results.store import RECORD_NAME, RecordError, read_record


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


def run(options: argparse.Namespace) -> None:
    """Run what is not finished yet, then print the table and write the report.

    Raises:
        UserError: before any run starts, if a row does not compose; after all runs, if one failed.
    """
    settings = compose_settings(
        options.overrides, config_dir=options.config_dir, trust=options.trust
    )
    rows = plan_rows(settings, options)
    study = Path(settings["out"]) / study_name(settings)
    print(f"{len(rows)} runs in {study}:")
    for row in rows:
        print(f"  {'finished' if is_finished(row) else 'to do   '}  {row.name}")
    if settings["compare"]["duration"]:
        print(f"All of them take {settings['compare']['duration']}.")
    for note in (*settings["compare"]["notes"], *left_out_rows(settings["compare"])):
        print(note)
    include = [Path(place) for place in settings["compare"]["include"]]
    for place in include:
        if not place.is_dir():
            raise UserError(f"compare.include: {place} is not a folder.")
    for row in rows:
        if not is_finished(row):
            check_trainer(row.settings)
            check_tasks(row.settings)
    failed = _run_rows(rows, options)
    written = report_folder(
        study,
        title=f"Comparison {study.name}",
        baseline=settings["compare"]["baseline"],
        notes=tuple(settings["compare"]["notes"]),
        include=include,
    )
    print("\n" + written.table)
    print(f"\nReport: {written.html}\n        {written.markdown}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(rows)} runs failed: {', '.join(failed)}. The others are in the "
            "report; the same command runs the failed ones again."
        )


def plan_rows(settings: Settings, options: argparse.Namespace) -> list[Row]:
    """Compose every row with every seed.

    Raises:
        UserError: naming the row that does not compose or is left out, or a baseline that is no
            row.
    """
    wanted = settings["compare"]
    if wanted["row"] is not None:
        raise UserError(
            f"row {wanted['row']} alone is no comparison: `salmask pretrain --evaluate` runs it, "
            f"and `salmask compare {EXPERIMENT}{settings.choices['experiment']}` then counts it."
        )
    if wanted["baseline"] is not None and wanted["baseline"] not in wanted["rows"]:
        raise UserError(
            f"compare.baseline={wanted['baseline']!r} is none of the rows: "
            f"{', '.join(wanted['rows'])}."
        )
    chosen = wanted["only"]
    if chosen is None:
        chosen = [name for name in wanted["rows"] if name not in wanted["left_out"]]
    for name in chosen:
        try:
            row_of(settings, name)
        except UserError as error:
            raise UserError(f"compare.only: {error}") from error
    if not wanted["seeds"] or not chosen:
        raise UserError("compare.seeds and the rows must not be empty.")
    rows = []
    given = [text for text in options.overrides if not text.startswith(IDENTITY)]
    for seed in wanted["seeds"]:
        for name in chosen:
            label = f"{name}, seed {seed}"
            arguments = [*given, *row_settings(settings, name, seed)]
            try:
                composed = compose_settings(
                    arguments, config_dir=options.config_dir, trust=options.trust
                )
            except UserError as error:
                raise UserError(f"row {label}: {error}") from error
            rows.append(Row(label, composed, arguments))
    return rows


def is_finished(row: Row) -> bool:
    """Whether the row is pretrained, and evaluated as its settings ask for now."""
    if not (row.folder / RECORD_NAME).is_file():
        return False
    try:
        record = read_record(row.folder)
    except RecordError:
        return False
    return record.status == "finished" and all(
        is_done(record, task) for task in wanted_tasks(row.settings)
    )


def _run_rows(rows: list[Row], options: argparse.Namespace) -> list[str]:
    todo = [row for row in rows if not is_finished(row)]
    # Waiting threads that spin take the cores from loader workers; on two cores that halves the
    # speed. It must be said before torch is imported, hence here, for the children.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    failed = []
    started = time.perf_counter()
    for index, row in enumerate(todo):
        print(f"\n=== {row.name} ({index + 1} of {len(todo)}){_left(started, index, len(todo))}")
        sys.stdout.flush()
        flags = ["--trust"] if options.trust else []
        flags += ["--config-dir", options.config_dir] if options.config_dir else []
        commands = [
            ["pretrain", *flags, *row.arguments],
            ["evaluate", "--only-missing", *flags, str(row.folder)],
        ]
        if row.settings["trainer"]["devices"] == 1 and row.settings["trainer"]["num_nodes"] == 1:
            # One process serves both: the second interpreter start is saved.
            commands = [["pretrain", "--evaluate", *flags, *row.arguments]]
        for command in commands:
            code = _run(command, environment)
            if code == 130:
                raise KeyboardInterrupt
            if code != 0:
                failed.append(row.name)
                print(f"salmask: {row.name} failed with exit code {code}", file=sys.stderr)
                break
    return failed


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run one of our commands in a process of its own; return its exit code.

    SIGTERM, a scheduler's way to end a job, is handed on: a run left behind would write into its
    folder beside the one that the same command starts later.
    """
    terminated = []
    with subprocess.Popen(
        [sys.executable, "-m", "salmask_plugin.cli", *command], env=environment
    ) as process:

        def hand_on(number: int, frame: object) -> None:
            terminated.append(number)
            process.terminate()

        previous = signal.signal(signal.SIGTERM, hand_on)
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)
    if terminated:
        print("\nsalmask: interrupted; what was finished is kept.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM)
    return code


def _left(started: float, done: int, total: int) -> str:
    if done == 0:
        return ""
    minutes = (time.perf_counter() - started) / done * (total - done) / 60
    return f", about {minutes:.0f} min left"
