"""SCDALocalizer: summed channels, its own input size, no 1 x 1 maps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from salmask_plugin import MomentumLocalizer, SCDALocalizer
from salmask_plugin.localizers.frozen import FrozenNetwork
from salmask_plugin.localizers.shifted import ShiftedLocalizer


class Network:
    """Stride-8 mean pooling to 4 unequal channels; remembers what it saw."""

    trained_on = "toys"

    def __init__(self):
        self.sizes = []

    def __call__(self, images):
        self.sizes.append(tuple(images.shape))
        assert not torch.is_grad_enabled()
        pooled = F.avg_pool2d(images.float(), 8)
        return torch.cat((pooled, pooled[:, :1] ** 2), dim=1)


def test_sum_of_channels_by_a_loop(make_images):
    images = make_images(height=24, width=40)
    saliency = SCDALocalizer(Network(), input_size=None)(images)
    with torch.no_grad():
        features = Network()(images)
    assert saliency.shape == (5, 3, 5)
    for b in range(5):
        for i in range(3):
            for j in range(5):
                total = sum(float(features[b, d, i, j]) for d in range(features.shape[1]))
                assert float(saliency[b, i, j]) == pytest.approx(total, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("input_size", "height", "width", "seen"),
    [
        (32, 16, 16, (32, 32)),
        (32, 16, 24, (32, 48)),
        (32, 90, 60, (48, 32)),
        ((40, 24), 33, 70, (40, 24)),
        ([40, 24], 33, 70, (40, 24)),
        (None, 33, 70, (33, 70)),
    ],
)
def test_own_input_size(make_images, input_size, height, width, seen):
    network = Network()
    images = make_images(height=height, width=width)
    saliency = SCDALocalizer(network, input_size=input_size)(images)
    assert network.sizes == [(5, 3, *seen)]  # one forward for the whole batch
    assert saliency.shape == (5, seen[0] // 8, seen[1] // 8)


def test_shrinking_sees_every_pixel():
    """A checkerboard of single pixels is grey after an antialiased reduction."""
    board = (torch.arange(256)[:, None] + torch.arange(256)) % 2 * 2.0 - 1
    seen = []
    localizer = SCDALocalizer(lambda x: seen.append(x) or x, input_size=(96, 100))
    localizer(board.expand(1, 3, -1, -1))
    assert seen[0][..., 3:-3, 3:-3].abs().max() < 0.15


def test_map_follows_the_object():
    """A bright L in a dark view: the most salient cells are the L's, at its own place."""
    cells = torch.zeros(1, 3, 4, 5)
    for i, j in ((0, 3), (1, 3), (1, 4)):
        cells[..., i, j] = 1
    images = cells.repeat_interleave(8, 2).repeat_interleave(8, 3)
    saliency = SCDALocalizer(Network(), input_size=None)(images)
    assert torch.equal(saliency[0] > saliency.mean(), cells[0, 0] > 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_views(make_images, dtype):
    localizer = SCDALocalizer(Network(), input_size=24)
    images = make_images(height=20, width=33).to(dtype)
    saliency = localizer(images)
    assert saliency.dtype == torch.float32
    torch.testing.assert_close(saliency, localizer(images.float()))


def test_half_precision_features_are_summed_in_float32():
    features = torch.full((1, 4096, 2, 3), 30.0, dtype=torch.float16)
    saliency = SCDALocalizer(lambda images: features, input_size=None)(torch.zeros(1, 3, 8, 8))
    assert torch.equal(saliency, torch.full((1, 2, 3), 4096 * 30.0))


def test_one_cell_is_an_error(make_images):
    with pytest.raises(ValueError, match=r"1 x 1.*8 x 8 px.*set input_size"):
        SCDALocalizer(Network(), input_size=None)(make_images(height=8, width=8))


def test_tokens_are_an_error(make_images):
    with pytest.raises(ValueError, match=r"\(5, 49, 8\)"):
        SCDALocalizer(lambda images: torch.zeros(5, 49, 8))(make_images())


@pytest.mark.parametrize("size", [0, -3, (0, 5), (1, 2, 3)])
def test_wrong_input_size(size):
    with pytest.raises(ValueError, match="input_size="):
        SCDALocalizer(Network(), input_size=size)


def test_a_bare_module_is_refused():
    with pytest.raises(ValueError, match=r"Conv2d is an nn.Module.*MomentumLocalizer"):
        SCDALocalizer(nn.Conv2d(3, 4, 3))


def test_says_what_it_was_trained_on():
    assert SCDALocalizer(Network()).trained_on == "toys"
    assert SCDALocalizer(lambda images: images).trained_on == "unknown"
    frozen = FrozenNetwork(nn.Conv2d(3, 4, 3), name="net", trained_on="toys")
    assert repr(SCDALocalizer(frozen, input_size=64)) == (
        "SCDALocalizer(network=FrozenNetwork('net', trained_on='toys'), input_size=64)"
    )


@pytest.mark.parametrize(
    "localizer",
    [
        SCDALocalizer(Network(), input_size=32),
        SCDALocalizer(Network(), input_size=None),
        ShiftedLocalizer(Network(), size=32),
        MomentumLocalizer(nn.Sequential(nn.Conv2d(3, 4, 3)), layer="0"),
    ],
    ids=["resized", "as they are", "shifted", "momentum"],
)
def test_bytes_are_no_normalised_views(localizer, make_images):
    """Resized to the network's size, 0..255 passed for values around zero."""
    with pytest.raises(ValueError, match=r"images are torch.uint8 .* normalised"):
        localizer(make_images().to(torch.uint8))
