"""FrozenNetwork: out of reach of training, and in the network's own normalisation."""

import copy
import pickle

import pytest
import torch
from torch import nn

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, SCDALocalizer
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD, FrozenNetwork


class Recorder(nn.Module):
    """Returns its input and remembers how it was called."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.seen = []

    def forward(self, x):
        self.seen.append((x, torch.is_grad_enabled(), self.training, self.norm.training))
        return self.norm(x)

    def features(self, x):
        return self.forward(x)[:, :2]


def convolution() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(nn.Conv2d(3, 5, 3, stride=4, padding=1), nn.BatchNorm2d(5), nn.ReLU())


def normalised(pixels, mean, std):
    return torch.stack([(pixels[:, c] - mean[c]) / std[c] for c in range(pixels.shape[1])], dim=1)


def test_undoes_the_views_normalisation_and_applies_the_networks_own(make_images):
    pixels = make_images(height=9, width=12).sigmoid()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    network = Recorder()
    FrozenNetwork(network, mean=mean, std=std)(normalised(pixels, IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(network.seen[0][0], normalised(pixels, mean, std))


def test_other_view_normalisation(make_images):
    pixels = make_images(height=9, width=12).sigmoid()
    view_mean, view_std = (0.9, 0.4, 0.2), (0.3, 0.1, 0.8)
    network = Recorder()
    frozen = FrozenNetwork(network, view_mean=view_mean, view_std=view_std)
    frozen(normalised(pixels, view_mean, view_std))
    expected = normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)
    torch.testing.assert_close(network.seen[0][0], expected)


def test_frozen_and_no_gradient(make_images):
    network = Recorder().train()
    frozen = FrozenNetwork(network)
    images = make_images().requires_grad_(True)
    features = frozen(images)
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network.seen[0][1:] == (False, False, False)


def test_eval_is_asserted_again_and_statistics_stay(make_images):
    network = Recorder()
    frozen = FrozenNetwork(network)
    before = copy.deepcopy(network.norm.state_dict())
    images = make_images()
    expected = frozen(images)
    network.norm.train()
    assert torch.equal(frozen(images), expected)
    assert network.seen[-1][2:] == (False, False)
    for name, value in network.norm.state_dict().items():
        assert torch.equal(value, before[name])


def test_does_not_leak_into_the_module_that_holds_it(make_images):
    localizer = SCDALocalizer(FrozenNetwork(convolution()), input_size=None)
    host = nn.Linear(2, 3, bias=False)
    host.masking = SaliencyMasking(localizer, Masking(GridMask(), MeanFill()))
    host.frozen = localizer.network
    assert [name for name, _ in host.named_parameters()] == ["weight"]
    assert list(host.state_dict()) == ["weight"]
    assert len(list(host.modules())) == 1
    assert list(host.buffers()) == []
    host.train()
    host.masking(make_images(), make_images())
    assert not localizer.network.network.training


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_floating_input_gives_float32(make_images, dtype):
    frozen = FrozenNetwork(convolution())
    images = make_images()
    features = frozen(images.to(dtype))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, frozen(images.to(dtype).float()))


def test_hosts_autocast_changes_nothing(make_images):
    frozen = FrozenNetwork(convolution())
    images = make_images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = frozen(images)
    assert torch.equal(inside, frozen(images))


def test_layout_changes_no_number(make_images):
    images = make_images()
    fast, plain = (FrozenNetwork(convolution(), channels_last=flag) for flag in (True, False))
    torch.testing.assert_close(fast(images), plain(images))
    assert fast.network[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_named_method(make_images):
    assert FrozenNetwork(Recorder(), method="features")(make_images()).shape[1] == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(make_images, copied):
    frozen = FrozenNetwork(convolution(), mean=(0.5, 0.4, 0.3), name="small", trained_on="toys")
    other = copied(frozen)
    assert other.network is not frozen.network
    assert repr(other) == "FrozenNetwork('small', trained_on='toys')"
    images = make_images()
    assert torch.equal(other(images), frozen(images))


def test_weights_digest_tells_weights_apart():
    first, second = FrozenNetwork(convolution()), FrozenNetwork(convolution())
    assert first.weights_sha256() == second.weights_sha256()
    second.network[0].bias.data[2] += 1e-6
    assert first.weights_sha256() != second.weights_sha256()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "bf16"}, "precision='bf16'"),
        ({"std": (0.1, 0.0, 0.2)}, "std="),
        ({"view_std": (0.1, -1.0, 0.2)}, "view_std="),
        ({"mean": (0.1, 0.2)}, "one value per channel"),
        ({"method": "forward_features"}, "method='forward_features'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FrozenNetwork(convolution(), **arguments)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.zeros(3, 8, 8), "floating-point views"),
        (torch.zeros(2, 1, 8, 8), "1 channels"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ValueError, match=message):
        FrozenNetwork(convolution())(images)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_follows_the_images(make_images, precision):
    frozen = FrozenNetwork(convolution(), precision=precision)
    images = make_images()
    expected = frozen(images)
    features = frozen(images.cuda())
    assert features.device.type == "cuda"
    assert features.dtype == torch.float32
    tolerance = 1e-4 if precision == "float32" else 5e-2
    torch.testing.assert_close(features.cpu(), expected, atol=tolerance, rtol=tolerance)
