"""Registered comparisons: what they print, when they count, how they are corrected."""

import math
import statistics
from dataclasses import replace

import pytest
from scipy import stats

from salmask_plugin.lab.results import Evaluation, write_record, write_report
from salmask_plugin.lab.results.arms import arms_of
from salmask_plugin.lab.results.codec import FieldError
from salmask_plugin.lab.results.preregistered import registered
from salmask_plugin.lab.results.study import plan_of
from salmask_plugin.lab.results.study_page import study_results
from salmask_plugin.lab.study.report_folder import report_folder

VALUES = {
    "none": (0.500, 0.520, 0.510),
    "mean": (0.530, 0.552, 0.541),
    "blur": (0.510, 0.515, 0.522),
}
PLAN = {
    "masking": {"row": "mean", "against": "none", "measure": "linear/top1_last", "note": "T1"},
    "fill": {"row": "blur", "against": "mean", "measure": "linear/top1_last"},
    "later": {"row": "blur", "against": "none", "measure": "knn/top1"},
}


pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def study(make_record):
    def make(plan=PLAN, values=VALUES, seeds=(0, 1, 2), **more):
        return [
            make_record(
                row,
                seed,
                None,
                config={
                    "compare": {"row": row, "rows": dict.fromkeys(values), "plan": plan, **more},
                    "masking": {"ratio": 0.15},
                },
                evaluations={"linear": Evaluation({"top1_last": values[row][seed]})},
            )
            for row in values
            for seed in seeds
        ]

    return make


def test_a_primary_comparison_has_difference_interval_p_and_holm(study):
    (plan,) = registered(study(), "none")
    masking, fill, later = plan.primaries
    pairs = [a - b for a, b in zip(VALUES["mean"], VALUES["none"], strict=True)]
    assert masking.found.mean == pytest.approx(statistics.mean(pairs))
    expected = 4.30265 * statistics.stdev(pairs) / math.sqrt(3)
    assert masking.found.interval == pytest.approx(expected, rel=1e-5)
    ps = [
        stats.ttest_rel(VALUES[row], VALUES[other]).pvalue
        for row, other in (("mean", "none"), ("blur", "mean"))
    ]
    assert (masking.found.p, fill.found.p) == pytest.approx(ps)
    # Three are registered, one has no value yet: it still counts among the three.
    assert masking.adjusted == pytest.approx(3 * ps[0])
    assert fill.adjusted == pytest.approx(2 * ps[1])
    assert (later.found, later.adjusted) == (None, None)
    assert [p.verdict for p in plan.primaries] == ["above", "undecided", "blur has no knn/top1 yet"]


def test_report_and_page_print_them_and_call_the_rest_exploratory(study, tmp_path):
    for record in study():
        write_record(tmp_path / record.name, record)
    paths = report_folder(tmp_path, title="A table", baseline="none")
    assert "Primary comparison: masking\n  Rows                mean - none\n" in paths.table
    assert not [line for line in paths.table.splitlines() if "|" in line or len(line) > 80]
    text, _ = study_results(study(), "block", baseline="none")
    pairs = [a - b for a, b in zip(VALUES["mean"], VALUES["none"], strict=True)]
    mean, width = (
        100 * statistics.mean(pairs),
        430.265 * statistics.stdev(pairs) / math.sqrt(3),
    )
    for page in (paths.html.read_text(), paths.markdown.read_text().replace("\\", ""), text):
        for words in (
            f"{mean:+.2f}",
            f"{mean - width:+.2f} to {mean + width:+.2f}",
            f"{width:.2f}",
            "Every comparison but the primary ones is exploratory",
            "smallest difference that these seeds could have shown",
            "T1",
        ):
            assert words in page
        assert "No comparison was registered" not in page
        assert "xploratory" in page.replace("Every comparison but the primary ones is explor", "")


def test_without_a_plan_everything_is_exploratory(study, tmp_path):
    text, _ = study_results(study(plan={}), "block", baseline="none")
    assert "No comparison was registered before the runs" in text
    assert "No comparison was registered" in write_report(tmp_path, study(None)).html.read_text()


def test_a_plan_that_some_runs_do_not_carry_does_not_count(study):
    early = study(plan={}, seeds=(0,))
    for records in ([*early, *study(seeds=(1, 2))], [*study(seeds=(1, 2)), *early]):
        (plan,) = registered(records, "none")
        assert plan.primaries == ()
        assert "3 of 9 runs carry none or another (blur-seed0, mean-seed0" in plan.problem
    changed = {**PLAN, "fill": {**PLAN["fill"], "against": "none"}}
    assert registered([*study(seeds=(0,)), *study(changed, seeds=(1, 2))], "none")[0].problem


