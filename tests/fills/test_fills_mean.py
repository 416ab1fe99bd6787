import numpy as np
import pytest
import torch
from oracles.pixels import mean_plane
from torch.utils._python_dispatch import TorchDispatchMode

from salmask_plugin import MeanFill


def test_equals_the_mean_of_each_plane(make_images):
    images = make_images(3, 9, 14).double()
    content = MeanFill()(images)
    assert content.shape == (3, 3, 1, 1)
    expected = [[mean_plane(plane) for plane in image] for image in images.numpy()]
    assert np.allclose(content[..., 0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    images = torch.full((2, 3, 224, 224), 3.0, dtype=dtype)  # a float16 sum would overflow
    content = MeanFill()(images)
    assert content.dtype == dtype
    assert (content == 3).all()


def test_each_view_has_its_own_mean(make_images):
    images = make_images(4)
    together, alone = MeanFill()(images), torch.cat([MeanFill()(one[None]) for one in images])
    assert torch.allclose(together, alone, atol=1e-6)
    assert len(together[:, 0].unique()) == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_sum_is_asked_for_in_float32(dtype):
    """A CPU widens its sums by itself; other devices do as they are asked."""
    seen = []

    class Means(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            if function is torch.ops.aten.mean.dim:
                seen.append(found.dtype)
            return found

    with Means():
        filled = MeanFill()(torch.ones(2, 3, 4, 4, dtype=dtype))
    assert seen == [torch.float32]
    assert filled.dtype == dtype
