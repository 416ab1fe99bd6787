"""Names that somebody has chosen, of results, data sets and rows: no value is lost for its name."""

import csv
import io
import json
from dataclasses import replace

import pytest

from salmask_plugin.lab.downstream.folders import _write
from salmask_plugin.lab.results import (
    Evaluation,
    RecordError,
    compare,
    read_record,
    to_csv,
    to_dicts,
    write_record,
)

PARTS = ("", "_sd", "_n", "_diff", "_ci", "_flag", "_pairs")


def flat(make_record, results, extra=None):
    found: dict[str, Evaluation] = {}
    for (name, metric), value in results.items():
        metrics = found[name].metrics if name in found else {}
        found[name] = Evaluation({**metrics, metric: value}, {"of": name})
    record = make_record(recipe="none", evaluations=found)
    (row,) = to_dicts(compare([record], extra_columns=extra))
    (line,) = csv.DictReader(io.StringIO(to_csv(compare([record], extra_columns=extra))))
    assert list(line) == list(row)
    return row


@pytest.mark.parametrize(
    "names",
    [
        ("knn", "猫/knn"),
        ("猫/knn", "犬/knn"),
        ("a-b/knn", "a_b/knn"),
        ("a/b_knn", "a_b/knn"),
        ("A/knn", "a/knn"),
    ],
)
def test_results_with_like_names_have_columns_of_their_own(make_record, names):
    values = {(name, "top1"): 0.25 + 0.25 * place for place, name in enumerate(names)}
    row = flat(make_record, values)
    found = [key for key in row if f"{key}_n" in row]  # what is counted is a value
    assert sorted(row[key] for key in found) == [25.0, 50.0]
    assert all(key.isascii() and key.replace("_", "").isalnum() for key in found)
    protocols = [value for key, value in row.items() if "protocol" in key]
    assert sorted(protocols) == sorted(f"of={name}" for name in names)


def test_names_that_are_taken_stay_what_they_are(make_record):
    values = {("train", "images"): 7.0, ("knn", "top1"): 0.5, ("knn", "top1_n"): 0.25}
    row = flat(make_record, values, {"Epochs": {("mocov2", "none"): "many"}})
    assert (row["train_images"], row["epochs"]) == (2500, 3)
    assert {7.0, 50.0, 25.0, "many"} <= set(row.values())


def test_ordinary_names_are_the_letters(make_record):
    values = {("knn", "top1"): 0.5, ("cifar10/linear", "top1_last"): 0.25, ("voc-07", "AP50"): 3.0}
    row = flat(make_record, values, {"Table 8 (%)": {("mocov2", "none"): "1"}})
    names = ("knn_top1", "cifar10_linear_top1_last", "voc_07_ap50")
    assert {name + part for name in names for part in PARTS} <= set(row)
    assert {"knn_protocol", "cifar10_linear_protocol", "voc_07_protocol", "table_8"} <= set(row)


WORDS = ("token", "secret", "auth", "my_password", "api_key")


@pytest.mark.parametrize("word", WORDS)
def test_a_name_that_looks_secret_hides_no_result(make_record, tmp_path, word):
    compared = {
        "row": word,
        "rows": {word: ["masking=mean"]},
        "targets": {word: {word: 55.0}},
        "left_out": {f"{word}2": "no data"},
        "plan": {word: {"row": word, "against": "none", "measure": "knn/top1"}},
    }
    node = {"_target_": "x.folder", "root": "x", "api_key": "hunter2"}
    record = make_record(
        name=word,
        recipe=word,
        history={word: (1.0, 2.0), "loss": (2.0, 1.0)},
        evaluations={
            word: Evaluation({word: 0.5}, {"k": 2}, {word: (0.25,)}, 1.5, {"options": {"k": 2}}),
            f"{word}/knn": Evaluation({"top1": 0.5}),
        },
        config={
            "compare": compared,
            "evaluation": {"data": {word: node}, word: {"task": "knn", "k": 2}},
            "choices": {f"data@evaluation.data.{word}": "folder"},
        },
    )
    text = write_record(tmp_path, record).read_text()
    shown = {**record.config["evaluation"], "data": {word: {**node, "api_key": "(removed)"}}}
    assert read_record(tmp_path) == replace(record, config={**record.config, "evaluation": shown})
    assert "hunter2" not in text


def test_secrets_of_what_was_configured_are_hidden_still(make_record, tmp_path):
    settings = {"options": {"hub": {"token": "hunter2"}}, "auth": {"user": "hunter2"}}
    record = make_record(
        evaluations={"token": Evaluation({"top1": 0.5}, {"secret": "hunter2"}, settings=settings)},
        config={
            "evaluation": {"knn": {"password": "hunter2"}},
            "compare": {"slurm": {"extra": {"auth": "hunter2"}}},
            "rows": {"token": "hunter2"},
        },
    )
    assert "hunter2" not in write_record(tmp_path, record).read_text()
    assert read_record(tmp_path).evaluations["token"].protocol == {"secret": "(removed)"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": {"lr": [1]}}, "optimizer.lr"),
        ({"config": {"compare": {"targets": {"mean": {"Table 8": "high"}}}}}, "compare.targets"),
        ({"seed": 2**63}, "record.seed"),
    ],
)
def test_a_record_that_could_not_be_read_again_is_not_written(
    make_record, tmp_path, changes, words
):
    path = write_record(tmp_path, make_record())
    before = path.read_bytes()
    with pytest.raises(RecordError, match=words):
        write_record(tmp_path, make_record(**changes))
    assert path.read_bytes() == before


def test_a_result_of_its_own_folder_keeps_its_numbers(tmp_path):
    found = Evaluation({"token_ap": 0.5}, {"token": "hunter2"}, {"secret": (1.0,)}, 1.0)
    backbone = type("Backbone", (), {"source": "x", "fingerprint": "y"})
    _write("detection", None, found, backbone, tmp_path, tmp_path / "encoder.ckpt")
    kept = json.loads((tmp_path / "result.json").read_text())
    assert (kept["metrics"], kept["curves"]) == ({"token_ap": 0.5}, {"secret": [1.0]})
    assert kept["protocol"] == {"token": "(removed)"}
