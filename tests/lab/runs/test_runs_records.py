"""Several commands write one record, and no result is lost."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

from salmask_plugin.lab.probes.evaluate import keep_result
from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord, read_record, write_record
from salmask_plugin.lab.runs import folder_lock
from salmask_plugin.lab.runs.folder_lock import RECORD_LOCK
from salmask_plugin.lab.runs.recording import change_record, with_results


@pytest.fixture
def record(tmp_path):
    data = DataSet("generated", 8, 8, 2, 32)
    written = RunRecord("run", "lightly", "mocov2", "mean", 0, data, "resnet18", 1, 8)
    write_record(tmp_path, written)
    return written


def result(value):
    return Evaluation({"top1": value}, seconds=1.0)


def test_a_result_joins_those_of_other_commands(record, tmp_path):
    """Depth ends while an evaluation computes, whose record in memory is the older one."""
    keep_result(tmp_path, record, "depth", result(0.25))
    after = keep_result(tmp_path, record, "knn", result(0.5))
    assert set(read_record(tmp_path).evaluations) == {"depth", "knn"}
    assert after == read_record(tmp_path)
    assert after.timing.evaluation_seconds == 2.0


def test_changes_at_the_same_time_are_made_one_after_the_other(record, tmp_path):
    def add(name):
        def change(there):
            time.sleep(0.01)
            return with_results(there, {name: result(0.5)})

        change_record(tmp_path, change)

    names = [f"task{index}" for index in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, names))
    assert set(read_record(tmp_path).evaluations) == set(names)


def test_a_result_is_not_given_up_for_a_lock(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folder_lock, "RECORD_PATIENCE", 0.05)
    with FileLock(tmp_path / RECORD_LOCK):
        keep_result(tmp_path, record, "knn", result(0.5))
    assert "is changed without its lock" in capsys.readouterr().out
    assert set(read_record(tmp_path).evaluations) == {"knn"}


def test_the_first_result_of_a_foreign_checkpoint_makes_the_record(record, tmp_path):
    keep_result(tmp_path / "new", record, "knn", result(0.5))
    assert set(read_record(tmp_path / "new").evaluations) == {"knn"}
