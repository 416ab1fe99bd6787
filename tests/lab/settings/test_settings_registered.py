"""A plan and a gate are checked before anything runs, and stay what they were before the run."""

from dataclasses import replace

import pytest
import yaml
from documents import snippets

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import evaluate
from salmask_plugin.lab.results import DataSet, RunRecord, read_record, write_record
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.study.compare import plan_rows

STUDY = """# @package _global_
defaults:
  - override /rows@compare.rows: null
compare:
  rows: {none: [masking=none], mean: [masking=mean], blur: [masking=blur]}
  left_out: {blur: "no time."}
  plan:
    main: {row: mean, against: none, measure: linear/top1_last, note: the question}
"""


def planned(tmp_path, *more, study=STUDY, experiment="mine"):
    (tmp_path / "experiment").mkdir(exist_ok=True)
    (tmp_path / "experiment" / "mine.yaml").write_text(study)
    overrides = [f"experiment={experiment}", "data=generated", *more]
    composed = compose_settings(overrides, config_dir=str(tmp_path))
    return plan_rows(composed, overrides, config_dir=str(tmp_path))


def test_the_documented_plan_is_taken(tmp_path):
    (block,) = snippets("docs/reports.md", "yaml")
    rows = {name: ["masking=mean"] for name in ("none", "masks", "masks_paper")}
    node = {"rows": rows, **yaml.safe_load(block)["compare"]}
    head = STUDY.partition("compare:")[0]
    for row in planned(tmp_path, study=head + yaml.safe_dump({"compare": node})):
        assert row.settings["compare"]["plan"] == node["plan"]


def test_a_plan_goes_into_the_settings_of_every_run(tmp_path):
    for row in planned(tmp_path):
        assert row.settings["compare"]["plan"]["main"]["against"] == "none"
        assert row.settings["compare"]["gate"] == 10.0
    alone = compose_settings(["experiment=mine/mean", "data=generated"], config_dir=str(tmp_path))
    assert set(alone["compare"]["plan"]) == {"main"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("compare.plan.main.row=meen", r"compare\.plan\.main: 'meen' is none of the rows"),
        ("compare.plan.main.against=blur", r"compare\.plan\.main: row blur is left out"),
        ("compare.plan.main.measure=linear", "must be evaluation/metric"),
        ("compare.gate=many", r"compare\.gate='many' must be a number"),
        ("compare.gate=101", r"compare\.gate=101 must be percentage points"),
    ],
)
def test_what_is_no_comparison_of_the_rows_stops_before_anything_runs(tmp_path, override, words):
    with pytest.raises(UserError, match=words):
        planned(tmp_path, override)
    if override.startswith("compare.plan"):
        with pytest.raises(UserError, match=words):
            compose_settings(
                ["experiment=mine/mean", "data=generated", override], config_dir=str(tmp_path)
            )


def test_a_later_evaluation_does_not_change_the_plan_of_a_run(tmp_path, monkeypatch):
    settings = planned(tmp_path)[0].settings
    record = RunRecord(
        name="x",
        host="lightly",
        method="mocov2",
        recipe="none",
        seed=0,
        data=DataSet("generated", 8, 8, 2, 32),
        backbone="resnet50",
        epochs=1,
        batch_size=8,
        config={**settings.values, "compare": {**settings["compare"], "plan": {}, "gate": 5.0}},
    )
    write_record(tmp_path / "run", record)
    monkeypatch.setattr(evaluate, "requested_tasks", lambda settings: [])
    monkeypatch.setattr(evaluate, "_show", lambda *arguments: None)
    evaluate.evaluate(settings, tmp_path / "run")
    kept = read_record(tmp_path / "run").study
    assert kept["plan"] == {}  # registered after the run: not registered
    assert kept["gate"] == 10.0
    write_record(tmp_path / "run", replace(record, config=dict(settings.values)))
    evaluate.evaluate(settings, tmp_path / "run")
    assert set(read_record(tmp_path / "run").study["plan"]) == {"main"}
