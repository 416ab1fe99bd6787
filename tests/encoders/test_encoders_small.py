"""The small encoder: its layers, its grid, and its way through checkpoints and exports."""

import pytest
import torch
import torch.nn.functional as F

from salmask_plugin.encoders import SMALL_WIDTHS, SmallConvNet, load_backbone, small_convnet
from salmask_plugin.encoders.architectures import build_network, infer_architecture, small_name
from salmask_plugin.encoders.convnets import channels_of
from salmask_plugin.encoders.export import export_backbone
from salmask_plugin.encoders.small_convnet import _template, widths_of
from salmask_plugin.filters import HighPassFilter


def in_words(network, images):
    """The same layers written out, in eval mode: an independent reading of the description."""

    def normal(x, name):
        norm = network.get_submodule(name)
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    def convolved(x, name):
        return F.conv2d(x, network.get_submodule(name).weight, padding=1)

    x = F.relu(normal(convolved(images, "stem.0"), "stem.1"))
    for group in ("layer1", "layer2", "layer3"):
        x = F.max_pool2d(convolved(x, f"{group}.0"), 2)
        x = F.relu(normal(x, f"{group}.2"))
        x = F.relu(normal(convolved(x, f"{group}.4"), f"{group}.5"))
    return x, x.flatten(2).mean(2)


@torch.no_grad()
@pytest.mark.parametrize(("side", "cells"), [(32, 4), (48, 6), ((40, 24), (5, 3))])
def test_it_is_the_network_that_its_description_says(side, cells):
    torch.manual_seed(0)
    network, feature_dim = small_convnet((5, 6, 7, 9))
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    network.eval()
    height, width = (side, side) if isinstance(side, int) else side
    images = torch.randn(2, 3, height, width)
    maps, features = in_words(network, images)
    assert feature_dim == 9
    torch.testing.assert_close(network(images), features)
    assert maps.shape[-2:] == ((cells, cells) if isinstance(cells, int) else cells)


def test_it_has_the_size_that_is_told():
    parameters = sum(value.numel() for value in SmallConvNet().parameters())
    by_hand = 27 * 24 + 9 * (24 * 32 + 32 * 32 + 32 * 96 + 96 * 96 + 96 * 192 + 192 * 192)
    assert parameters == by_hand + 2 * (24 + 2 * 32 + 2 * 96 + 2 * 192) == 626_360


@pytest.mark.parametrize("widths", [(24, 32, 96), (24, 32, 96, 0)])
def test_wrong_widths_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        SmallConvNet(widths)


@pytest.mark.parametrize("widths", [SMALL_WIDTHS, (5, 6, 7, 9)])
def test_its_weights_tell_its_name(widths):
    network, _ = small_convnet(widths)
    name = infer_architecture(network.state_dict(), small_stem=None)
    assert name == small_name(widths)
    again, feature_dim = build_network(name)
    again.load_state_dict(network.state_dict())
    assert feature_dim == widths[-1]


@torch.no_grad()
def test_a_checkpoint_comes_back_through_an_export(tmp_path):
    torch.manual_seed(1)
    network, _ = small_convnet((5, 6, 7, 9))
    images = torch.randn(3, 3, 24, 16)
    network(images)  # running statistics that no initialisation has
    named = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": named}, tmp_path / "run.ckpt")
    backbone = load_backbone(tmp_path / "run.ckpt")
    assert backbone.architecture == "small_5_6_7_9"
    torch.testing.assert_close(backbone.network(images), network.eval()(images))
    (tmp_path / "export").mkdir()
    export_backbone(backbone, tmp_path / "export", format="safetensors", view_size=24)
    assert load_backbone(tmp_path / "export").fingerprint == backbone.fingerprint
    for name in ("timm", "torchvision", "detectron2"):
        with pytest.raises(ValueError, match="small_5_6_7_9"):
            export_backbone(backbone, tmp_path / name, format=name, view_size=24)


@pytest.mark.parametrize("widths", [(2**30,) * 4, (8, 8, 8, 16)])
def test_widths_that_are_not_the_weights_are_refused_before_anything_is_built(widths, tmp_path):
    """Of the widths in the first case no machine has the memory."""
    name = small_name(widths)
    torch.save(SmallConvNet((8, 8, 8, 8)).state_dict(), tmp_path / "small.pth")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"small\.pth holds a small_8_8_8_8"):
        load_backbone(tmp_path / "small.pth", architecture=name)
    with pytest.raises(ValueError, match=r"other\.pth holds no small encoder"):
        load_backbone(tmp_path / "other.pth", architecture=name)


@pytest.mark.parametrize("kernel", [5, [1], ["x", 1.0], [4, 1.0], [5, 0.0], {"taps": 5}])
def test_a_filter_of_another_form_in_a_checkpoint_is_one_sentence(kernel, tmp_path):
    file = tmp_path / "epoch-0000.ckpt"
    weights = SmallConvNet((8, 8, 8, 8)).state_dict()
    kept = {"state_dict": {f"backbone.{name}": value for name, value in weights.items()}}
    torch.save({**kept, "salmask_batches_seen": 1, "salmask_view_filter": kernel}, file)
    with pytest.raises(ValueError, match=r"salmask_view_filter must be \[taps, sigma\] or None"):
        load_backbone(file)
    torch.save({**kept, "callbacks": {"SaliencyMaskingCallback": 3}}, file)
    with pytest.raises(ValueError, match="an unrecorded filter or none"):
        load_backbone(file)
    torch.save({**kept, "callbacks": [1]}, file)
    assert load_backbone(file).view_filter is None


