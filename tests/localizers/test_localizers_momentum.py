"""MomentumLocalizer: looks at the host's encoder and leaves no trace."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from salmask_plugin import (
    GridMask,
    HighPassFilter,
    Masking,
    MeanFill,
    MomentumLocalizer,
    SaliencyMasking,
)


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(8)
        model = nn.Sequential()
        model.stem = nn.Conv2d(3, 6, 5, stride=5)
        model.norm = nn.BatchNorm2d(6)
        model.drop = nn.Dropout(0.5)
        model.last = nn.Conv2d(6, 4, 1)
        model.pool = nn.AdaptiveAvgPool2d(1)
    return model.train()


def test_sum_of_channels_in_eval_mode(encoder, make_images):
    images = make_images()
    saliency = MomentumLocalizer(encoder, "last")(images)
    with torch.no_grad():
        features = copy.deepcopy(encoder).eval()[:4](images)
    assert saliency.shape == (5, 8, 7)
    for b in range(5):
        for i in range(8):
            for j in range(7):
                total = sum(float(features[b, d, i, j]) for d in range(4))
                assert float(saliency[b, i, j]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("layer", ["bn1", "layer1.0.conv2", "layer4"])
def test_what_lies_behind_the_layer_does_not_change_its_sum(make_images, layer):
    """In place, as ResNets' activations are, it works on the very tensor that the layer gave."""
    torch.manual_seed(2)
    network, images = resnet18(), make_images()
    found = MomentumLocalizer(network, layer)(images)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    outputs = []
    network.get_submodule(layer).register_forward_hook(lambda *given: outputs.append(given[2]))
    with torch.no_grad():
        network.eval()(images)
    assert torch.equal(found, outputs[0].sum(1))


def test_leaves_no_trace(encoder, make_images):
    encoder.norm.eval()  # a part that the host froze on its own
    images = make_images()
    before = copy.deepcopy(encoder.state_dict())
    modes = [module.training for module in encoder.modules()]
    rng = torch.get_rng_state()
    saliency = MomentumLocalizer(encoder, "last")(images)
    assert not saliency.requires_grad
    assert [module.training for module in encoder.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)  # dropout drew nothing
    assert all(not module._forward_hooks for module in encoder.modules())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_leaves_no_trace_after_an_error(encoder):
    modes = [module.training for module in encoder.modules()]
    with pytest.raises(RuntimeError):
        MomentumLocalizer(encoder, "last")(torch.zeros(2, 1, 20, 20))
    assert [module.training for module in encoder.modules()] == modes
    assert all(not module._forward_hooks for module in encoder.modules())


def test_follows_the_encoders_weights(encoder, make_images):
    localizer = MomentumLocalizer(encoder, "last")
    images = make_images()
    before = localizer(images)
    with torch.no_grad():
        encoder.last.weight.mul_(2)
        encoder.last.bias.mul_(2)
    torch.testing.assert_close(localizer(images), 2 * before)


def test_sees_filtered_views(encoder, make_images):
    images = make_images()
    view_filter = HighPassFilter(kernel_size=3, sigma=1.0)
    filtered = MomentumLocalizer(encoder, "last", view_filter)(images)
    expected = MomentumLocalizer(encoder, "last")(view_filter(images))
    torch.testing.assert_close(filtered, expected)
    assert not torch.allclose(filtered, MomentumLocalizer(encoder, "last")(images))


def test_beside_a_view_filter_it_must_say_what_its_encoder_sees(encoder, make_images):
    """The encoder is trained on filtered views: maps of unfiltered ones would mean nothing."""
    mask, high = Masking(GridMask(), MeanFill()), HighPassFilter(kernel_size=3, sigma=1.0)
    with pytest.raises(ValueError, match=r"no view_filter.*torch\.nn\.Identity"):
        SaliencyMasking(MomentumLocalizer(encoder, "last"), mask, view_filter=high)
    views = make_images(), make_images()
    own = SaliencyMasking(MomentumLocalizer(encoder, "last", high), mask, view_filter=high)
    expected = MomentumLocalizer(encoder, "last")(high(views[0]))
    torch.testing.assert_close(own.localize(*views)[0], expected)
    inside = SaliencyMasking(
        MomentumLocalizer(encoder, "last", nn.Identity()), mask, view_filter=high
    )
    torch.testing.assert_close(
        inside.localize(*views)[0], MomentumLocalizer(encoder, "last")(views[0])
    )
    # One that waits for its encoder is given the filter by the host.
    SaliencyMasking(partial(MomentumLocalizer, layer="last"), mask, view_filter=high)


def test_stays_out_of_the_module_tree(encoder, make_images):
    host = nn.Module()
    host.key_encoder = encoder
    names = list(host.state_dict())
    localizer = MomentumLocalizer(encoder, "last")
    host.masking = SaliencyMasking(localizer, Masking(GridMask(), MeanFill()))
    assert list(host.state_dict()) == names
    host.masking(make_images(), make_images())
    assert localizer.trained_on == "the run's own images (no labels)"
    assert repr(localizer) == "MomentumLocalizer(Sequential, layer='last', view_filter=None)"


def test_a_copied_host_has_a_localizer_of_its_own(encoder):
    host = nn.Module()
    host.key_encoder = encoder
    host.localizer = MomentumLocalizer(encoder, "last")
    other = copy.deepcopy(host)
    assert other.localizer.encoder is other.key_encoder
    assert other.key_encoder is not encoder


def test_survives_a_change_of_the_encoder(encoder, make_images):
    """What moving to another device does: the same modules, new tensors."""
    localizer = MomentumLocalizer(encoder, "last")
    encoder.double()
    images = make_images().double()
    assert localizer(images).dtype == torch.float32
    encoder.to("meta")
    assert localizer(images.to("meta")).device.type == "meta"


def test_under_autocast(encoder, make_images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert MomentumLocalizer(encoder, "last")(make_images()).dtype == torch.float32


def test_unknown_layer_lists_what_there_is():
    with pytest.raises(ValueError, match=r"layer='layer5'.*'layer4'.*its children: \['conv1'"):
        MomentumLocalizer(resnet18(), "layer5")
    with pytest.raises(ValueError, match="layer=''"):
        MomentumLocalizer(resnet18(), "")


def test_one_cell_names_an_earlier_layer():
    views = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    encoder = resnet18()
    with pytest.raises(ValueError, match=r"1 x 1.*layer='layer4' at 32 x 32 px.*layer3"):
        MomentumLocalizer(encoder, "layer4")(views)
    assert MomentumLocalizer(encoder, "layer3")(views).shape == (2, 2, 2)


def test_layer_must_run_once(make_images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Conv2d(3, 3, 1)
            self.unused = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.step(self.step(x))

    encoder = Twice()
    for layer, times in (("step", 2), ("unused", 0)):
        with pytest.raises(ValueError, match=f"ran {times} times"):
            MomentumLocalizer(encoder, layer)(make_images())


def test_vector_output_is_no_map(encoder, make_images):
    flat = nn.Sequential(encoder, nn.Flatten())
    with pytest.raises(ValueError, match=r"features are \(5, 4\)"):
        MomentumLocalizer(flat, "1")(make_images())
