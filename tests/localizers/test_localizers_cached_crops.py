"""Crops of cached maps against pixels: the picture is drawn, cut, mirrored and counted."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from salmask_plugin import CachedLocalizer
from salmask_plugin.localizers.map_store import CacheManifest


def by_pixels(stored, pixels_per_cell, crop, flipped, grid):
    """Mean of a crop over cells, by drawing: no area formula, no fractions.

    The map is drawn with whole pixels per cell and cut as an image is; every pixel is then split
    into as many as the grid has cells, so that cells hold whole pixels.
    """
    picture = np.kron(stored.astype(np.float64), np.ones(pixels_per_cell))
    left, top, right, bottom = crop
    view = picture[top:bottom, left:right]
    view = view[:, ::-1] if flipped else view
    fine = np.kron(view, np.ones(grid))
    height, width = view.shape
    return fine.reshape(grid[0], height, grid[1], width).mean((1, 3))


@st.composite
def views(draw):
    cells = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    pixels = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    height, width = cells[0] * pixels[0], cells[1] * pixels[1]
    left = draw(st.integers(0, width - 1))
    top = draw(st.integers(0, height - 1))
    # Boxes that end at the border, and boxes of a single pixel, are common draws here.
    right = draw(st.one_of(st.just(width), st.just(left + 1), st.integers(left + 1, width)))
    bottom = draw(st.one_of(st.just(height), st.just(top + 1), st.integers(top + 1, height)))
    seed, flipped = draw(st.integers(0, 2**16)), draw(st.booleans())
    grid = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    return cells, pixels, (left, top, right, bottom), flipped, grid, seed


@settings(max_examples=100, deadline=None)
@given(views())
def test_any_crop_equals_its_pixels(view):
    cells, pixels, crop, flipped, grid, seed = view
    maps = np.random.default_rng(seed).random((3, *cells)).astype(np.float32)
    manifest = CacheManifest("by hand", "none", "none", "toys", 3, cells, dtype="float32")
    width, height = cells[1] * pixels[1], cells[0] * pixels[0]
    shares = [side / whole for side, whole in zip(crop, (width, height) * 2, strict=True)]
    index = seed % 3
    found = CachedLocalizer(maps, manifest, grid)(
        torch.tensor([index, 0]),
        torch.tensor([shares, [0.0, 0.0, 1.0, 1.0]]),
        torch.tensor([flipped, False]),
    )
    expected = by_pixels(maps[index], pixels, crop, flipped, grid)
    np.testing.assert_allclose(found[0], expected, atol=2e-5)
    assert found[0].min() >= maps[index].min() - 1e-5
    assert found[0].max() <= maps[index].max() + 1e-5


@pytest.fixture
def saved(tmp_path):
    maps = np.random.default_rng(1).random((40, 14, 14)).astype(np.float16)
    manifest = CacheManifest("by hand", "none", "none", "toys", 40, (14, 14))
    CachedLocalizer(maps, manifest).save(tmp_path / "cache")
    return CachedLocalizer.load(tmp_path / "cache", grid=(3, 4))


def test_other_processes_get_the_file_not_the_bytes(saved):
    sent = pickle.dumps(saved)
    assert len(sent) < 2000 < saved.maps.nbytes
    call = torch.tensor([7]), torch.tensor([[0.2, 0.1, 0.9, 1.0]]), torch.tensor([True])
    for copied in (pickle.loads(sent), copy.deepcopy(saved)):
        assert isinstance(copied.maps, np.memmap)
        assert torch.equal(copied(*call), saved(*call))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_looks_up_without_waiting(saved):
    call = torch.tensor([7, 3]), torch.rand(2, 4).sort(1).values, torch.tensor([True, False])
    moved = [part.cuda() for part in call]
    saved(*moved)  # copies the maps
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = saved(*moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.cpu(), saved(*call))
