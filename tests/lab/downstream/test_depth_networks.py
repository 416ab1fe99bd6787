"""Encoder maps and decoder written out, layer by layer, with torch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from oracles.narrow_resnet import CHANNELS, narrow_backbone

from salmask_plugin.lab.downstream.depth import ResNetMaps
from salmask_plugin.lab.downstream.depth.decoder import DepthDecoder


def test_the_first_map_is_the_stems_before_pooling_and_the_others_the_stages(generator):
    network = narrow_backbone().network
    images = torch.randn(2, 3, 64, 96, generator=generator)
    stem = network.bn1(F.conv2d(images, network.conv1.weight, stride=2, padding=3)).clamp(min=0)
    expected, x = [stem], F.max_pool2d(stem, 3, stride=2, padding=1)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = stage(x)
        expected.append(x)
    found = ResNetMaps(network).eval()(images)
    assert len(found) == 5
    for map_, wanted in zip(found, expected, strict=True):
        assert torch.allclose(map_, wanted, atol=1e-5)


def convolved(x, weight, bias):
    """3x3 with mirrored borders: the border pixel itself is not repeated."""
    rows = torch.cat([x[:, :, 1:2], x, x[:, :, -2:-1]], 2)
    return F.conv2d(torch.cat([rows[..., 1:2], rows, rows[..., -2:-1]], 3), weight, bias)


def elu(x):
    return torch.where(x > 0, x, x.exp() - 1)


@pytest.mark.parametrize("widths", [(16, 32, 64, 128, 256), (8, 8, 8, 8, 8)])
def test_the_decoder_is_monodepth2s_written_out(widths, generator):
    torch.manual_seed(4)
    decoder = DepthDecoder(CHANNELS, widths).double()
    maps = [
        torch.randn(2, channels, 64 // stride, 96 // stride, generator=generator).double()
        for channels, stride in zip(CHANNELS, (2, 4, 8, 16, 32), strict=True)
    ]
    weights = dict(decoder.named_parameters())

    def layer(name, x):
        return convolved(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x, expected = maps[4], []
    for step in range(5):
        x = elu(layer(f"before.{step}.0", x))
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if step < 4:
            x = torch.cat([x, maps[3 - step]], 1)
        x = elu(layer(f"after.{step}.0", x))
        assert x.shape[1] == widths[4 - step]
        if step > 0:
            expected.insert(0, 1 / (1 + (-layer(f"heads.{step - 1}", x)).exp()))
    found = decoder(maps)
    assert [tuple(d.shape) for d in found] == [(2, 1, 64 >> s, 96 >> s) for s in range(4)]
    torch.testing.assert_close(found, expected)
