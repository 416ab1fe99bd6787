"""When is a row finished? When the evaluations that are asked for now are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import evaluate
from salmask_plugin.lab.probes.tasks import requested_tasks
from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord, read_record, write_record
from salmask_plugin.lab.results.store import shortened
from salmask_plugin.lab.runs.folder import keep_settings, read_settings
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.study.compare import is_finished, plan_rows, run_comparison

SECOND = ["+data@evaluation.data.other=generated", "evaluation.tasks=[knn,other/linear]"]


def row_of(tmp_path, *more):
    overrides = ["data=generated", "localizer=uniform", "compare.only=[mean]", f"out={tmp_path}"]
    overrides += ["name=study", *more]
    (row,) = plan_rows(compose_settings(overrides), overrides)
    return row


def record(row, *, settings_kept=True):
    """The record that a finished run of this row leaves."""
    results = {
        task.name: Evaluation(
            {"top1": 0.5}, settings=shortened(task.asked) if settings_kept else {}
        )
        for task in requested_tasks(row.settings)
    }
    written = RunRecord(
        name="x",
        host="lightly",
        method="mocov2",
        recipe="mean",
        seed=0,
        data=DataSet("generated", 8, 8, 2, 32),
        backbone="resnet50",
        epochs=1,
        batch_size=8,
        evaluations=results,
        config=dict(row.settings.values),
    )
    write_record(row.folder, written)
    return written


def test_a_changed_evaluation_is_not_skipped(tmp_path):
    row = row_of(tmp_path)
    assert not is_finished(row)
    record(row)
    assert is_finished(row)
    assert is_finished(row_of(tmp_path, "loader.workers=1"))
    for change in (
        "evaluation.knn.k=7",
        "evaluation.linear.epochs=3",
        "evaluation.reestimate_batch_norm=true",
        "evaluation.tasks=[knn,linear,finetune]",
    ):
        assert not is_finished(row_of(tmp_path, change)), change
    assert is_finished(row_of(tmp_path, "evaluation.tasks=[linear]", "evaluation.knn.k=7"))


def test_an_unfinished_or_damaged_record_is_not_skipped(tmp_path):
    row = row_of(tmp_path)
    write_record(row.folder, replace(record(row), status="failed"))
    assert not is_finished(row)
    (row.folder / "record.json").write_text("{")
    assert not is_finished(row)


def test_a_run_that_was_stopped_as_asked_is_done(tmp_path):
    row = row_of(tmp_path)
    write_record(row.folder, replace(record(row), status="stopped"))
    assert is_finished(row)


def test_the_data_of_a_transfer_belong_to_what_is_asked(tmp_path):
    row = row_of(tmp_path, *SECOND)
    assert [task.name for task in requested_tasks(row.settings)] == ["knn", "other/linear"]
    record(row)
    assert is_finished(row_of(tmp_path, *SECOND))
    assert not is_finished(row_of(tmp_path, *SECOND, "evaluation.data.other.classes=3"))
    # The run's own data make another run, which keep_settings refuses; not another evaluation.
    assert is_finished(row_of(tmp_path, *SECOND, "data.train_images=999"))


def test_a_task_needs_settings_a_kind_and_its_data(tmp_path):
    with pytest.raises(UserError, match=r"'top' has no settings evaluation\.top; there are"):
        is_finished_after_record(tmp_path, "evaluation.tasks=[top]")
    with pytest.raises(UserError, match=r"needs a data set evaluation\.data\.voc; there are none"):
        is_finished_after_record(tmp_path, "evaluation.tasks=[voc/linear]")


def is_finished_after_record(tmp_path, override):
    record(row_of(tmp_path))
    return is_finished(row_of(tmp_path, override))


def test_a_run_keeps_the_newest_evaluation_settings(tmp_path):
    keep_settings(tmp_path, row_of(tmp_path).settings)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").write_bytes(b"damaged, and still work")
    keep_settings(tmp_path, row_of(tmp_path, "evaluation.knn.k=7").settings)
    assert read_settings(tmp_path)["evaluation"]["knn"]["k"] == 7
    with pytest.raises(UserError, match="other settings"):
        keep_settings(tmp_path, row_of(tmp_path, "view_size=32").settings)


def test_of_many_other_settings_an_error_names_the_first(tmp_path):
    keep_settings(tmp_path, row_of(tmp_path).settings)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").write_bytes(b"damaged, and still work")
    other = ("method=simclr", "masking=blur", "backbone=resnet50")
    with pytest.raises(UserError, match=r"learning_rate.*and \d+ more\)\. Choose") as error:
        keep_settings(tmp_path, row_of(tmp_path, *other).settings)
    assert len(str(error.value).removeprefix(str(tmp_path))) < 700


def test_finished_runs_of_other_settings_are_no_rows_of_the_comparison(tmp_path):
    row = row_of(tmp_path)
    keep_settings(row.folder, row.settings)
    record(row)
    overrides = ["data=generated", "localizer=uniform", "compare.only=[mean]", f"out={tmp_path}"]
    changed = [*overrides, "name=study", "method.learning_rate=0.5"]
    assert row_of(tmp_path, changed[-1]).folder == row.folder
    with pytest.raises(
        UserError, match=r"other settings \(method\.learning_rate: 0\.015 there, 0\.5"
    ):
        run_comparison(changed)


def test_a_run_that_has_begun_keeps_the_plan_it_began_with(tmp_path):
    plan = "+compare.plan.p={row: mean, against: none, measure: linear/top1_last}"
    begun = row_of(tmp_path).settings
    assert keep_settings(tmp_path, begun).values == begun.values
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").write_bytes(b"damaged, and still work")
    later = row_of(tmp_path, plan, "compare.gate=3", "loader.workers=1").settings
    assert later.values["compare"]["plan"]
    kept = keep_settings(tmp_path, later)
    assert kept.values["compare"]["plan"] == {}
    assert kept.values["compare"]["gate"] == 3  # by which the report is read, not the run
    assert kept.loader.workers == 1
    assert read_settings(tmp_path).values == kept.values
    # Before anything has come of it, a plan may be fixed.
    other = tmp_path / "other"
    other.mkdir()
    keep_settings(other, begun)
    assert keep_settings(other, later).values["compare"]["plan"]


@pytest.mark.parametrize("work", ["record.json", "result.json", "checkpoints/epoch-0000.ckpt"])
def test_settings_that_nothing_has_come_of_are_replaced(tmp_path, work):
    """A start that failed, at a mistyped folder of images or before the first checkpoint."""
    mistyped = row_of(tmp_path, "view_size=96").settings
    corrected = row_of(tmp_path, "view_size=32").settings
    keep_settings(tmp_path, mistyped)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "metrics.csv").write_text("step\n0\n")
    keep_settings(tmp_path, corrected)
    assert read_settings(tmp_path)["view_size"] == 32
    (tmp_path / work).parent.mkdir(exist_ok=True)
    (tmp_path / work).write_text("{}")
    with pytest.raises(UserError, match="view_size: 32 there, 96 here"):
        keep_settings(tmp_path, mistyped)


def test_evaluate_redoes_what_compare_calls_unfinished(tmp_path, monkeypatch):
    record(row_of(tmp_path))
    changed = row_of(tmp_path, "evaluation.linear.epochs=3")
    done = []

    def evaluated(task, backbone, shared):
        done.append(task.name)
        return Evaluation({"top1": 0.25}, settings=shortened(task.asked))

    monkeypatch.setattr(evaluate, "evaluated", evaluated)
    monkeypatch.setattr(evaluate, "check_tasks", lambda settings: None)
    monkeypatch.setattr(evaluate, "_prepared", lambda settings, folder: (None, {}))
    monkeypatch.setattr(evaluate, "_own_classifier", lambda settings, folder: None)
    monkeypatch.setattr(evaluate, "_show", lambda settings, folder, record: None)
    evaluate.evaluate(changed.settings, changed.folder, only_missing=True)
    assert done == ["linear"]
    assert is_finished(changed)
    written = read_record(changed.folder)
    assert written.config["evaluation"]["linear"]["epochs"] == 3
    assert written.evaluations["knn"].metrics["top1"] == 0.5


def test_a_result_that_does_not_say_what_was_asked_is_done_again(tmp_path):
    """Its run's configuration says what was asked last, by whichever command."""
    row = row_of(tmp_path)
    record(row, settings_kept=False)
    assert not is_finished(row)
