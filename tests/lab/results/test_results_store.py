import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from salmask_plugin.lab.results import (
    Evaluation,
    RecordError,
    RunRecord,
    environment,
    load_records,
    read_record,
    write_record,
)
from salmask_plugin.lab.results.store import shorten_text, write_atomically


def test_a_record_survives_the_file(make_record, tmp_path):
    linear = Evaluation(
        {"top1_last": 0.25, "top1_best": 0.5}, {"epochs": 2}, {"top1": (0.5, 0.25)}, 1.5
    )
    record = make_record().with_evaluation("linear", linear)
    path = write_record(tmp_path / "run", record)
    assert path == tmp_path / "run" / "record.json"
    assert read_record(path) == record
    assert read_record(tmp_path / "run") == record


def test_the_file_holds_strict_json_also_for_a_diverged_loss(make_record, tmp_path):
    record = make_record(history={"loss": (1.0, math.nan, math.inf)})
    path = write_record(tmp_path, record)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    loss = read_record(path).history["loss"]
    assert loss[0] == 1.0
    assert math.isnan(loss[1])
    assert loss[2] == math.inf
    assert read_record(path).diverged


def test_numbers_of_numpy_are_plain_in_the_file(make_record, tmp_path):
    record = make_record(
        seed=np.int64(3), history={"loss": (np.float32(0.5),)}, masking={"bias": np.float64(0.25)}
    )
    back = read_record(write_record(tmp_path, record))
    assert (back.seed, back.history["loss"], back.masking["bias"]) == (3, (0.5,), 0.25)


def test_a_value_without_json_form_names_its_field_and_keeps_the_old_file(make_record, tmp_path):
    path = write_record(tmp_path, make_record())
    old = path.read_bytes()
    with pytest.raises(RecordError, match=r"record\.json: record\.config\.model: a object"):
        write_record(tmp_path, make_record(config={"model": object()}))
    assert path.read_bytes() == old


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_no_other(
    make_record, tmp_path, monkeypatch, broken
):
    path = write_record(tmp_path, make_record(seed=1))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    target = "os.fsync" if broken == "fsync" else "pathlib.Path.replace"
    monkeypatch.setattr(target, fail)
    with pytest.raises(OSError, match="disk full"):
        write_record(tmp_path, make_record(seed=2))
    assert read_record(path).seed == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_file_is_complete_before_it_takes_its_place(tmp_path, monkeypatch):
    seen = []

    def look(self: Path, target: Path) -> None:
        seen.append(self.read_bytes())
        assert self.parent == target.parent

    monkeypatch.setattr("pathlib.Path.replace", look)
    write_atomically(tmp_path / "file", b"all of it")
    assert seen == [b"all of it"]


def _broken(record: RunRecord, path: Path, **changes: object) -> None:
    content = json.loads(write_record(path, record).read_text())
    for key, value in changes.items():
        if value is KeyError:
            del content[key]
        else:
            content[key] = value
    (path / "record.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": KeyError}, r"record\.seed: is missing"),
        ({"sede": 1}, r"unknown field 'sede'"),
        ({"seed": "0"}, r"record\.seed: '0' must be a whole number"),
        ({"seed": True}, r"record\.seed: True must be a whole number"),
        ({"seed": -1}, r"seed=-1 must be at least 0"),
        ({"rho": "much"}, r"record\.rho: 'much' must be a number, or null\.$"),
        ({"seed": 2**63}, r"record\.seed: 9223372036854775808 is too large a number"),
        ({"branch": "left"}, r"record\.branch: 'left' must be one of 'query', 'key' or 'both', or"),
        ({"\ud800": 1, "seed": KeyError}, r"record: unknown field '\\ud800'; known are \['back"),
        ({"host": "keras"}, r"record\.host: 'keras' must be one of"),
        ({"history": {"loss": 3}}, r"record\.history\.loss: 3 must be a list"),
        ({"history": {"loss": [1, None]}}, r"record\.history\.loss\[1\]: None must be a number"),
        ({"data": {"name": "x"}}, r"record\.data\.train_images: is missing"),
        ({"evaluations": {"knn": {"metrics": {"top1": 51}}}}, r"record\.evaluations\.knn: .*share"),
        (
            {"optimizer": {"lr": [1]}},
            r"record\.optimizer\.lr: \[1\] must be true or false, or a whole number, or a number, "
            r"or a text, or null\.$",
        ),
        ({"data": {"nmae": "x"}}, r"record\.data: unknown field 'nmae'; known are \['classes', "),
        ({"schema_version": 99}, r"schema_version=99 is not supported"),
        ({"schema_version": KeyError}, r"schema_version=None is not supported"),
    ],
)
def test_a_malformed_record_names_file_and_field(make_record, tmp_path, changes, message):
    _broken(make_record(), tmp_path, **changes)
    with pytest.raises(RecordError, match=message) as error:
        read_record(tmp_path)
    assert str(tmp_path / "record.json") in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_file_that_is_no_record_is_named(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(RecordError, match=r"record\.json: "):
        read_record(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"nothing\.json: cannot be read"):
        read_record(tmp_path / "nothing.json")


def test_loading_names_broken_records_and_keeps_the_others(make_record, tmp_path):
    for seed in (2, 1):
        write_record(tmp_path / f"run{seed}" / "deep", make_record(seed=seed))
    _broken(make_record(), tmp_path / "bad", epochs="many")
    (tmp_path / "run1" / "other.json").write_text("{}")
    found = load_records(tmp_path)
    assert [record.seed for record in found.records] == [1, 2]
    (problem,) = found.problems
    assert "bad" in problem
    assert "record.epochs" in problem


def test_loading_from_nowhere_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"folder=.*is not a folder"):
        load_records(tmp_path / "absent")


