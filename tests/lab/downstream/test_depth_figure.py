"""The figure of depths: three panels per picture, sparse truth made visible."""

import io

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.lab.downstream.depth.figure import DepthScene, _inverse, draw_depths


def test_the_figure_has_a_row_per_picture():
    rng = np.random.default_rng(0)
    scene = DepthScene(
        rng.integers(0, 255, (20, 50, 3), np.uint8),
        rng.random((20, 50)),
        np.where(rng.random((20, 50)) < 0.1, 7.0, 0.0),
        "Abs Rel 0.1",
    )
    one, three = (Image.open(io.BytesIO(draw_depths([scene] * n, title="x"))) for n in (1, 3))
    assert one.width == three.width == 1350
    assert three.height > 2 * one.height
    with pytest.raises(ValueError, match="must not be empty"):
        draw_depths([], title="x")


def test_a_lasers_points_are_spread_and_the_nearer_wins():
    truth = np.zeros((30, 1200))
    truth[10, 100], truth[11, 102] = 20, 5
    found = _inverse(truth)
    assert found[10, 101] == found[11, 102] == pytest.approx(1 / 5)
    assert found[9, 98] == pytest.approx(1 / 20)
    assert np.isnan(found[10, 97])
    dense = _inverse(np.full((30, 1200), 4.0))
    assert (dense == 0.25).all()
