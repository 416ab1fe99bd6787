"""Any ConvNet of timm and torchvision as an encoder: widths, refusals, files."""

import json

import pytest
import torch
import torchvision
from torch import nn

from salmask_plugin.cli.main import main
from salmask_plugin.encoders import load_backbone, timm_convnet, torchvision_convnet
from salmask_plugin.encoders.convnets import feature_dim, take_channels
from salmask_plugin.encoders.export import export_backbone

SMALL = [(timm_convnet, "resnet10t"), (torchvision_convnet, "shufflenet_v2_x0_5")]


@pytest.mark.parametrize(
    ("make", "name"), SMALL, ids=lambda value: getattr(value, "__name__", value)
)
@pytest.mark.parametrize("channels", [1, 3, 4, 13])
def test_the_width_is_what_comes_out(make, name, channels):
    network, width = make(name, in_channels=channels)
    assert network.training
    with torch.no_grad():
        assert network.eval()(torch.randn(2, channels, 64, 64)).shape == (2, width)


def test_the_classifier_is_left_out_and_nothing_else():
    for name, width, removed in (("convnext_tiny", 768, 1000 * 769), ("resnet18", 512, 513000)):
        with torch.device("meta"):
            whole = torchvision.models.get_model(name, weights=None)
        network, found = torchvision_convnet(name)
        assert found == width
        count = sum(value.numel() for value in whole.parameters())
        assert count - sum(value.numel() for value in network.parameters()) == removed


class Returns(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.output = output

    def forward(self, images):
        return self.output(self.norm(images))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: {"features": x.mean((2, 3))}, "returns a dict; an encoder returns one tensor"),
        (lambda x: [x.mean((2, 3))], "returns a list; an encoder returns one tensor"),
        (lambda x: x[..., :2, :2], r"returns \(1, 3, 2, 2\) for one image; .* pool a map first"),
        (lambda x: x @ torch.zeros(5, 5), "cannot take images of 224 px: "),
    ],
    ids=["dict", "list", "map", "an error"],
)
def test_outputs_that_are_no_features(output, message):
    network = Returns(output)
    with pytest.raises(ValueError, match=message):
        feature_dim(network, "mine")
    assert network.training


def test_the_probe_changes_nothing():
    network = Returns(lambda x: x.mean((2, 3), keepdim=True))
    before, state = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    assert feature_dim(network, "mine") == 3
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_names_that_are_none():
    with pytest.raises(ValueError, match=r"'convnext_tiney' is no model of timm; near: .*convnext"):
        timm_convnet("convnext_tiney")
    with pytest.raises(ValueError, match="'restnet18' is no classifier of torchvision; near"):
        torchvision_convnet("restnet18")
    with pytest.raises(ValueError, match="squeezenet1_0 ends in no linear classifier"):
        torchvision_convnet("squeezenet1_0")
    with pytest.raises(ValueError, match="in_channels=0 must be at least 1"):
        torchvision_convnet("resnet18", in_channels=0)
    with pytest.raises(ValueError, match="takes 5 channels: it does not see the images"):
        take_channels(nn.Sequential(nn.Conv2d(5, 2, 3)), 4)


COMMON = (
    "data.train_images=8 data.val_images=4 data.classes=2 data.size=32 view_size=32 "
    "loader.batch_size=4 loader.workers=0 trainer.max_epochs=1 trainer.accelerator=cpu "
    "localizer=uniform masking=highpass masking.negative=null "
    "method.queue_size=8 method.split_batch_size=2 name=run "
    # At the usual rate two steps on four pictures leave ShuffleNet with features that overflow.
    "method.learning_rate=1e-5"
)


@pytest.mark.parametrize(
    ("library", "name"), [("timm", "resnet10t"), ("torchvision", "shufflenet_v2_x0_5")]
)
def test_pretrained_loaded_exported_the_same_features(library, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = ["data=generated", f"backbone={library}", f"backbone.name={name}", "out=runs"]
    assert main(["pretrain", *chosen, *COMMON.split()]) == 0
    record = json.loads((tmp_path / "runs/run/record.json").read_text())
    assert f"{library}/{name}" in json.dumps(record)
    assert main(["pretrain", *chosen, *COMMON.split()]) == 0  # it is known again
    assert "already pretrained" in capsys.readouterr().out

    loaded = load_backbone(tmp_path / "runs" / "run")
    assert loaded.architecture == (name if library == "timm" else f"torchvision/{name}")
    assert loaded.view_filter is not None
    make = timm_convnet if library == "timm" else torchvision_convnet
    network, width = make(name)
    file = next((tmp_path / "runs/run/checkpoints").glob("*.ckpt"))
    state = torch.load(file, weights_only=True)["state_dict"]
    online = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    online.pop("highpass_kernel", None)
    network.load_state_dict(online)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = network.eval()(loaded.view_filter(images))
        assert expected.isfinite().all()
        torch.testing.assert_close(loaded.filtered()(images), expected)
    assert expected.shape == (2, width) == (2, loaded.feature_dim)

    export_backbone(loaded, tmp_path / "export", format="safetensors")
    with torch.no_grad():
        torch.testing.assert_close(load_backbone(tmp_path / "export").filtered()(images), expected)
    if library == "torchvision":
        with pytest.raises(ValueError, match="timm builds no torchvision/"):
            export_backbone(loaded, tmp_path / "other", format="timm", filter_outside=True)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_a_checkpoint_of_torchvision_is_read_with_or_without_its_classifier(name, tmp_path):
    whole = torchvision.models.get_model(name, weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    found = load_backbone(tmp_path / "whole.pth", architecture=f"torchvision/{name}")
    torch.save(found.network.state_dict(), tmp_path / "bare.pth")
    bare = load_backbone(tmp_path / "bare.pth", architecture=f"torchvision/{name}")
    assert bare.fingerprint == found.fingerprint
    last = [module for module in whole.modules() if isinstance(module, nn.Linear)][-1]
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(last(found.network(images)), whole(images), atol=1e-6)
