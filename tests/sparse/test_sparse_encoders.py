"""What holds for any encoder: hidden places do not matter, and nothing hidden changes nothing."""

import copy
import re

import pytest
import torch
from torch import nn

from salmask_plugin import HighPassFilter, visible_only
from salmask_plugin.adapters.lightly import resnet, split_batch_norm
from salmask_plugin.encoders.small_convnet import small_convnet

timm = pytest.importorskip("timm")


def small(name):
    """A timm network in miniature."""
    return timm.create_model(name, num_classes=0)


MADE = {
    "small": lambda: small_convnet((4, 4, 6, 8))[0],
    "resnet18": lambda: resnet("resnet18", stem="cifar_pool")[0],
    "resnet10t": lambda: small("resnet10t"),
    "convnext": lambda: small("test_convnext"),
    "efficientnet": lambda: small("test_efficientnet"),
    "pads": lambda: padded(),
}


def padded():
    """Pads of every kind, before and behind what pools and normalises; values below 0 too."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=2, padding_mode="reflect"),
        nn.ZeroPad2d((1, 2, 0, 1)),
        nn.BatchNorm2d(6),
        nn.Hardtanh(),
        nn.ZeroPad2d((0, 1, 1, 0)),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(6, 5, 3, padding=1, padding_mode="replicate"),
        nn.ZeroPad2d((1, 0, 1, 0)),
        nn.AvgPool2d(3, 2),
        nn.Upsample(scale_factor=2),
        nn.BatchNorm2d(5),
        nn.Conv2d(5, 4, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


@pytest.fixture(params=sorted(MADE))
def encoder(request):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = MADE[request.param]()
    # Random running statistics and affine parts: the usual zeros would hide mistakes.
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2, generator=torch.Generator().manual_seed(1))
            nn.init.uniform_(layer.bias, -1, 1, generator=torch.Generator().manual_seed(2))
    return network


@pytest.fixture
def images(generator):
    return torch.randn((4, 3, 32, 32), generator=generator)


@pytest.fixture
def hidden(generator):
    cells = torch.rand((4, 1, 4, 4), generator=generator) < 0.3
    cells[1] = False
    return cells.repeat_interleave(8, -2).repeat_interleave(8, -1)


def trained(encoder, images, hidden):
    """Features, the gradients of images and parameters, and the buffers after one step."""
    encoder = copy.deepcopy(encoder)
    images = images.clone().requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of dropped paths
        with visible_only(encoder, hidden):
            features = encoder(images)
    features.float().square().sum().backward()
    gradients = [value.grad for value in encoder.parameters()]
    return [features.detach(), images.grad, *gradients, *encoder.buffers()]


def test_nothing_hidden_is_the_plain_encoder_bit_for_bit(encoder, images, hidden):
    plain = trained(encoder, images, None)
    shown = trained(encoder, images, torch.zeros_like(hidden))
    assert all(torch.equal(one, other) for one, other in zip(plain, shown, strict=True))


def test_hidden_places_do_not_matter_and_get_no_gradient(encoder, images, hidden):
    places = hidden.expand_as(images)
    other = torch.where(places, images.flip(0) + 9, images)
    first, second = trained(encoder, images, hidden), trained(encoder, other, hidden)
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert (first[1][places] == 0).all()
    assert first[1][~places].abs().max() > 0
    plain = trained(encoder, images, None)
    assert not torch.allclose(first[0], plain[0], atol=1e-3)


def test_bf16_and_channels_last_stay_near(images, hidden):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        encoder = MADE["resnet18"]()
    expected = trained(encoder, images, hidden)
    last = encoder.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = trained(last, images, hidden)
    similarity = nn.functional.cosine_similarity(found[0].float(), expected[0])
    assert similarity.min() > 0.99


def test_every_map_stays_channels_last(encoder, images, hidden):
    """A layer that answers in another format makes each one after it convert its input."""
    last = encoder.to(memory_format=torch.channels_last)
    wrong, seen = [], []

    def look(layer, given, _):
        if isinstance(layer, nn.Conv2d):
            seen.append(layer)
            wrong.extend([layer] * (not given[0].is_contiguous(memory_format=torch.channels_last)))

    for layer in last.modules():
        layer.register_forward_hook(look)
    with visible_only(last, hidden):
        last(images.to(memory_format=torch.channels_last))
    assert len(seen) > 2
    assert not wrong


def test_groups_are_normalised_apart(images, hidden):
    """Two groups of two images, every other one, are two batches of two images."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        plain = MADE["small"]()
    grouped = copy.deepcopy(plain)
    split_batch_norm(grouped, 2)
    with visible_only(grouped, hidden):
        found = grouped(images)
    halves, buffers = [], []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        own = copy.deepcopy(plain)
        with visible_only(own, hidden[part]):
            halves.append(own(images[part]))
        buffers.append(dict(own.named_buffers()))
    assert torch.allclose(found, torch.stack(halves, 1).flatten(0, 1), atol=1e-5)
    for name, value in grouped.named_buffers():
        if not name.endswith("num_batches_tracked"):
            mean = (buffers[0][name] + buffers[1][name]) / 2
            assert torch.allclose(value, mean, atol=1e-5), name
    assert not torch.allclose(buffers[0]["stem.1.running_mean"], buffers[1]["stem.1.running_mean"])


