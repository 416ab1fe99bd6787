"""The pose head written out: what training begins with, and what its last layer means."""

import pytest
import torch
from oracles.narrow_resnet import narrow_backbone
from torch import nn

from salmask_plugin.lab.downstream.depth.pose import PoseNetwork


@pytest.fixture
def pose():
    torch.manual_seed(2)
    return PoseNetwork(narrow_backbone().network, channels=16).eval()


def test_the_motion_is_a_hundredth_of_the_heads_mean_over_the_map(pose, generator):
    first, second = torch.rand(2, 2, 3, 64, 96, generator=generator)
    with torch.no_grad():
        network = pose.encoder.network
        x = network.maxpool(network.bn1(network.conv1(torch.cat([first, second], 1))).relu())
        x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
        for layer in (pose.head[0], pose.head[2], pose.head[4]):
            x = layer(x).clamp(min=0)
        rows = pose.head[6](x)
        expected = torch.stack([rows[:, k].flatten(1).sum(1) for k in range(6)], 1) / (100 * 2 * 3)
        assert rows.shape == (2, 6, 2, 3)
        assert torch.allclose(pose(first, second), expected, rtol=1e-4, atol=1e-8)
        assert not torch.allclose(pose(second, first), expected, rtol=1e-2, atol=1e-8)


def test_a_bias_of_one_is_a_hundredth(pose, generator):
    last = pose.head[-1]
    nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([1.0, 2, 3, 4, 5, 6])
    first, second = torch.rand(2, 1, 3, 64, 64, generator=generator)
    assert pose(first, second).tolist()[0] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
