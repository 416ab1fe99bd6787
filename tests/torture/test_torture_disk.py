"""A log that cannot be written, a file in a folder's place, a full disk: said, and survived."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
import torture_runs as runs

from salmask_plugin.lab.results import DataSet, RunRecord, read_record, write_record
from salmask_plugin.lab.results.report_files import write_report
from salmask_plugin.lab.runs.metrics_log import MetricsLog, read_rows

ROWS = [{"epoch": step // 2, "train_loss": 1 / (step + 3), "mask_ratio": 0.25} for step in range(6)]


def written(folder, rows=ROWS, first=0):
    log = MetricsLog(folder)
    for step, row in enumerate(rows[first:], start=first):
        log.log_metrics(row, step)
    return log.path.read_bytes()


@pytest.fixture
def straight(tmp_path):
    return written(tmp_path / "straight")


def test_the_log_holds_what_was_logged(straight, tmp_path):
    rows = read_rows(tmp_path / "straight" / "metrics.csv")
    assert [float(row["train_loss"]) for row in rows] == [row["train_loss"] for row in ROWS]
    assert straight.decode().splitlines()[:2] == [
        "epoch,mask_ratio,step,train_loss",
        f"0,0.25,0,{1 / 3}",
    ]


@pytest.mark.parametrize("resumed_at", range(6))
@pytest.mark.parametrize("cut", [0, 3, 17])
def test_a_killed_log_goes_on_as_if_nothing_had_happened(
    tmp_path, straight, resumed_at, cut, tried
):
    """The process dies four rows in, its last line unfinished, and resumes at an earlier step."""
    path = tmp_path / "log" / "metrics.csv"
    content = written(tmp_path / "log", ROWS[: max(resumed_at + 1, 5)])
    path.write_bytes(content[: len(content) - cut] if resumed_at < 5 else content)
    assert written(tmp_path / "log", first=resumed_at) == straight
    tried("log of a killed run")


def test_new_columns_keep_the_earlier_rows(tmp_path):
    log = MetricsLog(tmp_path)
    log.log_metrics({"epoch": 0, "a": 1.5}, 0)
    log.log_metrics({"epoch": 0, "b": 2.5}, 0)
    log.log_metrics({"epoch": 1, "a": 3.5}, 1)
    assert log.path.read_text() == "a,b,epoch,step\n1.5,,0,0\n,2.5,0,0\n3.5,,1,1\n"


def test_a_lost_log_folder_is_made_again(tmp_path, tried):
    log = MetricsLog(tmp_path / "metrics")
    log.log_metrics(ROWS[0], 0)
    shutil.rmtree(tmp_path / "metrics")
    log.log_metrics(ROWS[1], 1)
    assert [row["step"] for row in read_rows(log.path)] == ["1"]
    tried("lost log folder")


def test_a_log_that_cannot_be_written_is_told_once_and_goes_on_later(tmp_path, monkeypatch, tried):
    log = MetricsLog(tmp_path / "metrics")
    log.log_metrics(ROWS[0], 0)
    shutil.rmtree(tmp_path / "metrics")
    (tmp_path / "metrics").write_text("a file in the folder's place")
    with pytest.warns(UserWarning, match=r"metrics\.csv cannot be written"):
        log.log_metrics(ROWS[1], 1)
    log.log_metrics(ROWS[2], 2)  # a second warning would be an error here
    (tmp_path / "metrics").unlink()
    log.log_metrics(ROWS[3], 3)
    assert [row["step"] for row in read_rows(log.path)] == ["3"]
    tried("file in the log folder's place", 2)


def test_a_disk_that_takes_half_a_row_leaves_no_wrong_row(tmp_path, monkeypatch, tried):
    log = MetricsLog(tmp_path)
    log.log_metrics(ROWS[0], 0)
    log.log_metrics(ROWS[1], 1)
    sound = log.path.read_bytes()
    for length in range(1, 12):
        log.path.write_bytes(sound + b"1,0.25,2,0.19999"[:length])
        log._columns = None  # what the failed write leaves behind
        log.log_metrics(ROWS[2], 2)
        assert log.path.read_bytes() == written(tmp_path / "straight", ROWS[:3])
    tried("disk full while a row is logged", 11)


def record(name="one"):
    data = DataSet("set", 8, 8, 2, 32)
    return RunRecord(name, "lightly", "mocov2", "none", 0, data, "resnet18", 1, 2)


def test_a_report_that_cannot_be_written_leaves_the_records_and_the_old_report(
    tmp_path, monkeypatch, tried
):
    write_record(tmp_path / "run", record())
    old = write_report(tmp_path / "report", [record()]).html.read_bytes()
    replace, calls = Path.replace, []

    def full(self, target):
        calls.append(target)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(tmp_path / "report", [record(), record("two")])
    monkeypatch.undo()
    html = (tmp_path / "report" / "report.html").read_bytes()
    assert html == old or html.rstrip().endswith(b"</html>")
    assert not list((tmp_path / "report").glob(".*.tmp"))
    assert read_record(tmp_path / "run") == record()
    tried("disk full while a report is written")


# Executed in the run's own process, before the command.
FULL = """
import errno, os
from pathlib import Path
import torch
save, count = torch.save, []
def full(content, file):
    count.append(1)
    if len(count) == 3:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    save(content, file)
torch.save = full
"""


@pytest.mark.torture
def test_a_run_whose_disk_fills_up_says_where_it_goes_on(tmp_path, tried):
    straight = runs.pretrain(tmp_path / "straight")
    assert straight.returncode == 0, straight.stderr
    full = runs.pretrain(tmp_path / "out", script=runs.faulty(tmp_path, FULL))
    assert full.returncode == 1
    assert "epoch-0002.ckpt cannot be written: [Errno 28] No space left on device" in full.stderr
    assert "epoch-0001.ckpt; the same command goes on from there" in full.stderr
    assert "Traceback" not in full.stderr
    folder = tmp_path / "out" / "run"
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["epoch-0000.ckpt", "epoch-0001.ckpt"]
    assert not (folder / "record.json").exists()
    resumed = runs.pretrain(tmp_path / "out")
    assert resumed.returncode == 0, resumed.stderr
    assert runs.fingerprint(folder) == runs.fingerprint(tmp_path / "straight" / "run")
    tried("disk full while a checkpoint is written")


@pytest.mark.torture
def test_a_run_without_its_log_folder_trains_on(tmp_path, tried):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics").write_text("a file in the folder's place")
    done = runs.pretrain(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("metrics.csv cannot be written") == 1
    assert len(read_record(tmp_path / "run").history["loss"]) == 4
    tried("file in the log folder's place")


@pytest.mark.torture
def test_a_run_whose_folder_cannot_be_made_is_refused_at_once(tmp_path, tried):
    (tmp_path / "out").write_text("a file")
    done = runs.pretrain(tmp_path / "out")
    assert done.returncode in (1, 2)
    assert str(tmp_path / "out") in done.stderr
    assert "Traceback" not in done.stderr
    tried("file in the run folder's place")