def test_in_evaluation_the_running_statistics_serve(images, hidden):
    encoder = MADE["small"]().eval()
    before = [value.clone() for value in encoder.buffers()]
    with torch.inference_mode(), visible_only(encoder, hidden):
        one = encoder(images)
        two = encoder(torch.where(hidden, 5.0, images))
    assert torch.equal(one, two)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.buffers(), strict=True))


def test_a_forward_before_it_in_the_same_graph_keeps_its_gradient(images, hidden):
    """SimCLR's one encoder makes two forwards; the second must not spoil the first's backward."""
    encoder = MADE["small"]()
    key = encoder(images)
    with visible_only(encoder, hidden):
        query = encoder(images)
    (key.sum() + query.sum()).backward()
    assert encoder.stem[0].weight.grad.isfinite().all()


def test_outside_nothing_is_left(images, hidden):
    encoder = MADE["small"]().eval()
    names = list(encoder.state_dict())
    before = encoder(images)
    with pytest.raises(RuntimeError, match="channels"), visible_only(encoder, hidden):
        encoder(images[:, :2])
    assert torch.equal(encoder(images), before)
    assert list(encoder.state_dict()) == names
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in encoder.modules())


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.GroupNorm(1, 3), "group_norm"),
        (nn.Upsample(scale_factor=2, mode="bicubic"), "interpolate"),
        (HighPassFilter(3, 1.0), "filters its own input"),
    ],
)
def test_what_mixes_places_otherwise_is_refused(images, hidden, layer, words):
    with pytest.raises(ValueError, match=words), visible_only(layer, hidden):
        layer(images)


def test_a_compiled_encoder_is_refused(hidden):
    encoder = MADE["small"]()
    encoder.layer1.compile()
    with pytest.raises(ValueError, match="compiled"), visible_only(encoder, hidden):
        pass


@pytest.mark.parametrize("wrong", [torch.zeros(4, 3, 8, 8).bool(), torch.zeros(4, 1, 8, 8)])
def test_masks_that_hide_no_place_are_refused(wrong):
    words = re.escape(f"{wrong.dtype} {tuple(wrong.shape)}")
    with pytest.raises(ValueError, match=words), visible_only(nn.Identity(), wrong):
        pass


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)])
def test_another_number_of_images_than_the_mask_has_is_named(count, layer, generator):
    hidden = torch.rand((4, 1, 8, 8), generator=generator) < 0.3
    with (
        pytest.raises(ValueError, match=f"mask is of 4 images.* called on {count}"),
        visible_only(layer, hidden),
    ):
        layer(torch.randn((count, 3, 8, 8), generator=generator))


@pytest.mark.parametrize("size", [(8, 6), (16, 12)])
def test_another_size_of_images_than_the_masks_is_named(size, generator):
    """It was stretched to the images, so that other places were hidden."""
    hidden = torch.rand((4, 1, 8, 12), generator=generator) < 0.3
    layer = nn.Conv2d(3, 4, 3)
    words = f"4 images of 8x12 px, and the encoder is called on 4 of {size[0]}x{size[1]}"
    with pytest.raises(ValueError, match=words), visible_only(layer, hidden):
        layer(torch.randn((4, 3, *size), generator=generator))


def test_a_second_derivative_is_refused(images, hidden):
    norm = nn.BatchNorm2d(3)
    images.requires_grad_()
    with visible_only(norm, hidden):
        found = norm(images)
    (gradient,) = torch.autograd.grad(found.square().sum(), images, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_no_value_is_read_back():
    """On the meta device there are none."""
    encoder = MADE["small"]().to("meta")
    hidden = torch.zeros((4, 1, 32, 32), dtype=torch.bool, device="meta")
    with visible_only(encoder, hidden):
        assert encoder(torch.zeros((4, 3, 32, 32), device="meta")).shape == (4, 8)
