"""Files beside a run or weights that are damaged, edited or hostile end in one sentence."""

import copy
import functools
import json
import os
import stat
from dataclasses import replace

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.encoders.checkpoint_files import final_checkpoint
from salmask_plugin.encoders.sources import find_source
from salmask_plugin.json_files import Kind
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes import classification_check
from salmask_plugin.lab.runs.checkpoints import AtomicCheckpointIO
from salmask_plugin.lab.runs.data_of_run import keep_identity
from salmask_plugin.lab.runs.folder import CHOICES, RUN, check_run, keep_settings, read_settings
from salmask_plugin.lab.runs.solo_learn_records import record_run
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.localizers.map_store import MapStore

WRONG = (None, True, -1, 1.5, "x", "", [], [1], {}, {"a": 1}, 10**400)
TEXTS = ["", "{", "[]", "null", '"x"', "\udcff", '{"values": NaN', '{"values": 1}']
TEXTS += ["[" * 100_000, '{"a":' * 300 + "1" + "}" * 300]


@functools.cache
def demo():
    return compose_settings(["experiment=plumbing", "localizer=uniform"])


def places(shape, path=()):
    """Every place that a shape names."""
    for key, wanted in shape.items():
        yield (*path, key.removesuffix("?"))
        if not isinstance(wanted, Kind):
            yield from places(wanted, (*path, key.removesuffix("?")))


def changed(content, path, value):
    """A copy with another value in one place; the place is gone where it is Ellipsis."""
    content = copy.deepcopy(content)
    node = content
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    return content


@pytest.mark.parametrize(
    "given",
    [
        ["experiment=plumbing"],
        ["experiment=plumbing", "masking=none", "method=supervised"],
        ["experiment=plumbing", "method=adios_simclr", "localizer=momentum"],
        ["+data@evaluation.data.mine=generated", "evaluation.tasks=[knn, mine/linear]"],
        ["masking=none", "localizer=cached", "localizer.folder=x", "name=1", "recipe=2"],
    ],
)
def test_what_composes_has_the_form(given):
    check_run(compose_settings(given), "x")


PLACES = [("values", *path) for path in places(RUN)]
PLACES += [("choices", *path) for path in places(CHOICES)]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("values evaluation knn", r"evaluation\.knn must be an object"),
        ("values evaluation knn task", r"evaluation\.knn\.task must be a text"),
        ("values evaluation data mine", r"evaluation\.data\.mine must be an object"),
    ],
)
def test_tasks_and_their_data_are_objects(path, words, tmp_path):
    content = {"values": copy.deepcopy(demo().values), "choices": demo().choices}
    content["values"]["evaluation"]["data"] = {}
    (tmp_path / "settings.json").write_text(json.dumps(changed(content, path.split(), [1])))
    with pytest.raises(UserError, match=words):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("knn", "k", "x"),
        ("knn", "k", ...),
        ("linear", "augment", 1),
        ("linear", "batch_size", ...),
        ("linear", "learning_rate", "fast"),
        ("finetune", "batch_size", 0),
        ("finetune", "label_share", []),
    ],
)
def test_options_of_tasks_are_looked_at_before_anything_is_read(task, key, value):
    options = changed(demo()["evaluation"][task], [key], value)
    settings = replace(demo(), values={**demo().values, "data": "unread"})
    wanted = EvaluationRequest(task, task, options, {}, False, settings)
    with pytest.raises(ValueError, match=rf"evaluation\.{task}.*{key}"):
        classification_check.check(wanted)


