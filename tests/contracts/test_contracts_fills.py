"""What every exported fill owes its callers. New classes are found by walking __all__."""

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import salmask_plugin.fills as room
from salmask_plugin.types import Fill

# Only classes that cannot be built from their defaults need a line here.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "FillMixture": {"fills": [room.MeanFill(), room.NoiseFill()], "weights": [0.3, 0.7]}
}
CLASSES = [getattr(room, name) for name in room.__all__ if inspect.isclass(getattr(room, name))]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def fill(request):
    return request.param(**ARGUMENTS.get(request.param.__name__, {}))


def across_images(fill) -> bool:
    """Whether a fill says that it shows one image in another's place."""
    return getattr(fill, "across_images", False)


def seeded(seed: int = 11) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(5))


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (4, 3, 47, 33), (2, 3, 96, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_shape_dtype_and_device(fill, shape, dtype):
    view = images(*shape).to(dtype)
    if across_images(fill) and len(view) == 1:
        with pytest.raises(ValueError, match="at least 2 images"):
            fill(view, seeded())
        return
    content = fill(view, seeded())
    assert isinstance(fill, Fill)
    assert torch.broadcast_shapes(content.shape, shape) == shape
    assert content.dtype == dtype
    assert content.device == view.device
    assert content.isfinite().all()


def test_runs_on_the_meta_device(fill):
    assert fill(torch.zeros((2, 3, 64, 48), device="meta")).device.type == "meta"


def test_generator_decides_everything(fill):
    state = torch.get_rng_state()
    one, again = (fill(images(3, 3, 40, 32), seeded(1)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, again)


def test_consumption_does_not_depend_on_the_data(fill):
    states = []
    for view in (images(2, 3, 40, 32), torch.zeros(2, 3, 40, 32)):
        generator = seeded()
        fill(view, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_an_image_does_not_see_its_neighbours(fill):
    if across_images(fill):
        pytest.skip("an image in another's place is what it is for")
    view = images(3, 3, 40, 32)
    changed = torch.cat((view[:1], torch.full_like(view[1:], float("nan"))))
    alone, among = fill(view, seeded())[:1], fill(changed, seeded())[:1]
    assert torch.allclose(alone, among, atol=1e-6)


def test_input_is_not_modified(fill):
    view = images(3, 3, 40, 32)
    before = view.clone()
    content = fill(view, seeded())
    content.expand_as(view).clone().add_(1)
    assert torch.equal(view, before)
    assert content.data_ptr() != view.data_ptr()


def test_pickles_copies_compares_and_prints(fill):
    view = images(3, 3, 40, 32)
    expected = fill(view, seeded())
    for twin in (pickle.loads(pickle.dumps(fill)), copy.deepcopy(fill)):
        assert torch.equal(twin(view, seeded()), expected)
        assert twin == fill
    assert repr(fill).startswith(type(fill).__name__)


def test_is_no_module(fill):
    assert not isinstance(fill, nn.Module)
    assert not any(isinstance(x, nn.Module | torch.Tensor) for x in vars(fill).values())


@pytest.mark.parametrize(
    "view",
    [images(2, 3, 4, 32, 32), images(3, 32, 32), images(2, 3, 32, 32).to(torch.uint8)],
    ids=["five axes", "three axes", "uint8"],
)
def test_what_is_no_batch_of_views_is_an_error(fill, view):
    """Video clips got means over wrong axes; bytes wrap around."""
    with pytest.raises(ValueError, match=r"images are torch.* \(B, C, H, W\) are expected"):
        fill(view, seeded())


def test_draws_do_not_depend_on_the_default_dtype(fill, in_float64):
    view = images(2, 3, 40, 40).float()
    with in_float64():
        other = fill(view, seeded())
    assert torch.equal(fill(view, seeded()), other)
