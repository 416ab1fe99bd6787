"""An encoder on visible places, against loops that never look at a hidden one."""

import copy

import numpy as np
import pytest
import torch
from oracles import visible as slow
from torch import nn

from salmask_plugin import visible_only
from salmask_plugin.encoders.small_convnet import SmallConvNet


@pytest.fixture
def hidden(generator):
    """Single pixels and whole cells; one image is whole, one is hidden but for a corner."""
    mask = torch.rand((4, 1, 16, 8), generator=generator) < 0.2
    mask[1, :, :8] = True
    mask[2] = False
    mask[3] = True
    mask[3, :, :4, :4] = False
    return mask


@pytest.fixture
def encoder(generator):
    network = SmallConvNet((2, 3, 2, 4)).double()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
            nn.init.uniform_(layer.bias, -1, 1, generator=generator)
    return network


def norm_of(layer):
    named = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return slow.Norm(*(value.detach().numpy().copy() for value in named))


def in_loops(encoder, images, visible):
    """The small encoder's forward: its features and the running statistics afterwards."""
    norms = []

    def convolve(maps, seen, layer):
        return slow.convolution(maps, seen, layer.weight.detach().numpy(), seen, 1)

    def normalise(maps, seen, layer):
        norms.append(norm_of(layer))
        return np.maximum(slow.batch_norm(maps, seen, norms[-1]), 0)

    maps = normalise(convolve(images, visible, encoder.stem[0]), visible, encoder.stem[1])
    for group in (encoder.layer1, encoder.layer2, encoder.layer3):
        maps, small = slow.max_pool(convolve(maps, visible, group[0]), visible)
        visible = small
        maps = normalise(maps, visible, group[2])
        maps = normalise(convolve(maps, visible, group[4]), visible, group[5])
    return slow.mean(maps, visible), norms


def test_the_small_encoder_equals_loops_over_visible_places(encoder, hidden, generator):
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64)
    expected, norms = in_loops(encoder, images.numpy(), ~hidden[:, 0].numpy())
    with visible_only(encoder, hidden):
        features = encoder(images)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(features.detach().numpy(), expected, atol=1e-10)
    layers = [part for part in encoder.modules() if isinstance(part, nn.BatchNorm2d)]
    for layer, norm in zip(layers, norms, strict=True):
        np.testing.assert_allclose(layer.running_mean.numpy(), norm.mean, atol=1e-10)
        np.testing.assert_allclose(layer.running_var.numpy(), norm.variance, atol=1e-10)


def test_the_gradient_is_that_of_the_visible_function(encoder, hidden, generator):
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64)
    images.requires_grad_()

    def forward(images):
        with visible_only(encoder, hidden):
            return copy.deepcopy(encoder)(images)

    with visible_only(encoder, hidden):
        value = encoder(images).square().sum()
    value.backward()
    assert (images.grad[hidden.expand_as(images)] == 0).all()
    direction = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (
            forward(images + sign * step * direction).square().sum() for sign in (1, -1)
        )
    slope = float((ahead - behind) / (2 * step))
    assert float((images.grad * direction).sum()) == pytest.approx(slope, rel=1e-4)
    weight = encoder.layer2[0].weight
    assert weight.grad.abs().max() > 0


@pytest.mark.parametrize("stride", [1, 2])
def test_a_strided_convolution_equals_loops(hidden, generator, stride):
    layer = nn.Conv2d(3, 2, 3, stride=stride, padding=1, bias=False).double()
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64)
    seen = ~hidden[:, 0].numpy()
    out = seen if stride == 1 else slow.halved(seen)
    expected = slow.convolution(images.numpy(), seen, layer.weight.detach().numpy(), out, stride)
    with visible_only(layer, hidden):
        found = layer(images)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)