@pytest.mark.parametrize("kernel", [[5.0], 5.0, [5.0, 0], [4.0, 1], [float("inf"), 1], [5, 1, 1]])
def test_a_filter_of_another_form_among_the_weights_is_one_sentence(kernel, tmp_path):
    weights = SmallConvNet((8, 8, 8, 8)).state_dict()
    torch.save({**weights, "highpass_kernel": torch.tensor(kernel)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"highpass_kernel .* is no filter's \(taps, sigma\)"):
        load_backbone(tmp_path / "x.pth")


def test_the_filter_among_the_weights_may_be_said_again(tmp_path):
    """The buffer is single precision: its own sigma contradicted it."""
    weights, sigma = SmallConvNet((8, 8, 8, 8)).state_dict(), 15 / 7
    torch.save({**weights, "highpass_kernel": torch.tensor([5, sigma])}, tmp_path / "x.pth")
    said = load_backbone(tmp_path / "x.pth", view_filter=HighPassFilter(5, sigma))
    assert said.fingerprint == load_backbone(tmp_path / "x.pth").fingerprint
    for other in (None, HighPassFilter(5, 2.14), HighPassFilter(7, sigma)):
        with pytest.raises(ValueError, match="contradicts"):
            load_backbone(tmp_path / "x.pth", view_filter=other)


def test_tensors_without_names_are_one_sentence(tmp_path):
    torch.save({0: torch.zeros(2), 1: torch.zeros(3)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds no plain mapping from names to tensors"):
        load_backbone(tmp_path / "x.pth")


MANY = 2**40
EMPTY = torch.empty(MANY, 0, 3, 3)
SHOWN_OFTEN = torch.zeros(1).expand(MANY, 11, 3, 3)
WITHOUT_STORAGE = torch.empty(MANY, 11, 3, 3, device="meta")
NO_WEIGHTS = [torch.tensor(1.0), torch.zeros(5), EMPTY, SHOWN_OFTEN, WITHOUT_STORAGE]


@pytest.mark.parametrize("value", NO_WEIGHTS, ids=["0d", "1d", "empty", "shown often", "meta"])
@pytest.mark.parametrize("name", ["stem.0.weight", "layer3.0.weight", "layer3.2.weight"])
def test_a_shape_alone_builds_nothing(name, value, tmp_path):
    """Of the second shape on, a network would take 39 TB; files of 12 kB have them."""
    weights = SmallConvNet((8, 8, 8, 8)).state_dict()
    torch.save({**weights, name: value}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth"):
        load_backbone(tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth holds no small encoder"):
        load_backbone(tmp_path / "x.pth", architecture=f"small_8_8_8_{MANY}")
    with pytest.raises(ValueError, match=r"x\.pth does not fit"):
        load_backbone(tmp_path / "x.pth", architecture="small")


@pytest.mark.parametrize("name", ["conv1.weight", "layer1.0.conv1.weight"])
@pytest.mark.parametrize("value", NO_WEIGHTS, ids=["0d", "1d", "empty", "shown often", "meta"])
def test_a_resnet_is_told_by_whole_shapes(name, value):
    state = {f"layer{stage}.{block}.x": value for stage in (1, 2, 3, 4) for block in (0, 1)}
    state |= {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(64)}
    assert infer_architecture(state, small_stem=None) == "resnet18"
    with pytest.raises(ValueError, match=r"none of resnet18|conv1\.weight has shape"):
        infer_architecture({**state, name: value}, small_stem=None)


def test_channels_are_read_of_whole_weights_alone():
    network, _ = small_convnet((5, 6, 7, 9))
    name = "stem.0.weight"
    assert channels_of({name: torch.zeros(5, 4, 3, 3)}, network) == 4
    for shape in ((0, MANY, 3, 3), (5, MANY, 0, 3), (6, 4, 3, 3), (5, 4, 3, 1), (5, 0, 3, 3), ()):
        assert channels_of({name: torch.empty(shape)}, network) == 3
    assert channels_of({name: torch.zeros(1).expand(5, MANY, 3, 3)}, network) == 3
    assert channels_of({name: torch.empty(5, MANY, 3, 3, device="meta")}, network) == 3
    place, one = torch.zeros(4, 1, dtype=torch.long), torch.ones(1)
    sparse = torch.sparse_coo_tensor(place, one, (5, MANY, 3, 3), check_invariants=True)
    assert channels_of({name: sparse}, network) == 3


def test_knowing_the_small_encoder_draws_nothing():
    _template.cache_clear()
    state = SmallConvNet((5, 6, 7, 9), in_channels=2).state_dict()
    before = torch.get_rng_state()
    assert widths_of(state) == (5, 6, 7, 9)
    assert torch.equal(torch.get_rng_state(), before)
