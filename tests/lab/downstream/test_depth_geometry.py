"""Warp and loss against pixel loops, and on rides whose depth and motion are known."""

import numpy as np
import pytest
import torch
from oracles import depth as oracle

from salmask_plugin.lab.downstream.depth import (
    depth_loss,
    depth_of,
    motion_matrix,
    photometric_error,
    seen_from_middle,
)
from salmask_plugin.lab.downstream.depth.batches import in_pixels
from salmask_plugin.lab.downstream.depth.generated_sequences import generated_sequences

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def rides():
    return generated_sequences(1, 1, frames=4, width=WIDTH, height=HEIGHT, seed=2).train


def frames_of(rides, index):
    frames = [torch.from_numpy(np.array(frame)) for frame in rides[index]]
    return torch.stack(frames).permute(0, 3, 1, 2).double() / 255


def true_warp(rides, index, step, depth_factor=1.0, inverse=False):
    frames = frames_of(rides, index)
    motion = rides.motion(index, step)
    motion = np.linalg.inv(motion) if inverse else motion
    depth = torch.from_numpy(rides.depth(index)).double()[None, None] * depth_factor
    camera = in_pixels(rides.intrinsics(index), HEIGHT, WIDTH).double()[None]
    neighbour = frames[1 + step][None]
    warped = seen_from_middle(neighbour, depth, torch.from_numpy(motion)[None], camera)
    difference = (warped - frames[1]).abs().mean(1)[0, 8:-8, 8:-8]
    unmoved = (neighbour - frames[1]).abs().mean(1)[0, 8:-8, 8:-8]
    return float(difference.median()), float(unmoved.median())


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize("index", [0, 1])
def test_true_depth_and_motion_reproduce_the_frame(rides, index, step):
    difference, unmoved = true_warp(rides, index, step)
    assert difference < 0.02  # a look-up between pixels blurs a little
    assert difference < unmoved / 3
    # What is wrong in depth or direction is seen.
    assert true_warp(rides, index, step, depth_factor=2.0)[0] > 2 * difference
    assert true_warp(rides, index, step, inverse=True)[0] > 4 * difference


def motions(count, generator):
    return 0.05 * torch.randn(count, 6, generator=generator, dtype=torch.float64)


def test_warp_is_the_loops(generator):
    neighbour = torch.rand(2, 3, 7, 11, generator=generator, dtype=torch.float64)
    depth = 1 + 4 * torch.rand(2, 1, 7, 11, generator=generator, dtype=torch.float64)
    matrix = motion_matrix(8 * motions(2, generator))
    cameras = torch.tensor([[[8.0, 0, 5.2], [0, 9.5, 2.7], [0, 0, 1]]], dtype=torch.float64)
    cameras = cameras * torch.tensor([[[1.0]], [[1.0]]])
    cameras[1, 0, 2] = 4.1
    found = seen_from_middle(neighbour, depth, matrix, cameras)
    for place in range(2):
        expected = oracle.warped(
            *(x[place].tolist() for x in (neighbour, depth[:, 0], matrix, cameras))
        )
        assert torch.allclose(found[place], torch.tensor(expected).double(), atol=1e-5)


def test_motions_turn_and_shift_and_are_undone(generator):
    quarter = torch.tensor([[0, 0, torch.pi / 2, 1.0, 2.0, 3.0]], dtype=torch.float64)
    moved = motion_matrix(quarter) @ torch.tensor([1.0, 0, 0, 1]).double()
    assert torch.allclose(moved, torch.tensor([[1.0, 3.0, 3.0, 1.0]]).double())
    some = 9 * motions(3, generator)
    undone = motion_matrix(some, inverse=True) @ motion_matrix(some)
    assert torch.allclose(undone, torch.eye(4).double().expand(3, 4, 4), atol=1e-12)


def test_disparity_runs_between_the_two_depths():
    found = depth_of(torch.tensor([0.0, 1.0, 0.5]), 0.1, 100)
    assert torch.allclose(found, torch.tensor([100.0, 0.1, 1 / 5.005]))


def test_photometric_error_is_the_loops(generator):
    first, second = torch.rand(2, 1, 3, 5, 8, generator=generator, dtype=torch.float64)
    found = photometric_error(first, second)
    assert found.shape == (1, 1, 5, 8)
    for row in range(5):
        for column in range(8):
            expected = oracle.error_at(first[0].tolist(), second[0].tolist(), row, column)
            assert float(found[0, 0, row, column]) == pytest.approx(expected, abs=1e-9)


def test_loss_is_the_loops(generator):
    """Two samples, two scales, some pixels explained better without motion."""
    count, height, width = 2, 8, 12
    coarse = torch.rand(count, 3, 3, 4, 6, generator=generator, dtype=torch.float64)
    frames = coarse.repeat_interleave(2, -1).repeat_interleave(2, -2)
    frames[:, 2, :, :, :5] = frames[:, 1, :, :, :5]  # does not move there
    disparities = [
        0.05 + 0.2 * torch.rand(count, 1, height >> s, width >> s, generator=generator).double()
        for s in (0, 1)
    ]
    matrices = [motion_matrix(motions(count, generator)) for _ in range(2)]
    cameras = torch.tensor([[8.0, 0, 5.5], [0, 9.0, 3.5], [0, 0, 1]]).double().expand(2, 3, 3)
    noise_of = torch.Generator().manual_seed(5)
    noise = [torch.randn(count, 2, height, width, generator=noise_of) for _ in disparities]
    found = depth_loss(
        disparities, frames, matrices, cameras, generator=torch.Generator().manual_seed(5)
    )
    expected = [
        oracle.loss(
            [d[b, 0].tolist() for d in disparities],
            *(frames[b, k].tolist() for k in range(3)),
            [m[b].tolist() for m in matrices],
            cameras[b].tolist(),
            [n[b].tolist() for n in noise],
        )
        for b in range(count)
    ]
    mean = np.mean(expected, 0)
    assert 0.1 < mean[2] < 0.9
    assert float(found.moving) == pytest.approx(mean[2], abs=1e-6)
    assert float(found.photometric) == pytest.approx(mean[0], rel=1e-5)
    # One mean per picture and scale, then over the batch.
    assert float(found.smoothness) == pytest.approx(mean[1], rel=1e-5)
    assert float(found.total) == pytest.approx(mean[0] + mean[1], rel=1e-5)


def test_what_does_not_move_teaches_nothing(generator):
    frame = torch.rand(1, 1, 3, 8, 12, generator=generator)
    frames = frame.expand(1, 3, 3, 8, 12)
    disparity = torch.full((1, 1, 8, 12), 0.3, requires_grad=True)
    matrix = motion_matrix(torch.tensor([[0, 0.02, 0, 0.3, 0, 0]]))
    cameras = torch.tensor([[[8.0, 0, 5.5], [0, 8, 3.5], [0, 0, 1]]])
    found = depth_loss([disparity], frames, [matrix, matrix], cameras, generator=generator)
    found.photometric.backward()
    assert found.moving == 0
    assert not disparity.grad.any()
