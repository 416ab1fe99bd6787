"""A task's result and the record beside it, when one of the two was lost or is somebody else's."""

import json
from types import SimpleNamespace

import pytest

from salmask_plugin.lab.downstream.folders import train_once
from salmask_plugin.lab.results import DataSet, Evaluation, RunRecord, read_record, write_record
from salmask_plugin.lab.settings.settings import Settings

FOUND = Evaluation({"abs_rel": 0.25}, {"crop": "garg"}, {"loss": (2.0, 1.5)})


@pytest.fixture
def run(tmp_path):
    data = DataSet("set", 8, 8, 2, 32)
    write_record(tmp_path, RunRecord("one", "lightly", "mocov2", "none", 0, data, "small", 1, 2))
    values = {"view_size": 32, "evaluation": {}}
    (tmp_path / "settings.json").write_text(json.dumps({"values": values, "choices": {}}))
    return tmp_path


def train(run, work):
    settings = Settings({"name": None, "seed": 0, "depth": {"epochs": 1}}, {"depth": "quick"}, ())
    backbone = SimpleNamespace(fingerprint="f" * 64, source="a test")
    train_once("depth", settings, run, backbone, work, picture="depth.png", digits=3)
    return read_record(run).evaluations


def test_a_result_that_the_record_lacks_is_brought_back(run, capsys):
    before = read_record(run)
    first = train(run, lambda folder: FOUND)["quick"]
    write_record(run, before)  # as after a kill between the two files
    assert train(run, None)["quick"] == first
    assert "missing" in capsys.readouterr().out
    assert (first.metrics, first.curves) == (FOUND.metrics, FOUND.curves)


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
