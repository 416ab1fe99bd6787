"""Which functions an encoder may call on maps whose places are not all seen."""

import pytest
import torch
from oracles import visible as slow
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from salmask_plugin import visible_only
from salmask_plugin.sparse.axes import through_a_view


class Calls(nn.Module):
    """A convolution, and a function of its maps."""

    def __init__(self, function):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, images):
        return self.function(self.first(images))


@pytest.fixture
def hidden(generator):
    cells = torch.rand((4, 1, 2, 3), generator=generator) < 0.4
    cells[0] = torch.tensor([[True, False, True], [False, False, True]])
    return cells.repeat_interleave(4, -2).repeat_interleave(4, -1)


@pytest.fixture
def images(generator):
    return torch.randn((4, 3, 8, 12), generator=generator)


def last(maps):
    return maps.permute(0, 2, 3, 1)


def write(maps):
    maps[:, :, 0] = maps[:, :, 1]
    return maps


MIXES = {
    "flatten": lambda maps: maps.flatten(2).mean(-1),
    "flat": lambda maps: torch.flatten(maps, 1),
    "view": lambda maps: maps.view(len(maps), 4, -1),
    "windows": lambda maps: last(maps).view(4, 2, 4, 3, 4, 4),
    "sum": lambda maps: maps.sum((2, 3)) / 96,
    "rows": lambda maps: last(maps).mean(1),
    "einsum": lambda maps: torch.einsum("bchw->bc", maps),
    "bmm": lambda maps: torch.bmm(maps[:, 0], maps[:, 1].mT),
    "matmul": lambda maps: maps @ torch.ones(12, 2),
    "linear": lambda maps: functional.linear(maps, torch.ones(5, 12)),
    "norm": lambda maps: functional.layer_norm(maps, (8, 12)),
    "softmax": lambda maps: maps.softmax(-1),
    "roll": lambda maps: maps.roll(1, 3),
    "rows left out": lambda maps: maps[:, :, ::2],
    "one image": lambda maps: maps[:1] + maps,
    "setitem": write,
    "turned": lambda maps: maps + torch.zeros(4, 4, 12, 8) @ maps,
    "convolution on other axes": lambda maps: nn.Conv2d(8, 8, 1)(last(maps)),
    "channels of other images": lambda maps: nn.Conv2d(8, 8, 1)(maps.view(2, 8, 8, 12)),
}


@pytest.mark.parametrize("name", sorted(MIXES))
def test_a_function_that_mixes_places_is_refused_by_name(name, images, hidden):
    encoder = Calls(MIXES[name])
    with pytest.raises(ValueError, match="the encoder calls torch"), visible_only(encoder, hidden):
        encoder(images)


def shuffled(maps):
    """ShuffleNet's channels."""
    return maps.view(4, 2, 2, 8, 12).transpose(1, 2).reshape(4, 4, 8, 12)


def of_channels(maps):
    """ConvNeXt's block: channels last, a norm, a layer, and back."""
    weight = torch.arange(16.0).view(4, 4)
    maps = functional.layer_norm(last(maps), (4,))
    return (functional.gelu(functional.linear(maps, weight)) @ weight.mT).permute(0, 3, 1, 2)


def attended(maps):
    """ResNeSt's split attention: a softmax and a sum over groups of channels."""
    groups = maps.reshape(4, 2, 2, 8, 12)
    return (groups.softmax(1) * groups).sum(dim=1)


APART = {
    "nothing": lambda maps: maps,
    "shuffle": shuffled,
    "channels last": of_channels,
    "split attention": attended,
    "parts": lambda maps: torch.cat([part * 2 for part in maps.chunk(2, 1)][::-1], 1),
    "stacked": lambda maps: torch.stack([maps, 1 - maps], 1).amax(1),
    "one channel": lambda maps: torch.sigmoid(maps[:, 2]).unsqueeze(1) * maps[:, :2],
    "largest channel": lambda maps: maps.max(dim=1, keepdim=True).values.expand_as(maps).float(),
    "mean channel": lambda maps: maps.mean(1, keepdim=True) - torch.mean(maps, 1).unsqueeze(1) * 2,
    "gate": lambda maps: maps.mul(torch.ones(4, 4, 1, 1).softmax(1).expand_as(maps)),
    "noise": lambda maps: maps + maps.new_ones(maps.shape) * torch.zeros_like(maps).fill_(2),
}


