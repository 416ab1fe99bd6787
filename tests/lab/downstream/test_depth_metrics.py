"""The seven numbers against a plain computation, and their conventions."""

import numpy as np
import pytest
import torch
from oracles.depth import seven

from salmask_plugin.lab.downstream.depth import DepthTest, depth_errors, enlarged, mean_errors


@pytest.fixture
def truth():
    rng = np.random.default_rng(3)
    truth = rng.uniform(1, 95, (37, 101)).astype(np.float32)  # beyond 80 m there is no truth
    truth[rng.random(truth.shape) < 0.6] = 0
    return truth


@pytest.fixture
def guess(truth):
    rng = np.random.default_rng(4)
    return (0.03 * np.maximum(truth, 1) * np.exp(rng.normal(0, 0.4, truth.shape))).astype("f4")


@pytest.mark.parametrize(("crop", "edges"), [("none", (0, 37, 0, 101)), ("garg", (15, 36, 3, 97))])
def test_errors_are_the_plain_ones(truth, guess, crop, edges):
    expected = seven(guess.tolist(), truth.tolist(), edges)
    assert depth_errors(guess, truth, crop=crop) == pytest.approx(expected, rel=1e-6)
    assert 0 < expected["delta1"] < expected["delta3"] < 1


def test_only_the_unit_is_forgiven(truth, guess):
    far = depth_errors(guess, truth)
    assert depth_errors(7 * guess, truth) == pytest.approx(far, rel=1e-6)
    perfect = depth_errors(np.maximum(truth, 1) / 5, truth)
    assert perfect["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert perfect["delta1"] == 1
    metres = depth_errors(np.full_like(truth, 200), truth, median_scaling=False)
    assert metres["rmse"] < 80, "clamped to 80 m"
    assert metres["abs_rel"] > far["abs_rel"]


def test_the_ends_of_the_range_and_of_the_shares_do_not_count():
    truth = np.array([[1e-3, 80, 4, 4, 4, 4]], "f4")
    guess = np.array([[5, 5, 4 * 1.25, 4 * 1.25**2, 4 * 1.25**3, 4]], "f4")  # exact in binary
    found = depth_errors(guess, truth, crop="none", median_scaling=False)
    assert [found[f"delta{power}"] for power in (1, 2, 3)] == [1 / 4, 2 / 4, 3 / 4]
    assert found["abs_rel"] == sum(1.25**power - 1 for power in (1, 2, 3)) / 4


def test_the_mean_counts_pictures_not_pixels():
    found = mean_errors([{"abs_rel": 0.1}, {"abs_rel": 0.4}, {"abs_rel": 0.4}])
    assert found == pytest.approx({"abs_rel": 0.3})
    with pytest.raises(ValueError, match="empty"):
        mean_errors([])


def test_inverse_depth_is_enlarged_not_depth(truth):
    coarse = torch.tensor([[1.0, 0.1], [1.0, 0.1]])
    row = enlarged(coarse, (2, 4))[0]
    assert row == pytest.approx([1.0, 0.775, 0.325, 0.1])  # between the middles of the pixels
    found = DepthTest(crop="none").errors(coarse, truth)
    assert found == depth_errors(1 / enlarged(coarse, truth.shape), truth, crop="none")


def test_what_cannot_be_measured_is_said(truth, guess):
    with pytest.raises(ValueError, match="no pixel of the truth"):
        depth_errors(guess, np.zeros_like(truth))
    with pytest.raises(ValueError, match="crop='eigen'"):
        DepthTest(crop="eigen")
    with pytest.raises(ValueError, match="must be"):
        depth_errors(guess[1:], truth)
    with pytest.raises(ValueError, match="above 0"):
        depth_errors(-guess, truth)
