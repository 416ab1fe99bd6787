"""The paper's values and open points, from the records of a study."""

from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord, write_record
from salmask_plugin.lab.settings.paper_values import open_points, reported_columns
from salmask_plugin.lab.study.report_folder import report_folder

STUDY = {
    "targets": {"none": {"Paper (%)": 56}, "mean_key": {"Paper (%)": 47.53, "Other": 1.0}},
    "open": ["The batch."],
    "rows": {"none": [], "mean_key": [], "given": []},
    "left_out": {"given": "no boxes."},
}


def record(name, row, recipe, study=STUDY, **changes):
    settings = {"method": "mocov2", "seed": 0, "backbone": "resnet18", "epochs": 2} | changes
    return RunRecord(
        name=name,
        host="lightly",
        recipe=recipe,
        data=DataSet("toy", 10, 5, 2, 32),
        batch_size=4,
        evaluations={"linear": Evaluation({"top1_last": 0.5})},
        config={} if study is None else {"compare": {**study, "row": row}},
        **settings,
    )


RECORDS = [
    record("a", "none", "none"),
    record("b", "mean_key", "key"),
    record("c", "mean_key", "key", method="simclr"),
    record("d", "unknown", "mean"),
    record("e", None, "blur", study=None),
]


def test_values_stand_at_the_rows_method_and_recipe():
    assert reported_columns(RECORDS) == {
        "Paper (%)": {
            ("mocov2", "none"): "56.00",
            ("mocov2", "key"): "47.53",
            ("simclr", "key"): "47.53",
        },
        "Other": {("mocov2", "key"): "1.00", ("simclr", "key"): "1.00"},
    }


def test_errors_below_one_keep_three_decimals():
    study = {**STUDY, "targets": {"none": {"Abs Rel": 0.132}}}
    columns = reported_columns([record("a", "none", "none", study)])
    assert columns == {"Abs Rel": {("mocov2", "none"): "0.132"}}


def test_open_points_are_said_once():
    assert open_points(RECORDS) == ["Left open by the paper. The batch."]


def test_the_report_shows_both(tmp_path):
    for entry in RECORDS[:2]:
        write_record(tmp_path / entry.name, entry)
    written = report_folder(tmp_path, title="A table", baseline="none")
    assert "47.53" in written.table
    for path in (written.markdown, written.html, tmp_path / "report" / "table.csv"):
        assert "47.53" in path.read_text()
    assert "Left open by the paper. The batch." in written.markdown.read_text()
    assert written.markdown.read_text().count("Row given is left out: no boxes.") == 1


def test_runs_without_targets_have_no_column(tmp_path):
    write_record(tmp_path / "run", RECORDS[4])
    assert "Paper" not in report_folder(tmp_path, title="A table", baseline="none").table
