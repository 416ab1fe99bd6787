"""What every exported mask sampler owes its callers. New classes are found by walking __all__."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

import salmask_plugin.masks as room
from salmask_plugin.types import MaskSampler

# Only classes that cannot be built from their defaults, or draw nothing then, need a line here.
ARGUMENTS = {
    "BackgroundMask": {"ratio": (0.3, 0.6)},
    "MaskMixture": {
        "samplers": (
            room.FocalMask(),
            room.GridMask(),
            room.GridMask((0.4, 0.7), background=False, per_channel=True),
        ),
        "weights": (0.3, 0.3, 0.4),
    },
}
CLASSES = [getattr(room, name) for name in room.__all__ if inspect.isclass(getattr(room, name))]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def sampler(request):
    return request.param(**ARGUMENTS.get(request.param.__name__, {}))


def seeded(seed: int = 11) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 7, 7), (5, 3, 8), (4, 1, 1), (2, 16, 9), (3, 1, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_shape_dtype_and_device(sampler, shape, dtype):
    saliency = torch.rand(shape, generator=seeded()).to(dtype)
    mask = sampler(saliency, seeded())
    assert isinstance(sampler, MaskSampler)
    assert mask.dtype == torch.bool
    assert mask.device == saliency.device
    assert mask.shape[0] == shape[0]
    assert mask.shape[1] in (1, 3)
    assert mask.shape[2] % shape[1] == 0
    assert mask.shape[3] % shape[2] == 0


def test_runs_on_the_meta_device(sampler):
    """No value is read back: nothing waits for an accelerator, nothing depends on the data."""
    assert sampler(torch.zeros((4, 7, 7), device="meta")).device.type == "meta"


def test_generator_decides_everything(sampler):
    saliency = torch.rand((6, 7, 7), generator=seeded())
    state = torch.get_rng_state()
    one, again, other = (sampler(saliency, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_without_a_generator_the_global_one_is_drawn_from(sampler):
    saliency = torch.rand((6, 7, 7), generator=seeded())
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one = sampler(saliency)
        torch.manual_seed(3)
        assert torch.equal(sampler(saliency), one)


def test_consumption_does_not_depend_on_the_data(sampler):
    """The draws of the next stage must be the same whatever this stage saw."""
    states = []
    for saliency in (torch.zeros(4, 7, 7), torch.rand((4, 7, 7), generator=seeded())):
        generator = seeded()
        sampler(saliency, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan"), float("inf"), float("-inf")])
def test_maps_that_rank_nothing_still_give_masks(sampler, value):
    mask = sampler(torch.full((8, 7, 7), value), seeded())
    assert mask.any()


def test_input_is_not_modified(sampler):
    saliency = torch.rand((4, 7, 7), generator=seeded())
    before = saliency.clone()
    sampler(saliency, seeded())
    assert torch.equal(saliency, before)


def test_pickles_copies_compares_and_prints(sampler):
    saliency = torch.rand((4, 7, 7), generator=seeded())
    expected = sampler(saliency, seeded())
    for twin in (pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler)):
        assert torch.equal(twin(saliency, seeded()), expected)
        assert twin == sampler
    assert repr(sampler).startswith(type(sampler).__name__)


def test_is_no_module(sampler):
    assert not isinstance(sampler, nn.Module)
    assert not any(isinstance(x, nn.Module | torch.Tensor) for x in vars(sampler).values())


def test_wrong_shape_is_an_error(sampler):
    with pytest.raises(ValueError, match=r"must be \(B, h, w\)"):
        sampler(torch.zeros(2, 1, 7, 7), seeded())


def test_draws_do_not_depend_on_the_default_dtype(sampler, in_float64):
    saliency = torch.rand((6, 7, 7), generator=seeded())
    with in_float64():
        other = sampler(saliency, seeded())
    assert torch.equal(sampler(saliency, seeded()), other)
