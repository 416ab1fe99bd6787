# ruff: noqa: RUF001 - the dash of the tables is an en dash
import csv
import io
import math
import re
import statistics
from dataclasses import replace

import numpy as np
import pytest

from salmask_plugin.lab.results import (
    DataSet,
    Evaluation,
    compare,
    to_csv,
    to_dicts,
    to_latex,
    to_markdown,
)
from salmask_plugin.lab.results.statistics import difference, summarize

NONE = (0.40, 0.46, 0.41)
MEAN = (0.43, 0.48, 0.45)


@pytest.fixture
def study(make_record):
    baseline = [make_record("none", seed, value) for seed, value in enumerate(NONE)]
    return baseline + [make_record("mean", seed, value) for seed, value in enumerate(MEAN)]


def _only(comparison):
    (table,) = comparison.tables
    return table


def test_mean_and_sample_spread_agree_with_the_standard_library(study):
    table = _only(compare(study))
    (column,) = table.columns
    none, mean = (row.results[column] for row in table.rows)
    assert none.mean == pytest.approx(statistics.mean(NONE))
    assert none.spread == pytest.approx(statistics.stdev(NONE))
    assert (mean.count, mean.spread) == (3, pytest.approx(statistics.stdev(MEAN)))


def test_differences_are_paired_by_seed_whatever_the_order(study):
    table = _only(compare(study[::-1]))
    row = next(row for row in table.rows if not row.is_baseline)
    (found,) = row.differences.values()
    pairs = [0.03, 0.02, 0.04]
    assert found.pairs == pytest.approx(pairs)
    assert found.mean == pytest.approx(0.03)
    assert found.spread == pytest.approx(statistics.stdev(pairs))
    # Far below what the spreads of the two rows would suggest: that is what pairing is for.
    assert found.spread < 0.5 * statistics.stdev(NONE)


def test_only_common_seeds_are_paired():
    found = difference({1: 5.0, 2: 7.0, 9: 100.0}, {2: 6.0, 1: 1.0, 4: -100.0})
    assert found.pairs == (4.0, 1.0)
    assert (found.mean, found.spread) == (2.5, pytest.approx(math.sqrt(4.5)))


def test_without_common_seeds_there_is_a_difference_of_means_and_no_spread(make_record):
    records = [
        make_record("none", 0, 0.2),
        make_record("mean", 1, 0.5),
        make_record("mean", 2, 0.3),
    ]
    comparison = compare(records)
    text = to_markdown(comparison)
    assert "+20.00 †" in text
    assert "shares no seed" in text


@pytest.mark.parametrize("count", [1, 2, 5])
def test_summary_against_numpy(count):
    values = list(np.random.default_rng(count).normal(size=count))
    found = summarize(values)
    assert found.mean == pytest.approx(np.mean(values))
    if count == 1:
        assert found.spread is None
    else:
        assert found.spread == pytest.approx(np.sqrt(np.var(values) * count / (count - 1)))


def test_a_summary_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="values is empty"):
        summarize([])


def test_one_seed_prints_a_dash_and_no_zero(make_record):
    text = to_markdown(compare([make_record("none", 0, 0.4), make_record("mean", 0, 0.5)]))
    row = next(line for line in text.splitlines() if "| mean |" in line)
    assert "50.00 (SD –)" in row
    assert "+10.00 ± –" in row
    assert "± 0" not in text


def test_the_table_reads_as_documented(study):
    lines = to_markdown(compare(study)).splitlines()
    assert lines[0] == (
        "**cifar10: 2,500 training and 1,000 validation images, 10 classes, 32 px, resnet18, "
        "3 epochs**"
    )
    assert lines[2:] == [
        "| Host | Method | Recipe | Localizer | Seeds | kNN top-1 (%) | vs baseline (± 95 %) "
        "| Pretraining (min) | Time ratio |",
        "| :-- | :-- | :-- | :-- | --: | --: | --: | --: | --: |",
        "| lightly | mocov2 | none | – | 3 | 42.33 (SD 3.21) | – | 2.0 (SD 0.0) | – |",
        "| lightly | mocov2 | mean | scda | 3 | 45.33 (SD 2.52) | +3.00 ± 2.48 | 2.0 (SD 0.0) "
        "| 1.00 |",
    ]


def test_time_is_in_minutes_and_relative_to_the_baseline(make_record):
    base = make_record("none")
    slow = replace(base.timing, pretrain_seconds=180.0)
    table = _only(compare([base, make_record("mean", timing=slow)]))
    assert [row.minutes.mean for row in table.rows] == [2.0, 3.0]
    assert [row.time_ratio for row in table.rows] == [None, 1.5]


def test_times_of_different_machines_have_no_ratio(make_record):
    base = make_record("none")
    other = replace(base.environment, cpu="Another CPU")
    table = _only(compare([base, make_record("mean", environment=other)]))
    assert table.rows[1].time_ratio is None
    assert any("different machines" in note for note in table.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 200},
        {"backbone": "resnet50"},
        {"data": DataSet("cifar10", 5000, 1000, 10, 32)},
        {"data": DataSet("stl10", 2500, 1000, 10, 32)},
    ],
)
def test_other_epochs_images_or_encoders_have_a_table_of_their_own(make_record, changes):
    comparison = compare([make_record("none"), make_record("mean", **changes)])
    assert len(comparison.tables) == 2
    assert all(not row.differences for table in comparison.tables for row in table.rows)
    assert any("do not compare values between tables" in note for note in comparison.notes)