def test_paths_of_the_machine_stay_out_of_the_file(make_record, tmp_path):
    record = make_record(
        config={
            "data": {"root": "/home/ann/sets/cifar 10"},
            "url": "https://x.org/a/b",
            "r": "1/2",
        },
        warnings=("no entry in /mnt/disk1/a/b.png twice", r"see C:\Users\ann\run.py"),
    )
    text = write_record(tmp_path, record).read_text()
    back = read_record(tmp_path)
    assert "ann" not in text
    assert "mnt" not in text
    assert back.config == {"data": {"root": ".../cifar 10"}, "url": "https://x.org/a/b", "r": "1/2"}
    assert back.warnings == ("no entry in .../b.png twice", "see .../run.py")


@pytest.mark.parametrize("text", ["n/a", "and/or", "a 3/4/5 split", "outputs/run1/x.ckpt", "./a/b"])
def test_relative_paths_and_slashes_are_left_alone(text):
    assert shorten_text(text) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("file:///home/ann/x.png", ".../x.png"),
        ("see file:///home/ann/x.", "see .../x."),
        ("ann@host:/data/set/x", ".../x"),
        ("from ann@host:sets/x", "from .../x"),
        ("~ann/sets/x", ".../x"),
        ("see ~/x", "see .../x"),
        ("3/4 of the images, ~3/4 of them", "3/4 of the images, ~3/4 of them"),
        ("mail ann@x.org: hello", "mail ann@x.org: hello"),
        ("https://x.org:80/a/b", "https://x.org:80/a/b"),
    ],
)
def test_other_ways_to_say_a_path_are_shortened_too(text, short):
    assert shorten_text(text) == short


def test_secrets_stay_out_however_their_key_is_written(make_record, tmp_path):
    kept = {"max_tokens": 512, "tokenizer": "words", "branchKey": "query", "secret": True}
    config = {
        "accessToken": "s1",
        "secretKey": ["s2"],
        "dbPassword": 12345678,
        "pwd": 3.5,
        "url": "https://u:p@ss@host/x",
        **kept,
    }
    record = make_record(config=config, warnings=("no answer of ftp://u:s3@host/x",))
    back = read_record(write_record(tmp_path, record))
    removed = dict.fromkeys(("accessToken", "secretKey", "dbPassword", "pwd"), "(removed)")
    assert back.config == {**removed, "url": "https://(removed)@host/x", **kept}
    assert back.warnings == ("no answer of ftp://(removed)@host/x",)


def test_the_environment_has_versions_and_no_host_name():
    found = environment(gpus=("GPU Z", "GPU Z"))
    assert found.versions["torch"]
    assert found.cores >= 1
    assert found.device == "2 x GPU Z"
    assert replace(found, gpus=(), cpu="A", cores=1).device == "A, 1 core"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name must not be empty"),
        ({"epochs": 0}, "epochs=0"),
        ({"history": {"loss": (1.0,) * 4}}, "has 4 values; epochs=3"),
    ],
)
def test_a_record_refuses_values_out_of_range(make_record, changes, message):
    with pytest.raises(ValueError, match=message):
        make_record(**changes)