def refusal(call, *arguments):
    """The sentence that a call ends in; None where it goes through."""
    try:
        call(*arguments)
    except (UserError, ValueError, FileNotFoundError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("path", PLACES, ids=".".join)
def test_settings_of_another_form_are_one_sentence(path, tmp_path):
    content = {"values": demo().values, "choices": demo().choices}
    file = tmp_path / "settings.json"
    said = []
    for value in (..., *WRONG):
        file.write_text(json.dumps(changed(content, path, value)))
        said.append(refusal(read_settings, tmp_path))
    refused = [text for text in said if text is not None]
    assert len(refused) >= 6
    assert all("settings.json" in text or "not allowed" in text for text in refused)
    assert max(map(len, refused)) < 600


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("command", ["evaluate", "variance", "export"])
def test_settings_that_are_no_object_are_one_sentence(text, command, tmp_path, capsys):
    (tmp_path / "settings.json").write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": {}}, tmp_path / "checkpoints" / "epoch-0001.ckpt")
    more = [str(tmp_path / "out")] if command == "export" else []
    assert main([command, str(tmp_path), *more]) == 2
    error = capsys.readouterr().err
    assert "settings.json" in error
    assert len(error) < 600


@pytest.mark.parametrize("value", [..., None, 1, "x", [], {}])
@pytest.mark.parametrize("key", ["loader", "trainer", "data", "seed"])
def test_a_resume_compares_with_settings_of_any_form(key, value, tmp_path):
    settings = demo()
    content = {"values": settings.values, "choices": settings.choices}
    (tmp_path / "settings.json").write_text(json.dumps(changed(content, ("values", key), value)))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").touch()
    with pytest.raises(UserError, match=f"other settings .*{key}"):
        keep_settings(tmp_path, settings)


FILTER = {"kernel_size": 13, "sigma": 1.0}
EXPORT = {"file": "b.safetensors", "architecture": "resnet18", "view_filter": FILTER}
SOLO = {"backbone": {"name": "resnet18"}, "data": {"dataset": "x"}}
OURS = {"masking": {"view_filter": FILTER}, "backbone": {"name": "resnet18"}}
SMALL = {"backbone": {"_target_": "salmask_plugin.encoders.small_convnet", "widths": [8, 8, 8, 8]}}
NAMED = {"_target_": "salmask_plugin.encoders.timm_convnet", "name": "resnet10t"}
TORCHVISION = {"_target_": "salmask_plugin.encoders.torchvision_convnet", "name": "vgg11"}
BESIDE = [
    ("backbone.json", {"salmask": EXPORT}, "salmask"),
    ("backbone.json", {"salmask": EXPORT}, "salmask file"),
    ("config.json", {"salmask": EXPORT}, "salmask architecture"),
    ("config.json", {"salmask": EXPORT}, "salmask view_filter"),
    ("config.json", {"salmask": EXPORT}, "salmask view_filter kernel_size"),
    ("config.json", {"salmask": EXPORT}, "salmask view_filter sigma"),
    ("args.json", SOLO, "backbone"),
    ("args.json", SOLO, "backbone name"),
    ("args.json", SOLO, "data"),
    ("args.json", SOLO, "data dataset"),
    ("settings.json", {"values": OURS}, "values"),
    ("settings.json", {"values": OURS}, "values masking"),
    ("settings.json", {"values": OURS}, "values masking view_filter"),
    ("settings.json", {"values": OURS}, "values masking view_filter sigma"),
    ("settings.json", {"values": OURS}, "values backbone"),
    ("settings.json", {"values": OURS}, "values backbone name"),
    ("settings.json", {"values": SMALL}, "values backbone widths"),
    ("settings.json", {"values": {"backbone": NAMED}}, "values backbone name"),
    ("settings.json", {"values": {"backbone": TORCHVISION}}, "values backbone name"),
]


@pytest.mark.parametrize(("name", "content", "path"), BESIDE)
def test_descriptions_of_weights_of_another_form_are_one_sentence(name, content, path, tmp_path):
    for place in ("b.safetensors", "x.ckpt"):
        (tmp_path / place).write_bytes(b"")
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints" / "epoch-0001.ckpt")
    said = []
    for value in (..., *WRONG):
        (tmp_path / name).write_text(json.dumps(changed(content, path.split(), value)))
        said.append(refusal(find_source, tmp_path))
    refused = [text for text in said if text is not None]
    assert len(refused) >= 3
    assert all(str(tmp_path) in text or name in text for text in refused)


@pytest.mark.parametrize("file", ["sub/b.pt", "./b.pt", "b.pt/", "C:b.pt", "sub\\\\b.pt", "..", ""])
def test_an_export_names_a_file_beside_its_description(file, tmp_path):
    (tmp_path / "b.pt").write_bytes(b"")
    (tmp_path / "backbone.json").write_text(json.dumps({"salmask": {**EXPORT, "file": file}}))
    for place in (tmp_path, tmp_path / "b.pt"):
        with pytest.raises(ValueError, match=r"salmask\.file must be the name of a file beside it"):
            find_source(place)


@pytest.mark.parametrize("epochs", [..., None, "x", -1, [1], 10**400, float("inf"), float("nan")])
def test_a_record_without_its_epochs_is_one_sentence(epochs, tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(changed({"epochs": 1}, ["epochs"], epochs)))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0001.ckpt").touch()
    with pytest.raises(ValueError, match=r"record\.json.* epochs"):
        final_checkpoint(tmp_path)


@pytest.mark.parametrize("path", ["classes", "train", "train images", "train names", "val labels"])
def test_what_the_data_were_in_another_form_is_one_sentence(path, tmp_path):
    split = {"images": 2, "labels": "a", "names": None, "pixels": ["1"]}
    identity = {"classes": ["a", "b"], "train": split, "val": split}
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0000.ckpt").touch()
    said = []
    for value in (..., *WRONG, float("inf")):
        there = changed(identity, path.split(), value)
        (tmp_path / "data.json").write_text(json.dumps(there))
        said.append(refusal(keep_identity, tmp_path, identity))
    refused = [text for text in said if text is not None]
    assert len(refused) >= 11
    assert all("data.json cannot be read" in text or "changed since" in text for text in refused)
    (tmp_path / "data.json").write_text("[" * 100_000)
    assert "nested too deeply" in refusal(keep_identity, tmp_path, identity)


MANIFEST = {
    "localizer": "l",
    "trained_on": "none",
    "weights_sha256": "none",
    "dataset": "d",
    "count": 3,
    "grid": [2, 2],
    "name": "n",
    "labels_sha256": "unknown",
    "dtype": "float16",
    "chunk": 256,
}


@pytest.mark.parametrize("key", [*MANIFEST, "unheard_of"])
def test_manifests_of_another_form_are_one_sentence(key, tmp_path):
    said = []
    for value in (..., *WRONG, [2, "x"], [2, 10**12]):
        (tmp_path / "manifest.json").write_text(json.dumps(changed(MANIFEST, (key,), value)))
        said.append(refusal(MapStore, tmp_path))
    refused = [text for text in said if text is not None]
    assert len(refused) >= 6
    assert all(f"{tmp_path / 'manifest.json'} " in text for text in refused)


ARGUMENTS = {
    "name": "n",
    "method": "salmask_simclr",
    "seed": 0,
    "max_epochs": 1,
    "devices": [0],
    "backbone": {"name": "resnet18"},
    "data": {"dataset": "cifar10", "num_classes": 10},
    "optimizer": {"batch_size": 2},
    "scheduler": {"name": "none"},
    "augmentations": [{"crop_size": 32}],
    "method_kwargs": {},
}


@pytest.mark.parametrize(
    "path", [(key,) for key in ARGUMENTS] + [("data", "num_classes"), ("optimizer", "batch_size")]
)
def test_arguments_of_another_form_are_one_sentence(path, tmp_path):
    for value in (..., "x", 1.5, None, [], {}):
        (tmp_path / "args.json").write_text(json.dumps(changed(ARGUMENTS, path, value)))
        with pytest.raises((ValueError, FileNotFoundError), match=f"{tmp_path}"):
            record_run(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_checkpoints_are_as_readable_as_other_files(mask, tmp_path):
    before = os.umask(mask)
    try:
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, tmp_path / "epoch-0001.ckpt")
        (tmp_path / "other").write_text("")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~mask}


def test_a_small_encoder_without_widths_has_the_usual_ones(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints" / "epoch-0001.ckpt")
    content = {"values": changed(SMALL, ["backbone", "widths"], ...)}
    (tmp_path / "settings.json").write_text(json.dumps(content))
    assert find_source(tmp_path).architecture == "small"