def test_the_same_seed_under_other_conditions_is_no_duplicate(make_record):
    comparison = compare([make_record("none"), make_record("none", epochs=5)])
    assert not any("same setting" in note for note in comparison.notes)


def test_another_protocol_is_another_column_without_a_difference(make_record):
    other = {"knn": Evaluation({"top1": 0.9}, {"k": 200, "temperature": 0.07})}
    table = _only(compare([make_record("none"), make_record("mean", evaluations=other)]))
    assert [column.title for column in table.columns] == [
        "kNN top-1 (%, k=20)",
        "kNN top-1 (%, k=200)",
    ]
    assert not table.rows[1].differences
    assert any("more than one protocol" in note for note in table.notes)


@pytest.mark.parametrize(
    "changes", [{"temperature": 0.1}, {"queue_size": 64}, {"batch_size": 32}, {"optimizer": {}}]
)
def test_a_baseline_trained_otherwise_is_not_compared_with(make_record, changes):
    table = _only(compare([make_record("none", **changes), make_record("mean")]))
    assert not table.rows[1].differences
    assert any("trained unlike its baseline" in note for note in table.notes)


def test_hosts_and_methods_have_their_own_baselines(make_record):
    solo = {"host": "solo-learn"}
    table = _only(
        compare(
            [
                make_record("none", 0, 0.1),
                make_record("mean", 0, 0.2),
                make_record("none", 0, 0.5, method="mocov2plus", **solo),
                make_record("mean", 0, 0.4, method="salmask_mocov2plus", **solo),
                make_record("mean", 0, 0.4, method="simclr"),
            ]
        )
    )
    found = {
        (row.setting.host, row.setting.method): next(iter(row.differences.values())).mean
        for row in table.rows
        if row.differences
    }
    assert found == {
        ("lightly", "mocov2"): pytest.approx(0.1),
        ("solo-learn", "mocov2plus"): pytest.approx(-0.1),
    }
    assert any("lightly simclr has no baseline run" in note for note in table.notes)


def test_a_baseline_of_another_host_does_not_count(make_record):
    table = _only(compare([make_record("none", host="solo-learn"), make_record("mean")]))
    assert not any(row.differences for row in table.rows)


def test_settings_that_differ_are_said_and_only_those(make_record):
    table = _only(compare([make_record("none"), make_record("mean"), make_record("mean", rho=1.0)]))
    assert [(row.variant, row.label) for row in table.rows] == [
        ("", "none"),
        ("rho=1.0", "mean · rho=1.0"),
        ("rho=2.0", "mean · rho=2.0"),
    ]
    assert "| Setting |" in to_markdown(
        compare([make_record("mean"), make_record("mean", rho=1.0)])
    )


def test_labels_are_unique_where_only_the_localizers_training_differs(make_record):
    table = _only(
        compare([make_record("mean"), make_record("mean", localizer_trained_on="COCO boxes")])
    )
    assert len({row.label for row in table.rows}) == 2


def test_of_two_runs_with_one_seed_the_later_counts(make_record):
    early = make_record("mean", 0, 0.1, name="early", finished_at="2026-01-01T00:00:00+00:00")
    late = make_record("mean", 0, 0.3, name="late", finished_at="2026-01-02T00:00:00+00:00")
    for records in ([early, late], [late, early]):
        comparison = compare(records)
        (row,) = _only(comparison).rows
        assert [summary.mean for summary in row.results.values()] == [0.3]
        assert any("early and late" in note for note in comparison.notes)


def test_failed_runs_are_named_and_in_no_mean(make_record, study):
    failed = make_record("mean", 5, 0.0, status="failed", name="crashed")
    with_failed, without = compare([*study, failed]), compare(study)
    assert with_failed.tables == without.tables
    assert any("crashed failed" in note for note in with_failed.notes)


def test_seeds_that_lack_an_evaluation_are_counted(make_record):
    records = [
        make_record("mean", 0, 0.2),
        make_record("mean", 1, 0.4),
        make_record("mean", 2, None),
    ]
    assert "30.00 (SD 14.14) (n=2)" in to_markdown(compare(records))


def test_the_best_epoch_stands_behind_the_last_without_a_difference(make_record):
    linear = {"linear": Evaluation({"top1_best": 0.6, "top1_last": 0.5})}
    table = _only(compare([make_record(r, evaluations=linear) for r in ("none", "mean")]))
    assert [column.metric for column in table.columns] == ["top1_last", "top1_best"]
    assert (
        to_markdown(compare([make_record(r, evaluations=linear) for r in ("none", "mean")])).count(
            "vs baseline"
        )
        == 1
    )
    assert any("flatters" in note for note in table.notes)


