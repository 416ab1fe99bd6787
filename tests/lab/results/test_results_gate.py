"""A baseline that has learned nothing, and a probe that guesses, are no ground for differences."""

import pytest

from salmask_plugin.lab.results import Evaluation, compare, to_csv, to_markdown, write_report
from salmask_plugin.lab.results.arms import arms_of
from salmask_plugin.lab.results.gate import is_untrained, judge
from salmask_plugin.lab.results.study_page import study_results

ROWS = {"none": [], "untrained": [], "mean": []}


@pytest.fixture
def study(make_record):
    """Three rows, two seeds; linear and kNN top-1 by row."""

    def make(linear, knn=None, gate=None, **changes):
        knn = knn or linear
        return [
            make_record(
                row,
                seed,
                None,
                epochs=1 if row == "untrained" else 3,
                history={},
                localizer="none",
                config={"compare": {"row": row, "rows": ROWS, "gate": gate}},
                evaluations={
                    "linear": Evaluation({"top1_last": linear[row][seed]}),
                    "knn": Evaluation({"top1": knn[row][seed]}, {"k": 20}),
                },
                **changes,
            )
            for row in ROWS
            for seed in (0, 1)
        ]

    return make


LOW = {"none": (0.36, 0.35), "untrained": (0.25, 0.26), "mean": (0.50, 0.51)}
HIGH = {**LOW, "none": (0.36, 0.37)}


def shown(records):
    (table,) = [t for t in compare(records).tables if len(t.rows) > 1]
    return table, to_markdown(compare(records))


def test_a_baseline_too_near_to_the_untrained_encoder_in_one_seed_is_flagged(study):
    table, text = shown(study(LOW))
    row = next(line for line in text.splitlines() if "| mean |" in line)
    assert row.count("below the gate") == 2  # by linear top-1, and hence for kNN
    assert "+14" not in row
    assert any("+11.00 (seed 0), +9.00 (seed 1)" in note for note in table.notes)
    assert "none of them is a finding" in text


def test_a_baseline_ten_points_above_in_every_seed_passes(study):
    table, text = shown(study(HIGH))
    assert "below the gate" not in text
    assert "+14.00" in text
    assert any("The gate is passed. Linear top-1" in note for note in table.notes)
    exact = {**HIGH, "none": (0.35, 0.36)}
    assert "below the gate" not in shown(study(exact))[1]


@pytest.mark.parametrize(("gate", "flagged"), [(9.0, False), (9.1, True), (30, True), (0, False)])
def test_the_gate_is_the_studys(study, gate, flagged):
    assert ("below the gate" in shown(study(LOW, gate=gate))[1]) == flagged


def test_linear_comes_before_knn_and_knn_counts_where_there_is_no_linear(study):
    records = study(HIGH, LOW)
    gate = judge({r.seed: r for r in records[:2]}, records, 10)
    assert (gate.measure, gate.passed) == (("linear", "top1_last"), True)
    without = [
        record.__class__(**{**vars(record), "evaluations": {"knn": record.evaluations["knn"]}})
        for record in records
    ]
    assert judge({r.seed: r for r in without[:2]}, without, 10).measure == ("knn", "top1")
    assert "below the gate" in shown(without)[1]
    assert "below the gate" not in shown(records)[1]


def test_a_seed_without_an_untrained_run_is_held_against_the_best_of_them(study):
    records = [r for r in study(HIGH) if not (r.recipe == "untrained" and r.seed == 0)]
    gate = judge({r.seed: r for r in records[:2]}, records, 10)
    assert gate.margins == {0: pytest.approx(10.0), 1: pytest.approx(11.0)}


def test_another_protocol_or_other_images_are_no_untrained_encoder(study):
    records = study(LOW)
    data = records[0].data.__class__("stl10", 2500, 1000, 10, 32)
    moved = [
        r.__class__(**{**vars(r), "data": data}) if r.recipe == "untrained" else r for r in records
    ]
    assert judge({r.seed: r for r in moved[:2]}, moved, 10) is None


def test_who_is_untrained(make_record):
    assert is_untrained(make_record("untrained"))
    assert is_untrained(make_record("x", config={"compare": {"row": "untrained"}}))
    assert is_untrained(make_record("x", optimizer={"learning_rate": 1e-12}))
    assert not is_untrained(make_record("none", optimizer={"learning_rate": 1e-6}))
    assert not is_untrained(make_record("none", optimizer={}))


def test_report_and_page_say_it_and_draw_no_differences(study, tmp_path):
    records = study(LOW)
    paths = write_report(tmp_path, records)
    for text in (paths.html.read_text(), paths.markdown.read_text()):
        assert "below the gate" in text.split("vs baseline")[0]  # in the summary already
        assert "highest" not in text
    assert not any("difference" in path.name for path in paths.figures)
    text, figures = study_results(records, "block", baseline="none")
    row = next(line for line in text.splitlines() if line.startswith("| mean"))
    assert row.count("below the gate") == 2
    assert "Below the gate. Linear top-1" in text
    assert "against the baseline, above" not in text
    assert "block/differences.png" not in figures
    assert "block/differences.png" in study_results(study(HIGH), "block", baseline="none")[1]
    assert "below the gate" in to_csv(compare(records))


CHANCE = {"none": (0.10, 0.11), "untrained": (0.10, 0.10), "mean": (0.09, 0.10)}


@pytest.mark.usefixtures("no_figures")
def test_a_probe_that_guesses_in_every_run_is_flagged(study):
    far = {**HIGH, "none": (0.5, 0.5)}
    table, text = shown(study(far, CHANCE))
    row = next(line for line in text.splitlines() if "| mean |" in line)
    assert row.count("at chance") == 1
    assert any(note.startswith("kNN top-1 is at chance in every run") for note in table.notes)
    text, _ = study_results(study(far, CHANCE), "block", baseline="none")
    assert "kNN top-1 is at chance in every run" in text
    # One run that does not guess, by three standard errors, and the probe is one.
    better = {**CHANCE, "mean": (0.09, 0.13)}
    assert "at chance" not in shown(study(far, better))[1]


def test_without_an_untrained_row_nothing_is_said_of_a_gate(study):
    records = [record for record in study(LOW) if record.recipe != "untrained"]
    assert "gate" not in shown(records)[1]
    assert len(arms_of(records, "none")) == 2


@pytest.mark.usefixtures("no_figures")
def test_a_time_ratio_needs_one_machine_on_both_pages(study):
    records = study(HIGH)
    other = records[0].environment.__class__({}, None, "Another CPU", 2)
    moved = [
        r.__class__(**{**vars(r), "environment": other}) if r.recipe == "mean" else r
        for r in records
    ]
    text, _ = study_results(moved, "block", baseline="none")
    row = next(line for line in text.splitlines() if line.startswith("| mean"))
    assert row.endswith("| 2.0 | – |")  # noqa: RUF001
    assert "No time ratio: mean and the baseline ran on different machines." in text
    assert "| 2.0 | 1.00 |" in study_results(records, "block", baseline="none")[0]
