"""Files that want to run code, leave their folder or speak HTML."""

from __future__ import annotations

import html.parser
import json
import os
import pickle

import pytest
import torch

from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import DataSet, RunRecord, load_records, write_record
from salmask_plugin.lab.results.report_files import write_report
from salmask_plugin.lab.runs.checkpoints import newest_checkpoint, read_checkpoint
from salmask_plugin.lab.runs.folder import run_folder
from salmask_plugin.lab.settings.allowed_targets import check_targets
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.localizers.weights import read_weights


class Attack:
    """Unpickling it leaves a file behind."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    """A folder that exists only if hostile code has run."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "hostile code was executed"


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_hostile_checkpoint_is_not_unpickled(tmp_path, mark, tried):
    zipped = tmp_path / "epoch-0001.ckpt"
    torch.save({"state_dict": Attack(mark)}, zipped)
    plain = tmp_path / "epoch-0002.ckpt"
    plain.write_bytes(pickle.dumps(Attack(mark)))
    assert newest_checkpoint(tmp_path) is None
    for path in (zipped, plain):
        with pytest.raises(ValueError, match="is damaged"):
            read_checkpoint(path)
        with pytest.raises(ValueError, match="no readable weights"):
            read_weights(path)
    tried("hostile pickle as checkpoint or weights", 6)


HOSTILE = [
    {"_target_": "os.system", "command": "mkdir {mark}"},
    {"_target_": "builtins.exec", "_args_": ["import os; os.mkdir({mark!r})"]},
    {"_target_": "subprocess.run", "args": ["mkdir", "{mark}"]},
    {"_target_": "torch.load", "f": "{pickle}", "weights_only": False},
    {
        "_target_": "timm.models.load_state_dict",
        "checkpoint_path": "{pickle}",
        "weights_only": False,
    },
    {"_target_": "timm.models._helpers.load_state_dict", "checkpoint_path": "{pickle}"},
    {"_target_": "timm.create_model", "model_name": "resnet18", "checkpoint_path": "{pickle}"},
    {"_target_": "timm.models.resnet18", "pretrained_cfg_overlay": {"file": "{pickle}"}},
    # OmegaConf would make a node of this text when the object is built, after the check.
    {
        "_target_": "salmask_plugin.MeanFill",
        "x": "${oc.create:'{_target_: torch.load, f: \"{pickle}\", weights_only: false}'}",
    },
    {"_target_": "salmask_plugin.MeanFill", "x": ["${oc.env:HOME}"]},
    {"_target_": "salmask_plugin.MeanFill", "${x}": 1},
]


def filled(node, **names):
    if isinstance(node, dict):
        return {filled(key, **names): filled(value, **names) for key, value in node.items()}
    if isinstance(node, list):
        return [filled(value, **names) for value in node]
    if not isinstance(node, str):
        return node
    for name, value in names.items():
        node = node.replace(f"{{{name}}}", value).replace(f"{{{name}!r}}", repr(value))
    return node


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda node: node["_target_"])
def test_a_run_folder_of_someone_else_runs_no_code(hostile, tmp_path, mark, tried, capsys):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Attack(mark)))
    node = filled(hostile, mark=str(mark), pickle=str(tmp_path / "evil.pth"))
    with pytest.raises(UserError, match="not allowed"):
        check_targets({"masking": [node]})
    settings = compose_settings(["experiment=plumbing", "localizer=uniform", "masking=mean"])
    folder = tmp_path / "run"
    folder.mkdir()
    for place in ("data", "backbone", "method"):
        values = {**settings.values, place: node}
        content = {"values": values, "choices": settings.choices}
        (folder / "settings.json").write_text(json.dumps(content))
        for command in ("evaluate", "variance"):
            assert main([command, str(folder)]) == 2
            assert "not allowed" in capsys.readouterr().err
    tried("hostile _target_ or interpolation in settings.json", 7)


@pytest.mark.parametrize("name", ["../out", "a/../../b", "/tmp/x", "..", "a/..", ".", "a\\..\\b"])
def test_a_run_cannot_leave_its_folder(name, tmp_path, tried):
    settings = compose_settings(["experiment=plumbing", f"name='{name}'", f"out={tmp_path}"])
    with pytest.raises(UserError, match="name="):
        run_folder(settings)
    tried("run name that leaves its folder")


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) `|\n# h"


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, sorted(name for name, _ in attributes)))


def tags(folder, *, text):
    data = DataSet(text, 8, 8, 2, 32)
    record = RunRecord(
        name=text,
        host="lightly",
        method=text,
        recipe=text,
        seed=0,
        data=data,
        backbone=text,
        epochs=1,
        batch_size=2,
        localizer=text,
        localizer_trained_on=text,
        masking={text: text},
        optimizer={text: text},
        config={text: {text: text}},
        notes=(text,),
        warnings=(text,),
    )
    write_record(folder / "runs" / "one", record)
    records = load_records(folder / "runs").records
    written = write_report(folder / "report", records, title=text, notes=[text], baseline=text)
    parser = Tags()
    parser.feed(written.html.read_text())
    inside = [path for path in folder.rglob("*") if path.is_file()]
    return parser.seen, inside


def test_names_in_records_are_no_markup_and_no_paths(tmp_path, tried):
    (tmp_path / "a").mkdir()
    plain, files = tags(tmp_path / "a", text="plain")
    (tmp_path / "b").mkdir()
    assert tags(tmp_path / "b", text=MARKUP)[0] == plain
    (tmp_path / "c").mkdir()
    climbing, inside = tags(tmp_path / "c", text="../../../escaped")
    assert climbing == plain
    assert len(inside) == len(files)
    assert not list(tmp_path.glob("*escaped*")) + list(tmp_path.parent.glob("*escaped*"))
    tried("markup in the names of a record")
    tried("names of a record that climb folders")


def test_what_looks_like_a_secret_is_not_in_the_record(tmp_path, tried):
    config = {
        "logger": {"api_key": "k-123", "project": "masks"},
        "hub_token": "t-123",
        "data": {"root": "https://me:s-123@example.org/set", "password": ["p-123"]},
        "method": {"temperature": 0.2, "tokens": None, "queue_size": 16},
    }
    data = DataSet("set", 8, 8, 2, 32)
    record = RunRecord("r", "lightly", "mocov2", "none", 0, data, "resnet18", 1, 2, config=config)
    text = write_record(tmp_path, record).read_text()
    for secret in ("k-123", "t-123", "s-123", "p-123"):
        assert secret not in text
    kept = json.loads(text)["config"]
    assert kept["logger"] == {"api_key": "(removed)", "project": "masks"}
    assert kept["method"] == {"temperature": 0.2, "tokens": None, "queue_size": 16}
    tried("secret in the configuration", 4)