@pytest.mark.parametrize("name", sorted(APART))
def test_places_are_known_after_functions_that_keep_them_apart(name, images, hidden):
    """The mean behind them is that of the same function's visible values, taken in a loop."""
    function = APART[name]
    images = torch.cat((images, images[:, :1] + 1), 1)
    expected = slow.mean(function(images).numpy(), ~hidden[:, 0].numpy())
    with visible_only(nn.Identity(), hidden):
        found = function(images)
        pooled = found.mean((2, 3))
        with pytest.raises(ValueError, match="flatten"):
            found.flatten(2)
    torch.testing.assert_close(pooled.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-5)


MOVES = [
    lambda maps: maps.permute(0, 2, 3, 1),
    lambda maps: maps.transpose(1, -1),
    lambda maps: maps.view(1, -1, *maps.shape[2:]),
    lambda maps: maps.reshape(2, 3, 2, *maps.shape[2:]),
    lambda maps: maps.unsqueeze(2),
    lambda maps: maps.mT,
    lambda maps: maps[:, 1],
    lambda maps: maps[:, None, ::2],
    lambda maps: maps.flatten(0, 1),
    lambda maps: maps.flatten(2),
    lambda maps: maps.flatten(1),
    lambda maps: maps.permute(0, 2, 3, 1).flatten(1, 2),
    lambda maps: maps[..., ::2],
    lambda maps: maps[..., 1:],
    lambda maps: maps.reshape(2, *maps.shape[2:], 6),
    lambda maps: maps.permute(0, 2, 1, 3).reshape(2, maps.shape[2], -1),
    lambda maps: maps.unflatten(3, (3, -1)),
]


@pytest.mark.parametrize("size", [(4, 6), (6, 6), (1, 6)])
@pytest.mark.parametrize("index", range(len(MOVES)))
def test_axes_after_a_view_are_those_whose_values_are_the_places(index, size):
    height, width = size
    grid = torch.arange(height * width).view(size)
    moved = MOVES[index](grid.expand(2, 6, *size).contiguous())
    every = range(moved.ndim)
    pairs = [
        (row, column)
        for row in every
        for column in every
        if row != column
        and moved.movedim((row, column), (-2, -1)).shape[-2:] == size
        and (moved.movedim((row, column), (-2, -1)) == grid).all()
    ]
    found = through_a_view(lambda maps: MOVES[index](maps), torch.zeros(2, 6, *size), (2, 3))
    assert (found is None) == (not pairs)
    assert found is None or found[0] in pairs


@pytest.mark.parametrize("name", ["skresnet18", "test_byobnet"])
def test_networks_of_timm_are_not_refused(name, hidden):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        encoder = timm.create_model(name, num_classes=0)
        large = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
        with visible_only(encoder, large):
            assert len(encoder(torch.zeros(2, 3, 64, 64))) == 2


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.reentrant = reentrant

    def forward(self, images):
        maps = checkpoint(self.last, self.first(images), use_reentrant=self.reentrant)
        return maps.mean((2, 3))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_activations_are_refused_where_gradients_are_taken(reentrant, images, hidden):
    """Recomputed in the backward pass they would be those of whole views."""
    encoder = Checkpointed(reentrant)
    with pytest.raises(ValueError, match="checkpoints its"), visible_only(encoder, hidden):
        encoder(images)
    with torch.no_grad(), visible_only(encoder, hidden):
        encoder(images)


def test_timms_checkpointing_is_refused(images, hidden):
    timm = pytest.importorskip("timm")
    encoder = timm.create_model("test_efficientnet", num_classes=0)
    encoder.set_grad_checkpointing(True)
    words = "checkpoints its activations.*grad_checkpointing=False"
    with pytest.raises(ValueError, match=words), visible_only(encoder, hidden):
        encoder(images)


def test_what_is_recomputed_with_its_places_is_not_refused(images, hidden):
    encoder = Calls(lambda maps: maps.mean((2, 3)))

    def forward(images):
        with visible_only(encoder, hidden):
            return encoder(images)

    checkpoint(forward, images, use_reentrant=False).sum().backward()
    found = encoder.first.weight.grad.clone()
    encoder.zero_grad()
    forward(images).sum().backward()
    assert torch.equal(found, encoder.first.weight.grad)


def test_a_forward_inside_another_is_told_to_join_the_masks(hidden, images):
    encoder, other = nn.Conv2d(3, 4, 3, padding=1), hidden.flip(0)
    with (
        visible_only(encoder, hidden),
        pytest.raises(ValueError, match="join the masks"),
        visible_only(encoder, other),
    ):
        pass
    with visible_only(encoder, hidden), visible_only(encoder, None):
        assert encoder(images).shape == (4, 4, 8, 12)  # None asks for nothing, and is no second
