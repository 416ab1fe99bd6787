"""A task's result and the record beside it, when one of the two was lost or is somebody else's."""

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from salmask_plugin.lab.downstream.folders import train_once
from salmask_plugin.lab.probes.tasks import is_done
from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord, read_record, write_record
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.settings import Settings

FOUND = Evaluation({"abs_rel": 0.25}, {"crop": "garg"}, {"loss": (2.0, 1.5)})


@pytest.fixture
def run(tmp_path):
    data = DataSet("set", 8, 8, 2, 32)
    write_record(tmp_path, RunRecord("one", "lightly", "mocov2", "none", 0, data, "small", 1, 2))
    values = {"view_size": 32, "evaluation": {}}
    (tmp_path / "settings.json").write_text(json.dumps({"values": values, "choices": {}}))
    return tmp_path


def train(run, work, pictures=None, kind="depth", node=None, seed=0):
    values = {"name": None, "seed": seed, kind: node or {"epochs": 1}}
    settings = Settings(values, {kind: "quick"}, ())
    backbone = SimpleNamespace(fingerprint="f" * 64, source="a test")
    train_once(kind, settings, run, backbone, work, pictures=pictures or LatePictures(), digits=3)
    return read_record(run).evaluations


def test_a_result_that_the_record_lacks_is_brought_back(run, capsys):
    before = read_record(run)
    first = train(run, lambda folder: FOUND)["quick"]
    write_record(run, before)  # as after a kill between the two files
    assert train(run, None)["quick"] == first
    assert "missing" in capsys.readouterr().out
    assert (first.metrics, first.curves) == (FOUND.metrics, FOUND.curves)


@pytest.mark.parametrize("options", ["steps", "epochs"])
def test_results_of_two_kinds_under_one_name_stand_beside_each_other(options, run):
    """The second took the first one's place in the record; their options may be called alike."""
    other = Evaluation({"box_ap": 7.0}, {"detector": "C4"})
    asked = {"kind": "detection", "node": {"task": "detection", options: 2}}
    train(run, lambda folder: FOUND)
    for _ in range(2):
        found = train(run, lambda folder: other, **asked)
        assert {name: dict(there.metrics) for name, there in found.items()} == {
            "quick": FOUND.metrics,
            "detection_quick": other.metrics,
        }
    assert train(run, None) == found


def test_results_of_two_seeds_stand_beside_each_other(run):
    """Those of the second seed took the first one's place, in a record that named none."""
    second = Evaluation({"abs_rel": 0.5}, {"crop": "garg"})
    train(run, lambda folder: FOUND)
    for _ in range(2):
        found = train(run, lambda folder: second, seed=3)
        assert {
            name: (dict(there.metrics), there.settings["seed"]) for name, there in found.items()
        } == {
            "quick": (FOUND.metrics, 0),
            "quick_seed3": (second.metrics, 3),
        }
    assert train(run, None) == found


def test_what_a_comparison_asks_for_is_found_under_its_name(run):
    train(run, lambda folder: FOUND)
    settings = Settings({"view_size": 32, "evaluation": {}, "seed": 0}, {}, ())
    asked = EvaluationRequest("quick", "depth", {"epochs": 1}, {}, False, settings)
    assert is_done(read_record(run), asked)
    assert not is_done(read_record(run), replace(asked, options={"epochs": 2}))
    assert not is_done(read_record(run), replace(asked, name="other"))


def test_statistics_that_were_not_made_anew_are_not_said_to_be(run):
    """A comparison that asks for them took the result for its own."""
    settings = json.loads((run / "settings.json").read_text())
    settings["values"]["evaluation"] = {"reestimate_batch_norm": True}
    (run / "settings.json").write_text(json.dumps(settings))
    assert train(run, lambda folder: FOUND)["quick"].settings["reestimate_batch_norm"] is False


@pytest.mark.parametrize("fails", [OSError("full"), ValueError("a picture has gone"), None])
def test_a_picture_is_drawn_when_its_result_is_written(fails, run, capsys):
    """It came first: a disk without room for it lost a training of days."""
    folder = run / "depth" / "quick-seed0"
    seen = []

    def draw():
        seen.append((json.loads((folder / "result.json").read_text()), read_record(run)))
        if fails:
            raise fails

    def work(folder):
        pictures.add(folder / "depth.png", draw)
        return FOUND

    pictures = LatePictures()
    told = pytest.warns(UserWarning, match=rf"depth\.png could not be drawn .*{fails}")
    with told if fails else nullcontext():
        train(run, work, pictures)
    ((result, record),) = seen
    assert result["metrics"] == record.evaluations["quick"].metrics == FOUND.metrics
    said = capsys.readouterr().out
    assert "abs_rel 0.250" in said
    assert (f"{folder / 'result.json'}, depth.png" in said) is (fails is None)
    assert pictures.draw() == []


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("{", "is no JSON"),
        ("[1]", "must hold an object"),
        ("{}", "metrics: is missing"),
        ('{"metrics": {"abs_rel": "x"}}', r"metrics\.abs_rel: 'x' must be a number"),
        ('{"metrics": {}, "curves": {"loss": 3}}', r"curves\.loss: 3 must be a list"),
        ('{"metrics": {}, "protocol": {"a": []}}', r"protocol\.a"),
    ],
)
def test_a_result_of_another_form_is_one_sentence(result, words, run):
    before = read_record(run)
    train(run, lambda folder: FOUND)
    write_record(run, before)
    (run / "depth" / "quick-seed0" / "result.json").write_text(result)
    with pytest.raises(ValueError, match=rf"result\.json.*{words}"):
        train(run, None)
