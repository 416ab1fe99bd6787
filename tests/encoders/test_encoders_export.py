"""Every export read by its own library gives the same features."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from salmask_plugin.cli.main import main
from salmask_plugin.encoders import load_backbone
from salmask_plugin.encoders.detectron2_names import to_detectron2
from salmask_plugin.encoders.export import FORMATS, check_format, export_backbone
from salmask_plugin.encoders.export_folder import MOVING, PART
from salmask_plugin.encoders.onnx_export import remove_traces
from salmask_plugin.filters import HighPassFilter

SIZE = 40
IMAGES = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
FILTER = HighPassFilter(kernel_size=3, sigma=0.8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    network = torchvision.models.resnet18(weights=None)
    network.train()(torch.randn(4, 3, 32, 32))  # running statistics that no initialisation has
    torch.save(network.state_dict(), path)
    return path


def exported(weights, folder, name, view_filter=None, **options):
    backbone = load_backbone(weights, view_filter=view_filter)
    file = export_backbone(backbone, folder, format=name, view_size=SIZE, **options)
    with torch.no_grad():
        return backbone, folder / file, backbone.filtered()(IMAGES)


@torch.no_grad()
@pytest.mark.parametrize("view_filter", [None, FILTER], ids=["plain", "high-pass"])
def test_safetensors_come_back_with_their_filter(weights, tmp_path, view_filter):
    backbone, file, expected = exported(weights, tmp_path, "safetensors", view_filter)
    for place in (tmp_path, file):
        again = load_backbone(place)
        assert again.fingerprint == backbone.fingerprint
        assert torch.equal(again.filtered()(IMAGES), expected)
    described = json.loads((tmp_path / "backbone.json").read_text())["salmask"]
    assert (described["view_filter"] is None) == (view_filter is None)


@torch.no_grad()
def test_timm_reads_its_folder(weights, tmp_path):
    import timm

    backbone, _, expected = exported(weights, tmp_path, "timm")
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=0).eval()
    torch.testing.assert_close(network(IMAGES), expected)
    assert network.pretrained_cfg["mean"] == pytest.approx((0.485, 0.456, 0.406))
    assert load_backbone(tmp_path).fingerprint == backbone.fingerprint


@torch.no_grad()
def test_torchvision_reads_its_state_dict(weights, tmp_path):
    backbone, file, expected = exported(weights, tmp_path, "torchvision")
    network = torchvision.models.get_model("resnet18")
    network.fc = nn.Identity()
    network.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(network.eval()(IMAGES), expected)
    assert load_backbone(file).fingerprint == backbone.fingerprint


def test_detectron2_s_names_are_those_of_moco_s_recipe(weights, tmp_path):
    backbone, file, _ = exported(weights, tmp_path, "detectron2")
    content = torch.load(file, weights_only=True)
    assert content["matching_heuristics"] is True
    for theirs, ours in {
        "stem.conv1.weight": "conv1.weight",
        "stem.conv1.norm.running_var": "bn1.running_var",
        "res2.0.conv1.norm.weight": "layer1.0.bn1.weight",
        "res4.1.conv2.weight": "layer3.1.conv2.weight",
        "res5.0.shortcut.weight": "layer4.0.downsample.0.weight",
        "res5.0.shortcut.norm.bias": "layer4.0.downsample.1.bias",
    }.items():
        assert torch.equal(content["model"][theirs], backbone.network.state_dict()[ours])
    assert load_backbone(file).fingerprint == backbone.fingerprint
    with torch.device("meta"):
        names = to_detectron2(torchvision.models.resnet50().state_dict())
    assert {"res3.2.conv3.norm.running_mean", "res3.0.shortcut.weight"} <= set(names)


PLACES = {str(Path(module.__file__).parent) for module in (torch, torchvision, pytest)}
PLACES |= {str(Path(__file__).parents[2]), str(Path.home()) + "/"}
"""What tells of the machine that wrote a file."""


def test_no_folder_of_the_machine_stays_in_a_graph():
    onnx = pytest.importorskip("onnx")
    inner = onnx.helper.make_node("Relu", ["x"], ["y"], doc_string="/home/ann/a.py")
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1], "/home/ann/b.py")
    body = onnx.helper.make_graph([inner], "/g", [], [y], doc_string="/home/ann/c.py")
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    c = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [c], [y]))
    function = onnx.helper.make_function("d", "f", ["x"], ["y"], [inner], [])
    model.functions.append(function)
    for part in (*model.graph.node, *body.node, model.graph, *model.functions[0].node):
        entry = part.metadata_props.add()
        entry.key, entry.value = "pkg.torch.onnx.stack_trace", 'File "/home/ann/d.py"'
    kept = [(node.op_type, list(node.input), list(node.output)) for node in model.graph.node]
    assert b"/home/ann" in model.SerializeToString()
    remove_traces(model)
    assert b"/home/ann" not in model.SerializeToString()
    assert kept == [(n.op_type, list(n.input), list(n.output)) for n in model.graph.node]
    assert model.graph.node[0].attribute[0].g.node[0].op_type == "Relu"


@pytest.mark.slow  # torch's exporter takes half a minute
@pytest.mark.parametrize("view_filter", [None, FILTER], ids=["plain", "high-pass"])
def test_onnxruntime_runs_the_graph_with_the_filter(weights, tmp_path, view_filter):
    onnxruntime = pytest.importorskip("onnxruntime")
    _, file, expected = exported(weights, tmp_path, "onnx", view_filter)
    assert not [path for path in PLACES if path.encode() in file.read_bytes()]
    session = onnxruntime.InferenceSession(str(file))
    for count in (2, 1):
        (found,) = session.run(["features"], {"images": IMAGES[:count].numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected[:count], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [key for key, value in FORMATS.items() if not value.holds_filter])
@torch.no_grad()
def test_a_format_without_room_for_the_filter_is_refused_unless_asked(weights, tmp_path, name):
    with pytest.raises(ValueError, match="cannot hold the HighPassFilter"):
        exported(weights, tmp_path / "x", name, FILTER)
    assert not (tmp_path / "x").exists()
    backbone, file, _ = exported(weights, tmp_path / "x", name, FILTER, filter_outside=True)
    place = file.parent if name == "timm" else file
    bare = load_backbone(place, view_filter="auto" if name == "timm" else FILTER)
    assert torch.equal(bare.network(IMAGES), backbone.network(IMAGES))
    # timm's folder still says in its description what the images must pass.
    assert bare.fingerprint == backbone.fingerprint


def test_architectures_that_a_reader_cannot_build_are_refused(tmp_path):
    from salmask_plugin.encoders.architectures import build_network

    network, _ = build_network("resnet18_cifar")
    torch.save(network.state_dict(), tmp_path / "x.pth")
    small = load_backbone(tmp_path / "x.pth", architecture="resnet18_cifar")
    for name, message in {
        "torchvision": "is for resnet18.* not resnet18_cifar",
        "detectron2": "is for resnet18.* not resnet18_cifar",
        "timm": "timm builds no resnet18_cifar",
        "tensorflow": "format='tensorflow' must be one of safetensors",
    }.items():
        with pytest.raises(ValueError, match=message):
            check_format(small, name)


def test_the_command_writes_formats_and_a_card(weights, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["export", str(weights), str(out), "--format", "safetensors,torchvision"]
    assert main([*command, "--license", "CC-BY-NC-4.0"]) == 0
    backbone = load_backbone(weights)
    card = (out / "README.md").read_text()
    assert backbone.fingerprint in card
    assert "mean [0.485, 0.456, 0.406]" in card
    assert "these weights: CC-BY-NC-4.0" in card
    assert "torchvision.models.resnet18()" in card
    assert load_backbone(out / "safetensors").fingerprint == backbone.fingerprint
    assert main(command) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert main(["export", str(weights), str(tmp_path / "y"), "--format", "keras"]) == 2
    assert not (tmp_path / "y").exists()


@pytest.fixture
def full_disk(monkeypatch):
    """A disk with room for the n-th file no more: half of it is written."""

    def fill(at):
        write, count = Path.write_bytes, []

        def full(self, content):
            count.append(self)
            if len(count) == at:
                write(self, bytes(content)[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(self, content)

        monkeypatch.setattr(Path, "write_bytes", full)

    return fill


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("there", [False, True])
def test_an_export_on_a_full_disk_leaves_nothing(
    weights, tmp_path, capsys, full_disk, monkeypatch, at, there
):
    out = tmp_path / "out"
    if there:
        out.mkdir()
    command = ["export", str(weights), str(out), "--format", "safetensors,torchvision,detectron2"]
    full_disk(at)
    assert main(command) == 1
    captured = capsys.readouterr()
    assert captured.err == f"salmask: {out} cannot be written: [Errno 28] No space left on device\n"
    assert captured.out == ""
    assert out.exists() == there
    assert not there or not list(out.iterdir())
    monkeypatch.undo()
    assert main(command) == 0
    names = ["README.md", "detectron2", "safetensors", "torchvision"]
    assert sorted(path.name for path in out.iterdir()) == names


def test_one_format_on_a_full_disk_leaves_the_folder_as_it_was(weights, tmp_path, full_disk):
    (tmp_path / "mine.txt").write_text("mine")
    full_disk(1)
    with pytest.raises(OSError, match=r"cannot be written: .*No space left"):
        exported(weights, tmp_path, "torchvision")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class Killed(BaseException):
    """Ends the process, as far as the export can tell."""


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_after_a_kill_the_same_command_exports(weights, tmp_path, monkeypatch, moved):
    from salmask_plugin.encoders import export_folder

    out = tmp_path / "out"
    command = ["export", str(weights), str(out)]
    replace, count, dead = Path.replace, [], []
    remove, rmtree = export_folder._remove, shutil.rmtree

    def killed(self, target):
        if self.parent.name == PART and self.name != f"{MOVING}.tmp" and target.parent == out:
            count.append(target)
            if len(count) > moved:
                dead.append(True)
                raise Killed
        return replace(self, target)

    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", killed)
        # A killed process clears nothing.
        dying.setattr(export_folder, "_remove", lambda path: dead or remove(path))
        dying.setattr(shutil, "rmtree", lambda path: dead or rmtree(path))
        with pytest.raises(Killed):
            main(command)
    left = sorted(path.name for path in out.iterdir() if path.name != PART)
    assert len(left) == moved
    assert (out / PART).is_dir()
    assert main(command) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "backbone.json",
        "backbone.safetensors",
    ]
    assert load_backbone(out).fingerprint == load_backbone(weights).fingerprint


@pytest.mark.parametrize("name", ["../mine.txt", "..", "", ".", "/etc", 7])
def test_a_part_of_somebody_else_deletes_nothing_elsewhere(weights, tmp_path, capsys, name):
    (tmp_path / "mine.txt").write_text("mine")
    part = tmp_path / "out" / PART
    part.mkdir(parents=True)
    (part / MOVING).write_text(json.dumps([name]))
    assert main(["export", str(weights), str(tmp_path / "out")]) == 2
    assert "was not written by an export" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").is_file()


NO_NAMES = ['["backbone.json", ".."]', "7", '{"a": 1}', "[", "[" * 9999, '"a"']


@pytest.mark.parametrize("content", NO_NAMES, ids=range(len(NO_NAMES)))
def test_a_part_of_somebody_else_deletes_nothing_at_all(weights, tmp_path, capsys, content):
    out = tmp_path / "out"
    (out / PART).mkdir(parents=True)
    (out / "backbone.json").write_text("mine")
    (out / PART / MOVING).write_text(content)
    assert main(["export", str(weights), str(out)]) == 2
    assert "was not written by an export" in capsys.readouterr().err
    assert (out / "backbone.json").read_text() == "mine"
