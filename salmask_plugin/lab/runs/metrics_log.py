"""The run's ``metrics.csv``: one file through all resumes, and no reason to stop a run."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.lab.results.store import write_atomically

METRICS_NAME = "metrics.csv"


class MetricsLog(Logger):
    """Write what a step logs as one row, at once, behind the rows of the run so far.

    Lightning's own logger deletes an earlier file, so a resumed run would lose its past, and keeps
    rows in memory, so a killed one would too. Here a resumed run drops the rows it is about to
    compute again and appends: the file ends as if nothing had happened. A disk that refuses is
    said once, in a warning; the training goes on, and the file with it where it can.

    Args:
        folder: that holds the file; made when the first row is written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / METRICS_NAME
        self._columns: list[str] | None = None
        self._warned = False

    @property
    def name(self) -> str:
        """Of the log's folder."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """One log per run, hence none."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent.parent)

    @property
    def log_dir(self) -> str:
        """The folder of the file."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: settings.json has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row; the first one of a process replaces the rows from its step on.

        Args:
            metrics: name -> scalar.
            step: batches before this one.
        """
        if step is None:
            raise ValueError("step=None: a row of the log needs its step.")
        row = {name: str(float(value)) for name, value in metrics.items() if name != "epoch"}
        row |= {"epoch": str(int(metrics["epoch"]))} if "epoch" in metrics else {}
        row["step"] = str(step)
        try:
            self._add(row, step)
        except OSError as error:
            # Half a line may stand at the end: the next row starts from what can be read.
            self._columns = None
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{self.path} cannot be written ({error}): rows of the log are lost until it "
                    "can. Training goes on; the record and the checkpoints do not need it.",
                    stacklevel=2,
                )

    def _add(self, row: dict[str, str], step: int) -> None:
        known = self._columns is not None and set(row) <= set(self._columns)
        if known and self.path.is_file():
            assert self._columns is not None
            with self.path.open("a", newline="") as file:
                file.write(_line([row.get(name, "") for name in self._columns]))
            return
        # A row is at its step once; later rows of this process have later steps, or new columns.
        fresh = self._columns is None
        rows = [
            old
            for old in read_rows(self.path)
            if int(old["step"]) < step or (not fresh and int(old["step"]) == step)
        ]
        rows.append(row)
        columns = sorted({name for kept in rows for name in kept})
        lines = [_line(columns)]
        lines += [_line([kept.get(name, "") for name in columns]) for kept in rows]
        write_atomically(self.path, "".join(lines).encode())
        self._columns = columns


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a log, by column; none if there is no file.

    What a kill has left unfinished is passed over: a last line without its end, or one whose
    number of values is not the header's.
    """
    if not path.is_file():
        return []
    lines = path.read_text(errors="replace").split("\n")[:-1]
    if not lines:
        return []
    header, *rows = list(csv.reader(lines))
    whole = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    return [
        {name: value for name, value in row.items() if value}
        for row in whole
        if row.get("step", "").isdigit()
    ]


def _line(values: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
