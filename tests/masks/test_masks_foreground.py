import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles.grid import foreground_loop
from torch import Tensor

from salmask_plugin import foreground

MAPS = arrays(np.float64, (6, 5), elements=st.floats(-8, 8, width=16))


def row_sorted_foreground(saliency: Tensor) -> Tensor:
    """The released rule (defect B1): the cells of each row are sorted before the test."""
    return foreground(saliency.sort(dim=-1).values)


@settings(max_examples=60, deadline=None)
@given(MAPS, st.sampled_from([0.0, 0.6, 1.5]))
def test_equals_the_loop(saliency, tolerance):
    expected = foreground_loop(saliency, tolerance)
    threshold = saliency.mean() - tolerance * saliency.std()
    clear = np.abs(saliency - threshold) > 1e-9  # on the threshold, summation order decides
    actual = foreground(torch.from_numpy(saliency)[None], tolerance)[0].numpy()
    assert (actual == expected)[clear].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_any_dtype_counts_as_its_float32_values(make_saliency, dtype):
    saliency = make_saliency(3, 6, 9).to(dtype)
    expected = [foreground_loop(one.double().numpy()) for one in saliency]
    assert np.array_equal(foreground(saliency).numpy(), np.stack(expected))


def test_commutes_with_flips_and_permutations_of_the_columns(make_saliency):
    saliency = make_saliency(8, 7, 7)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.equal(foreground(saliency[..., order]), foreground(saliency)[..., order])
    assert torch.equal(foreground(saliency.flip(-1)), foreground(saliency).flip(-1))
    assert torch.equal(foreground(saliency.mT), foreground(saliency).mT)


def test_released_row_sort_fails_the_same_property(make_saliency):
    """Defect B1: the count per row is right, the place inside the row is lost."""
    saliency = make_saliency(8, 7, 7)
    released = row_sorted_foreground(saliency)
    assert torch.equal(released.sum(-1), foreground(saliency).sum(-1))
    assert not torch.equal(row_sorted_foreground(saliency.flip(-1)), released.flip(-1))
    assert not torch.equal(released, foreground(saliency))


def test_does_not_depend_on_scale_offset_or_neighbours_in_the_batch(make_saliency):
    saliency = make_saliency(4).double()
    marked = foreground(saliency)
    assert torch.equal(foreground(3.7 * saliency - 11), marked)
    assert torch.equal(torch.cat([foreground(one[None]) for one in saliency]), marked)


def test_tolerance_moves_the_threshold(make_saliency):
    saliency = make_saliency(4)
    shares = [foreground(saliency, t).float().mean().item() for t in (-0.5, 0.0, 0.6, 2.0)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_a_cell_on_the_threshold_is_foreground():
    saliency = torch.tensor([[[0.0, 1.0], [2.0, 1.0]]])
    expected = torch.tensor([[[False, True], [True, True]]])
    assert torch.equal(foreground(saliency, tolerance=0), expected)


def test_foreground_is_never_empty(make_saliency):
    saliency = make_saliency(4)
    strict = foreground(saliency, tolerance=-50)
    assert torch.equal(strict, saliency == saliency.amax((1, 2), keepdim=True))


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-20, 3e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_map_is_all_foreground(value, dtype):
    assert foreground(torch.full((2, 7, 9), value, dtype=dtype)).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_map_with_a_non_finite_cell_is_all_foreground_and_alone_in_that(make_saliency, bad):
    saliency = make_saliency(3)
    expected = foreground(saliency)
    saliency[1, 2, 3] = bad
    expected[1] = True
    assert torch.equal(foreground(saliency), expected)


@pytest.mark.parametrize("shape", [(7, 7), (2, 1, 7, 7), (2, 0, 7)])
def test_wrong_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"must be \(B, h, w\)"):
        foreground(torch.zeros(shape))


def test_the_deviation_is_the_maps_own_and_no_estimate():
    """Of 0, 1, 1, 2 it is 0.707, and 1.3 of them below the mean above 0; estimated, 0.816."""
    maps = torch.tensor([[[0.0, 1.0], [1.0, 2.0]]])
    assert foreground(maps, 1.3).flatten().tolist() == [False, True, True, True]
    assert foreground(maps, 1.42).all()
