"""Which records are kept under which name, and where the page of a study stands."""

import json

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import Evaluation, read_record, write_record
from salmask_plugin.lab.results.evidence import evidence_page
from salmask_plugin.lab.study.kept_records import keep_records, write_evidence


@pytest.fixture
def study(tmp_path):
    study = tmp_path / "kept" / "block"
    study.mkdir(parents=True)
    (study.parent / "study.md").write_text("# Results\n")
    (study / "study.md").write_text("## Block\n\n{{results}}\n")
    return study


def kept(study):
    return {path.name: path.read_bytes() for path in study.glob("records/*")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "simclr"}, "differ in method"),
        ({"epochs": 9}, "differ in epochs"),
        ({"temperature": 0.5}, "differ in temperature"),
        ({"config": {"masking": {"probability": 0.5}}}, r"differ in masking\.probability"),
    ],
)
def test_runs_of_two_settings_do_not_share_a_name(make_record, study, tmp_path, changes, words):
    first = {"config": {"masking": {"probability": 1.0}}}
    write_record(tmp_path / "runs" / "a", make_record(name="a", **first))
    write_record(tmp_path / "runs" / "c", make_record(recipe="none"))
    other = make_record(name="b", **{**first, **changes})
    write_record(tmp_path / "runs" / "b", other)
    with pytest.raises(UserError, match=f"a and b {words}.*mean-seed0.json"):
        keep_records(tmp_path / "runs", study)
    assert not kept(study)
    # Nor does one take the place of what is kept already.
    keep_records(tmp_path / "runs" / "a", study)
    before = kept(study)
    with pytest.raises(UserError, match=f"a and b {words}"):
        keep_records(tmp_path / "runs" / "b", study)
    assert kept(study) == before


@pytest.mark.parametrize("folders", ["ab", "ba"])
def test_of_one_setting_the_newest_is_kept(make_record, study, tmp_path, capsys, folders):
    runs = tmp_path / "runs"
    for folder, day in zip(folders, ("01", "02"), strict=True):
        write_record(
            runs / folder, make_record(name=day, finished_at=f"2026-01-{day}T00:00:00+00:00")
        )
    keep_records(runs, study)
    file = study / "records" / "mean-seed0.json"
    assert (list(kept(study)), read_record(file).name) == (["mean-seed0.json"], "02")
    said = capsys.readouterr().out
    assert "Kept: 1 records" in said
    assert "not used: 01 ended before 02" in said
    keep_records(runs / folders[0], study)
    assert read_record(file).name == "02"
    assert "Kept: 0 records" in capsys.readouterr().out
    # Evaluated again, a run takes its own place.
    again = make_record(name="02", finished_at="2026-01-02T00:00:00+00:00", warnings=("again",))
    write_record(runs / folders[1], again)
    keep_records(runs, study)
    assert read_record(file).warnings == ("again",)


def test_what_is_not_kept_is_named(make_record, study, tmp_path, capsys):
    """A seed that was stopped was missing in the page, and nothing said so."""
    for seed, status in enumerate(("finished", "stopped", "failed")):
        write_record(tmp_path / "runs" / status, make_record(seed=seed, status=status))
    keep_records(tmp_path / "runs", study)
    assert list(kept(study)) == ["mean-seed0.json"]
    said = capsys.readouterr().out
    assert "not used: mean-seed1 was stopped early" in said
    assert "not used: mean-seed2 failed" in said


def test_the_page_has_the_whole_name_of_its_folder(make_record, study, tmp_path, monkeypatch):
    folder = study.parent.rename(tmp_path / "results.2026 b")
    (tmp_path / "results.md").write_text("mine")
    for recipe in ("none", "mean"):
        write_record(tmp_path / "runs" / recipe, make_record(recipe=recipe))
    page = write_evidence(folder, keep=tmp_path / "runs", study="block")
    assert page == tmp_path / "results.2026 b.md"
    assert (tmp_path / "results.md").read_text() == "mine"
    assert "](results.2026%20b/block/loss.png)" in page.read_text()
    assert (folder / "block" / "loss.png").is_file()
    text = page.read_text()
    page.unlink()
    monkeypatch.chdir(folder)
    for place in (".", "block/.."):
        assert write_evidence(type(folder)(place)).read_text() == text
        page.unlink()


def test_a_page_without_a_place_is_refused_before_anything_is_kept(make_record, study, tmp_path):
    write_record(tmp_path / "runs", make_record())
    (tmp_path / "kept.md").mkdir()
    with pytest.raises(UserError, match=r"kept\.md is a folder"):
        write_evidence(study.parent, keep=tmp_path / "runs", study="block")
    with pytest.raises(UserError, match="has no name that its page could have"):
        write_evidence(type(study)("/"), keep=tmp_path / "runs", study="block")
    assert not kept(study)


def test_what_a_method_does_not_have_is_not_said(make_record, study):
    plain = {"temperature": None, "queue_size": None, "optimizer": {}, "history": {}}
    foreign = make_record(
        recipe="none",
        **{**plain, "host": "other", "method": "timm", "epochs": 0, "batch_size": 0},
        evaluations={"flowers/knn": Evaluation({"top1": 0.5})},
    )
    supervised = make_record(
        recipe="none",
        **{**plain, "method": "supervised"},
        evaluations={"linear": Evaluation({"top1_last": 0.5})},
    )
    write_record(study / "records" / "none-seed0.json", foreign)
    text = evidence_page(study.parent).markdown
    assert "- Training: other timm." in text
    assert "No run has a measure that this page shows: linear/top1_last, logistic/top1" in text
    write_record(study / "records" / "none-seed0.json", supervised)
    text = evidence_page(study.parent).markdown
    assert "- Training: lightly supervised, batch 64." in text
    assert "50.00" in text
    assert "No run has" not in text
    assert json.loads((study / "records" / "none-seed0.json").read_text())["temperature"] is None


def test_rows_are_compared_with_the_baseline_that_the_records_name(make_record, study):
    for row, value in (("moco", 0.5), ("mine", 0.75)):
        record = make_record(
            recipe=row,
            config={"compare": {"row": row, "baseline": "moco"}},
            evaluations={"linear": Evaluation({"top1_last": value})},
        )
        write_record(study / "records" / f"{row}-seed0.json", record)
    text = evidence_page(study.parent).markdown
    assert "+25.00" in text
