"""Every export read by its own library gives the same features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from salmask_plugin.cli.main import main
from salmask_plugin.evaluation import load_backbone
from salmask_plugin.evaluation.detectron2_names import to_detectron2
from salmask_plugin.evaluation.export import FORMATS, check_format, export_backbone
from salmask_plugin.evaluation.onnx_export import remove_traces
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
    from salmask_plugin.evaluation.architectures import build_network

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
