"""Folding changes nothing but time, and refuses where it would."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.ops import FrozenBatchNorm2d

from salmask_plugin.localizers.folding import fold_batch_norm, same_features
from salmask_plugin.localizers.frozen import FrozenNetwork


def lively(network):
    """Give every norm statistics and parameters that matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.normal_(1.0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def norms(network):
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d)]


def features(network):
    return nn.Sequential(*list(network.children())[:-2]).eval()


def test_resnet_folds_wholly_and_keeps_its_features():
    torch.manual_seed(0)
    network = features(lively(resnet18()))
    images = torch.randn(2, 3, 64, 96)
    expected = network(images)
    fold_batch_norm(network)
    assert norms(network) == []
    torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-4)


def test_frozen_batch_norm_folds():
    torch.manual_seed(0)
    norm = FrozenBatchNorm2d(5)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    norm.weight.normal_()
    network = nn.Sequential(nn.Conv2d(3, 5, 3), norm).eval()
    images = torch.randn(2, 3, 8, 9)
    expected = network(images)
    torch.testing.assert_close(fold_batch_norm(network)(images), expected)
    assert norms(network) == []


def test_timm_keeps_the_activation_inside_the_norm():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = lively(timm.create_model("tf_efficientnet_lite0"))
    images = torch.randn(1, 3, 64, 64)
    expected = network.forward_features(images)
    fold_batch_norm(network)
    assert norms(network) == []
    torch.testing.assert_close(network.forward_features(images), expected, rtol=1e-3, atol=1e-3)


class Swapped(nn.Module):
    """Registers its norm after a convolution that does not feed it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        return self.second(self.norm(self.first(images)))


def test_a_network_that_would_change_is_left_alone():
    torch.manual_seed(0)
    network = lively(Swapped())
    folded = fold_batch_norm(lively(Swapped()))
    assert not same_features(network, folded, "forward")
    frozen = FrozenNetwork(network)
    before = frozen(torch.ones(1, 3, 4, 5))
    assert norms(frozen.folded().network)
    torch.testing.assert_close(frozen(torch.ones(1, 3, 4, 5)), before)


def test_the_digest_stays_that_of_the_given_weights():
    torch.manual_seed(0)
    frozen = FrozenNetwork(features(lively(resnet18())))
    digest = frozen.weights_sha256()
    frozen.folded()
    assert norms(frozen.network) == []
    assert frozen.weights_sha256() == digest
