"""High-pass backbones and the checkpoint guard, on torchvision's ResNets: solo-learn's own."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torchvision.models import resnet18, resnet50

from salmask_plugin import HighPassFilter
from salmask_plugin.adapters.solo_learn.backbone import already_filtered, filtered
from salmask_plugin.adapters.solo_learn.registration import register_backbones


@pytest.fixture
def backbones():
    def factory(network):
        return lambda method=None, **kwargs: network(**kwargs)

    registry = {
        "resnet18": factory(resnet18),
        "resnet50": factory(resnet50),
        "vit_tiny": lambda method=None: torch.nn.Linear(2, 2 if method == "mocov3" else 3),
    }
    register_backbones(registry)
    return registry


def make(backbones, name, **kwargs):
    torch.manual_seed(0)
    network = backbones[name](method="simclr", **kwargs).eval()
    network.fc = torch.nn.Identity()
    return network


def stripped(network):
    """What main_linear.py hands to load_state_dict: the keys below ``backbone.``."""
    return dict(network.state_dict())


def test_the_registry_gains_its_names_once(backbones):
    names = set(backbones)
    assert {"resnet18_highpass", "resnet50_highpass", "resnet18_cifar_highpass"} <= names
    before = dict(backbones)
    register_backbones(backbones)
    assert backbones == before


@torch.no_grad()
def test_filters_once_and_not_at_all_when_told_so(backbones, make_images):
    images = make_images(batch=2, height=48, width=40)
    plain = make(backbones, "resnet18")
    network = make(backbones, "resnet18_highpass", highpass_kernel_size=5, highpass_sigma=1.5)
    expected = HighPassFilter(kernel_size=5, sigma=1.5)(images)
    assert torch.equal(filtered(network, images), expected)
    assert torch.equal(network(images), plain(expected))
    with already_filtered(network):
        assert torch.equal(network(expected), plain(expected))
    assert torch.equal(network(images), plain(expected))
    assert torch.equal(filtered(plain, images), images)


def test_same_parameters_as_the_plain_network(backbones):
    plain, highpass = make(backbones, "resnet18"), make(backbones, "resnet18_highpass")
    extra = set(highpass.state_dict()) - set(plain.state_dict())
    assert extra == {"highpass_kernel"}
    for name, value in plain.state_dict().items():
        assert torch.equal(value, highpass.state_dict()[name]), name
    assert highpass.inplanes == 512  # how solo-learn asks for the feature dimension


@torch.no_grad()
def test_an_evaluation_adopts_the_checkpoints_kernel(backbones, make_images):
    trained = make(backbones, "resnet18_highpass", highpass_kernel_size=3, highpass_sigma=0.7)
    evaluated = make(backbones, "resnet18_highpass")
    evaluated.load_state_dict(stripped(trained), strict=False)
    images = make_images(batch=2, height=48, width=40)
    assert torch.equal(evaluated(images), trained(images))
    assert evaluated.highpass_kernel.tolist() == pytest.approx([3, 0.7])


def test_refuses_the_wrong_kind(backbones):
    plain, highpass = make(backbones, "resnet18"), make(backbones, "resnet18_highpass")
    with pytest.raises(ValueError, match=r"has none.*resnet18_highpass"):
        plain.load_state_dict(stripped(highpass), strict=False)
    with pytest.raises(ValueError, match=r"without a high-pass filter.*resnet18"):
        highpass.load_state_dict(stripped(plain), strict=False)


def test_refuses_keys_that_do_not_match(backbones):
    network = make(backbones, "resnet18")
    wrapped = {f"net.{name}": value for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"lacks 10\d of the 10\d tensors"):
        network.load_state_dict(wrapped, strict=False)
    with pytest.raises(ValueError, match="belongs to another backbone"):
        make(backbones, "resnet50").load_state_dict(stripped(network), strict=False)
    network.load_state_dict({**stripped(network), "momentum_conv1.weight": 0}, strict=False)


def test_guards_a_backbone_inside_a_method(backbones):
    class Method(torch.nn.Module):
        def __init__(self, name):
            super().__init__()
            self.backbone = make(backbones, name)

    Method("resnet18").load_state_dict(Method("resnet18").state_dict())
    with pytest.raises(ValueError, match="high-pass"):
        Method("resnet18").load_state_dict(Method("resnet18_highpass").state_dict(), strict=False)


def test_small_stem(backbones):
    network = make(backbones, "resnet18_cifar_highpass")
    assert network.conv1.kernel_size == (3, 3)
    assert network.conv1.padding == (2, 2)
    assert isinstance(network.maxpool, torch.nn.Identity)


def test_copies_and_pickles(backbones, make_images):
    network = make(backbones, "resnet18_highpass")
    images = make_images(batch=2, height=48, width=40)
    with torch.no_grad():
        expected = network(images)
        assert torch.equal(copy.deepcopy(network)(images), expected)
        assert torch.equal(pickle.loads(pickle.dumps(network))(images), expected)


def test_wrong_kernels(backbones):
    with pytest.raises(ValueError, match="must be odd"):
        make(backbones, "resnet18_highpass", highpass_kernel_size=4)


def test_factories_hear_the_hosts_own_method_name(backbones):
    assert backbones["vit_tiny"](method="salmask_mocov3").out_features == 2
    assert backbones["vit_tiny"]("salmask_mocov3").out_features == 2
    assert backbones["vit_tiny"](method="salmask_simclr").out_features == 3