def test_another_studys_runs_do_not_spoil_a_plan(study, make_record):
    other = make_record("none", 7, config={"compare": {"row": "none", "study": "another"}})
    plain = make_record("none", 8, config={})
    assert len(registered([*study(), other, plain], "none")) == 1
    assert not registered([*study(), other, plain], "none")[0].problem


def test_below_the_gate_a_primary_comparison_is_not_readable(study):
    values = {**VALUES, "untrained": (0.45, 0.45, 0.45)}
    (plan,) = registered(study(values=values), "none")
    assert plan.primaries[0].verdict == "below the gate"
    text, _ = study_results(study(values=values), "block", baseline="none")
    row = next(line for line in text.splitlines() if line.startswith("| masking"))
    assert "below the gate" in row
    assert "3.1" not in row


def test_runs_of_a_row_that_differ_are_not_compared(study):
    records = study()
    changed = {**records[3].config, "masking": {"ratio": 0.9}}
    records[3] = records[3].__class__(**{**vars(records[3]), "config": changed})
    (plan,) = registered(records, "none")
    assert plan.primaries[0].found is None
    assert "runs of mean differ" in plan.primaries[0].verdict


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 99}, "epochs"),
        ({"batch_size": 7}, "batch_size"),
        ({"temperature": 0.7}, "temperature"),
        ({"rho": 0.5}, "rho"),
        ({"optimizer": {"learning_rate": 0.3}}, "optimizer learning_rate"),
        ({"masking": {"ratio": 0.9, "fill": "mean"}}, "masking ratio"),
        ({"masking": {"ratio": 0.15}}, "masking fill"),
        ({"masking": {"ratio": 0.15, "fill": "mean", "soft": 1}}, "masking soft"),
        ({"localizer": "other"}, "localizer"),
    ],
)
def test_seeds_that_were_trained_otherwise_are_no_seeds_of_the_row(study, change, named):
    records = study()
    records = [replace(record, masking={"ratio": 0.15, "fill": "mean"}) for record in records]
    records[4] = replace(records[4], **change)
    (plan,) = registered(records, "none")
    assert plan.primaries[0].found is None
    assert plan.primaries[0].verdict == f"runs of mean differ: {named}"
    with pytest.raises(ValueError, match=f"row 'mean' differ in .*{named}"):
        arms_of(records, "none")


def test_the_gate_is_asked_of_untrained_runs_of_another_study_too(study, make_record):
    untrained = make_record(
        "untrained",
        0,
        None,
        config={"compare": {"row": "untrained", "study": "another"}},
        evaluations={"linear": Evaluation({"top1_last": 0.45})},
    )
    records = [*study(), untrained]
    (plan,) = registered(records, "none")
    assert plan.primaries[0].verdict == "below the gate"


def test_before_all_seeds_are_there_nothing_is_decided(study, tmp_path):
    early = study(seeds=(0, 1))
    for count, verdict in ((3, "interim: 2 of 3 seeds"), (2, "undecided")):
        asked = [with_seeds(record, list(range(count))) for record in early]
        (plan,) = registered(asked, "none")
        assert plan.primaries[0].verdict == verdict
        text, _ = study_results(asked, "block", baseline="none")
        row = next(line for line in text.splitlines() if line.startswith("| masking"))
        assert "+3.10" in row
        assert (f"{plan.primaries[0].found.p:.3g}" in row) == (count == 2)
    # A study may be run seed by seed.
    parts = [with_seeds(record, [record.seed]) for record in study()]
    assert registered(parts, "none")[0].primaries[0].verdict == "above"
    assert registered(parts[:2] + parts[3:5], "none")[0].primaries[0].verdict == "undecided"


def with_seeds(record, seeds):
    compare = {**record.config["compare"], "seeds": seeds}
    return replace(record, config={**record.config, "compare": compare})


GOOD = PLAN["masking"]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({str(i): GOOD for i in range(6)}, "has 6 comparisons; at most 5"),
        ({"a": {**GOOD, "against": "mean"}}, "must differ"),
        ({"a": {**GOOD, "measure": "linear"}}, "must be evaluation/metric"),
        ({"a": {**GOOD, "rov": 1}}, "unknown field 'rov'"),
        ({"a": {"row": "mean", "against": "none"}}, r"compare\.plan\.a\.measure: is missing"),
        ({"a": [1]}, r"compare\.plan\.a: \[1\] must be an object"),
        ([1], "must be an object"),
    ],
)
def test_what_is_no_plan_is_refused_in_words(plan, words):
    with pytest.raises(FieldError, match=words):
        plan_of(plan)


def test_a_comparison_called_by_a_number_is_one():
    """YAML reads the name 15 as a number; records have texts for keys."""
    planned = {"row": "a", "against": "b", "measure": "knn/top1"}
    assert list(plan_of({15: planned})) == ["15"]