def test_averages_are_those_of_visible_places(hidden, generator):
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64)
    seen = ~hidden[:, 0].numpy()
    expected = slow.mean(images.numpy(), seen)
    with visible_only(nn.Identity(), hidden):
        whole = nn.AdaptiveAvgPool2d(1)(images).flatten(1)
        by_hand = images.mean((2, 3))
        smaller = nn.AvgPool2d(2)(images)
    np.testing.assert_allclose(whole.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(by_hand.numpy(), expected, atol=1e-7)
    block, shown = images[0, :, :2, :2], seen[0, :2, :2]
    np.testing.assert_allclose(smaller[0, :, 0, 0], block.numpy()[:, shown].mean(1), atol=1e-7)


@pytest.mark.parametrize("value", [0.0, float("-inf")])
def test_the_maximum_behind_a_pad_is_that_of_visible_places_and_the_pad(value, hidden, generator):
    """As TensorFlow pads: a row and a column more at the end; values below 0, so that 0 shows."""
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64) - 5
    seen = ~hidden[:, 0].numpy()
    with visible_only(nn.Identity(), hidden):
        padded = nn.functional.pad(images, (0, 1, 0, 1), value=value)
        found = nn.functional.max_pool2d(padded, 3, 2).numpy()
    checked = 0
    for b, c, y, x in np.ndindex(found.shape):
        window = slice(2 * y, 2 * y + 3), slice(2 * x, 2 * x + 3)
        values = images.numpy()[b, c][window][seen[b][window]]
        at_the_pad = 2 * y + 3 > 16 or 2 * x + 3 > 8
        if seen[b, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].any():  # the place itself is visible
            assert found[b, c, y, x] == max(values.max(), value if at_the_pad else -np.inf)
            checked += 1
        else:
            assert found[b, c, y, x] == 0
    assert checked > 100


@pytest.mark.parametrize("between", [nn.Identity(), nn.ReLU(), nn.Hardtanh()])
def test_the_mean_behind_a_pad_is_that_of_visible_places_less_for_the_pad(
    between, hidden, generator
):
    """As behind the layer's own padding, whose zeros count: the mean, times the share inside."""
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64)
    seen = ~hidden[:, 0].numpy()
    with visible_only(nn.Identity(), hidden):
        padded = between(nn.functional.pad(images, (2, 1, 1, 2)))
        found = nn.functional.avg_pool2d(padded, 3, 2).numpy()
        own = nn.functional.avg_pool2d(between(images), 3, 2, padding=1).numpy()
        ring = nn.functional.avg_pool2d(between(nn.functional.pad(images, (1, 1, 1, 1))), 3, 2)
    values = between(images).numpy()
    for b, c, y, x in np.ndindex(found.shape):
        rows, columns = slice(max(0, 2 * y - 1), 2 * y + 2), slice(max(0, 2 * x - 2), 2 * x + 1)
        inside, shown = values[b, c][rows, columns], seen[b][rows, columns]
        expected = inside[shown].mean() * inside.size / 9 if shown.any() else 0
        np.testing.assert_allclose(found[b, c, y, x], expected, atol=1e-6)
    np.testing.assert_allclose(ring.numpy(), own, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
def test_upsampling_takes_means_of_visible_places(mode, hidden, generator):
    images = torch.randn((4, 3, 16, 8), generator=generator, dtype=torch.float64)
    weights = torch.eye(128, dtype=torch.float64).view(128, 1, 16, 8)
    weights = nn.functional.interpolate(weights, (21, 13), mode=mode).flatten(1).numpy()
    with visible_only(nn.Identity(), hidden):
        found = nn.functional.interpolate(images, (21, 13), mode=mode)
    found = found.flatten(2).numpy()
    seen = (~hidden[:, 0]).flatten(1).numpy()
    for b, c in np.ndindex(4, 3):
        shares = weights[seen[b]].sum(0)
        sums = images[b, c].flatten().numpy()[seen[b]] @ weights[seen[b]]
        expected = np.divide(sums, shares, out=np.zeros_like(sums), where=shares > 0)
        np.testing.assert_allclose(found[b, c], expected, atol=1e-5)


ADD = {
    "clean + unknown": lambda clean, unknown: clean + unknown,
    "unknown + clean": lambda clean, unknown: unknown + clean,
    "in place": lambda clean, unknown: clean.add_(unknown),
    "clean + number": lambda clean, unknown: clean + 0.5,
}


@pytest.mark.parametrize("add", sorted(ADD))
def test_what_follows_a_sum_reads_no_hidden_place_of_either_part(add, hidden, generator):
    """A sigmoid is 1/2 where nothing is seen; a sum of it with a map of zeros there is no zero."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, gate, last = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
    images = torch.randn(len(hidden), 3, *hidden.shape[2:], generator=generator)

    def encoder(images, seen):
        parts = first(images * seen) * seen, torch.sigmoid(gate(images * seen) * seen)
        return last(ADD[add](*parts) * seen) * seen

    with torch.no_grad(), visible_only(nn.ModuleList([first, gate, last]), hidden):
        found = last(ADD[add](first(images), torch.sigmoid(gate(images))))
    with torch.no_grad():
        torch.testing.assert_close(found, encoder(images, (~hidden).float()))