def test_chosen_metrics_and_extra_columns(make_record):
    both = {"knn": Evaluation({"top1": 0.5}), "variance": Evaluation({"total": 0.0123456})}
    records = [make_record("mean", evaluations=both)]
    targets = {"Paper, linear top-1 (%)": {("mocov2", "mean"): "75.5"}}
    table = _only(compare(records, metrics=["variance/total"], extra_columns=targets))
    assert [column.title for column in table.columns] == ["variance total"]
    text = to_markdown(compare(records, extra_columns=targets))
    assert "| 75.5 |" in text
    assert "0.01235" in text
    with pytest.raises(ValueError, match=r"no record has \['knn/top2'\]"):
        compare(records, metrics=["knn/top2"])
    with pytest.raises(ValueError, match=r"metrics='knn/top1' must be a list"):
        compare(records, metrics="knn/top1")


def test_csv_and_dicts_carry_the_same_numbers_in_percent(study):
    comparison = compare(study)
    none, mean = to_dicts(comparison)
    assert none["knn_top1_diff"] is None
    assert mean["knn_top1"] == pytest.approx(100 * statistics.mean(MEAN))
    # Student's t of 2 degrees of freedom, in any table, times the spread / sqrt(3).
    assert mean["knn_top1_ci"] == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert mean["knn_protocol"] == "k=20; temperature=0.07"
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert float(rows[1]["knn_top1"]) == float(f"{mean['knn_top1']:.6g}")
    assert rows[0]["knn_top1_diff"] == ""
    assert rows[1]["seeds"] == "0 1 2"


def test_names_of_csv_columns_are_short_and_in_one_order(study, make_record):
    other = Evaluation({"top1": 0.4}, {"k": 200, "temperature": 0.07})
    both = [run.with_evaluation("cifar10/knn", other) for run in study]
    extra = {"Paper, linear top-1 (%)": {("mocov2", "mean"): "75.5"}}
    for records in (study, both, [*both, make_record("mean", 7, evaluations={"knn": other})]):
        names = to_csv(compare(records, extra_columns=extra)).splitlines()[0].split(",")
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
        assert len(names) == len(set(names))
        first = names.index("knn_top1") if "knn_top1" in names else names.index("knn_top1_k_20")
        assert names[first - 3 : first] == ["pretrain_minutes", "pretrain_minutes_sd", "time_ratio"]
        assert names[0] == "data"
        assert names[-1] == "paper_linear_top_1"
    assert {"knn_top1_k_20", "knn_top1_k_200"} <= set(names)
    assert "cifar10_knn_top1" in names


def test_latex_has_three_measures_abreast_and_says_once_what_rows_share(study):
    many = {f"task{index}": Evaluation({"top1": 0.1 * index}) for index in range(4)}
    records = [replace(run, evaluations={**run.evaluations, **many}) for run in study]
    text = to_latex(compare(records))
    parts = text.split(r"\begin{table}")[1:]
    assert len(parts) == 3  # kNN, four tasks, minutes and time ratio
    heads = [part.split(r"\toprule")[1].split(r"\midrule")[0] for part in parts]
    assert all(head.strip().startswith("Recipe & Localizer & ") for head in heads)
    assert sum(head.count("vs baseline") for head in heads) == 5
    assert all(head.count("top-1") <= 3 for head in heads)
    for number, part in enumerate(parts, start=1):
        caption = part.split(r"\caption{")[1].split("\n")[0]
        assert f"host lightly, method mocov2, seeds 3 ({number} of 3)" in caption
        columns = part.split(r"\begin{tabular}{")[1].split("}")[0]
        rows = part.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert [row.count(" & ") + 1 for row in rows] == [len(columns)] * 2


def test_names_cannot_leave_their_markdown_cell(make_record):
    text = to_markdown(compare([make_record("a|b<script>\n[x](javascript:y)")]))
    row = text.splitlines()[4]
    assert r"a\|b&lt;script&gt; \[x\](javascript:y)" in row


def test_mixed_versions_and_diverged_runs_are_said(make_record):
    base = make_record("none")
    newer = replace(base.environment, versions={"python": "3.12", "torch": "2.14.1"}, commit="def")
    bad = make_record("mean", environment=newer, history={"loss": (math.nan,)}, name="bad")
    notes = " ".join(_only(compare([base, bad])).notes)
    assert "more than one commit" in notes
    assert "more than one version of python." in notes
    assert "not finite in bad" in notes


def test_nothing_to_compare_is_said():
    assert "No finished run" in to_markdown(compare([]))


def test_a_mean_per_class_is_shown_where_it_says_something_else_than_the_top1(make_record):
    def titles(mean):
        metrics = {"top1_last": 0.5, "mean_per_class": mean, "top1_best": 0.6}
        record = make_record(knn=None, evaluations={"caltech101/linear": Evaluation(metrics)})
        (found,) = compare([record]).tables
        return [column.title for column in found.columns]

    last, best = (
        "caltech101: Linear top-1 last epoch (%)",
        "caltech101: Linear top-1 best epoch (%)",
    )
    assert titles(0.5 + 1e-8) == [last, best]
    assert titles(0.4) == [last, "caltech101: Linear mean per class (%)", best]
