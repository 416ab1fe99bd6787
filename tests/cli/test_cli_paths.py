"""Names in settings and records, and links in run folders, lead nowhere else."""

import argparse
import json
from pathlib import Path

import pytest

import salmask_plugin
from salmask_plugin.cli.main import main
from salmask_plugin.encoders.sources import find_source
from salmask_plugin.lab.downstream.depth.kitti import read_frames
from salmask_plugin.lab.downstream.folders import folder_of, task_folder
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import DataSet, RunRecord, write_record
from salmask_plugin.lab.results.evidence import TEXT
from salmask_plugin.lab.results.report_files import write_report
from salmask_plugin.lab.runs.folder import below_out
from salmask_plugin.lab.runs.folder_lock import alone_in
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.study.compare import run_comparison
from salmask_plugin.lab.study.kept_records import keep_records
from salmask_plugin.localizers.map_store import CacheManifest, MapStore

UP = ["../x", "a/../../x", "/tmp/x", "..", "a\\..\\..\\x"]


def record(**changed):
    data = DataSet("generated", 8, 8, 2, 32)
    known = {"name": "r", "host": "lightly", "method": "simclr", "recipe": "mean", "seed": 0}
    known |= {"data": data, "backbone": "resnet18", "epochs": 1, "batch_size": 2}
    return RunRecord(**{**known, **changed})


@pytest.mark.parametrize("where", ["recipe", "row"])
def test_a_recipe_of_others_overwrites_no_file(where, tmp_path):
    victim = tmp_path / "victim-seed0.json"
    victim.write_text("mine")
    study = tmp_path / "studies" / "a"
    study.mkdir(parents=True)
    (study / TEXT).write_text("# A\n")
    name = "../../../victim"
    hostile = (
        record(recipe=name) if where == "recipe" else record(config={"compare": {"row": name}})
    )
    write_record(tmp_path / "runs" / "one", hostile)
    write_record(tmp_path / "runs" / "two", record(recipe=".._.._.._victim", seed=0))
    keep_records(tmp_path / "runs", study)
    assert victim.read_text() == "mine"
    assert len(list((study / "records").iterdir())) == 2


@pytest.mark.parametrize("study", UP)
def test_studies_stay_below_their_folder(study, tmp_path, capsys):
    assert main(["results", str(tmp_path), f"keep={tmp_path}", f"study={study}"]) == 2
    assert "study=" in capsys.readouterr().err


@pytest.mark.parametrize("name", UP)
def test_names_stay_below_out(name, tmp_path):
    """The commands share these: audit, transfer and preview; detect and depth; compare."""
    settings = Settings({"out": str(tmp_path), "name": name, "seed": 0}, {"detection": "q"}, ())
    with pytest.raises(UserError, match=r"name=.* must be a place below"):
        below_out(settings, name, "audit")
    with pytest.raises(UserError, match=r"name=.* must be a place below"):
        folder_of("detection", settings, tmp_path / "weights.ckpt")
    run = tmp_path / "run"
    write_record(run, record())
    values = {"view_size": 32, "evaluation": {}}
    (run / "settings.json").write_text(json.dumps({"values": values, "choices": {}}))
    with pytest.raises(UserError, match=r"name=.* must be a place below"):
        folder_of("detection", settings, run)


def test_a_comparison_stays_below_out(tmp_path):
    given = ["experiment=plumbing", f"out={tmp_path / 'runs'}", "name=../x"]
    with pytest.raises(UserError, match="must be a place below"):
        run_comparison(given)


def test_one_function_joins_out_and_a_name():
    """A command that does it itself would be the next one to forget the check."""
    sources = Path(salmask_plugin.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "settings.out) /" in path.read_text()] == ["folder.py"]


def test_a_task_of_a_foreign_run_stays_in_its_folder(tmp_path):
    values = {"seed": 0, "loader": {}}
    wanted = EvaluationRequest(
        "../../../x", "detection", {}, {}, False, Settings(values, {}, ()), tmp_path / "run"
    )
    with pytest.raises(UserError, match="must be a place below"):
        task_folder(wanted, "detection", argparse.Namespace(fingerprint="f"), {})


@pytest.mark.parametrize("name", ["checkpoints", "metrics", "detection"])
def test_a_linked_folder_in_a_run_is_refused_before_anything_is_deleted(name, tmp_path, capsys):
    other = tmp_path / "other" / name
    other.mkdir(parents=True)
    (other / "epoch-0001.ckpt").write_text("x")
    (other / "epoch-0002.ckpt").write_text("y")
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / name).symlink_to(other)
    with pytest.raises(UserError, match="link that leads out"), alone_in(run):
        pass
    given = ["experiment=plumbing", "masking=none", f"out={tmp_path / 'runs'}", "name=mine"]
    assert main(["pretrain", *given]) == 2
    assert "link that leads out" in capsys.readouterr().err
    assert len(list(other.iterdir())) == 2
    assert [path.name for path in run.iterdir()] == [name]
    # A run that lies elsewhere as a whole is the user's own doing.
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "other")
    with alone_in(tmp_path / "runs" / "linked"):
        pass


def test_figures_of_a_report_are_deleted_in_the_report_alone(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "table1-1-x.png").write_text("mine")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "figures").symlink_to(other)
    with pytest.raises(ValueError, match="link that leads out"):
        write_report(tmp_path / "report", [record()], title="t")
    assert (other / "table1-1-x.png").read_text() == "mine"


@pytest.mark.parametrize("name", ["maps.npy", "images.npy"])
def test_a_cache_is_mended_in_its_folder_alone(name, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine" * 1000)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).symlink_to(victim)
    with pytest.raises(ValueError, match="link that leads out"):
        MapStore.create(tmp_path / "cache", CacheManifest("l", "none", "none", "d", 2, (2, 2)))
    assert victim.read_bytes() == b"mine" * 1000


@pytest.mark.parametrize("name", UP)
def test_files_named_by_files_are_beside_them(name, tmp_path):
    described = {"file": name, "architecture": "resnet18", "view_filter": None}
    (tmp_path / "backbone.json").write_text(json.dumps({"salmask": described}))
    with pytest.raises(ValueError, match="must be the name of a file beside it"):
        find_source(tmp_path)


def test_frames_are_below_the_root(tmp_path):
    (tmp_path / "list").write_text("../../x/y 1 l\n")
    with pytest.raises(ValueError, match=r"line 1: drive='\.\./\.\./x/y' must be a place below"):
        read_frames(tmp_path / "list")


def test_default_names_need_no_change():
    settings = compose_settings(["experiment=plumbing"])
    assert below_out(settings, "a/b").parts[-2:] == ("a", "b")
