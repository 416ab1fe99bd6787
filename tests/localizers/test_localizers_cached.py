"""CachedLocalizer: exact through crop and flip, and only for the images it was made from."""

import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from salmask_plugin import CachedLocalizer, SCDALocalizer, foreground
from salmask_plugin.localizers.cached import CacheManifest
from salmask_plugin.localizers.frozen import FrozenNetwork


def store(maps: np.ndarray, grid=(3, 4)) -> CachedLocalizer:
    manifest = CacheManifest("by hand", "none", "none", "toys", len(maps), maps.shape[1:])
    return CachedLocalizer(maps, manifest, grid)


def integrate(stored, box, flipped, grid):
    """The mean of a piecewise constant map over each cell of a crop, by looping over both grids."""
    height, width = stored.shape
    x0, y0, x1, y1 = box
    result = torch.zeros(grid)
    for i in range(grid[0]):
        top, bottom = (y0 + (y1 - y0) * k / grid[0] for k in (i, i + 1))
        for j in range(grid[1]):
            left, right = (x0 + (x1 - x0) * k / grid[1] for k in (j, j + 1))
            total = 0.0
            for y in range(height):
                rows = min(bottom, (y + 1) / height) - max(top, y / height)
                for x in range(width):
                    columns = min(right, (x + 1) / width) - max(left, x / width)
                    if rows > 0 and columns > 0:
                        total += float(stored[y, x]) * rows * columns
            column = grid[1] - 1 - j if flipped else j
            result[i, column] = total / ((bottom - top) * (right - left))
    return result


BOXES = torch.tensor(
    [
        [0.0, 0.0, 1.0, 1.0],
        [0.13, 0.27, 0.91, 0.62],  # not square, not on the grid
        [0.5, 0.0, 1.0, 0.4],
        [0.41, 0.55, 0.44, 0.56],  # inside one stored cell
        [0.2, 0.6, 0.4, 1.0],
    ]
)
INDICES = torch.tensor([2, 0, 1, 2, 2])
FLIPPED = torch.tensor([False, True, False, True, True])


@pytest.fixture
def maps():
    return np.random.default_rng(4).random((3, 5, 6)).astype(np.float32)


def test_equals_the_integral(maps):
    saliency = store(maps)(INDICES, BOXES, FLIPPED)
    assert saliency.shape == (5, 3, 4)
    for b in range(5):
        expected = integrate(maps[INDICES[b]], BOXES[b].tolist(), FLIPPED[b], (3, 4))
        torch.testing.assert_close(saliency[b], expected, atol=1e-5, rtol=1e-5)


def test_whole_maps_are_those_that_are_stored(maps):
    half = store(maps.astype(np.float16))
    found = half.whole(torch.tensor([2, 0]))
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), half.maps[[2, 0]].astype(np.float32))
    with pytest.raises(ValueError, match="indices run from 3 to 3; the cache holds 0 to 2"):
        half.whole(torch.tensor([3]))


def test_an_l_keeps_its_shape():
    """Cropped to the L and mirrored, cells are cells: no interpolation, nothing transposed."""
    maps = np.zeros((1, 6, 8), dtype=np.float16)
    maps[0, 1:4, 2] = 1
    maps[0, 3, 3] = 1
    box = torch.tensor([[2 / 8, 1 / 6, 5 / 8, 4 / 6]])
    saliency = store(maps, grid=(3, 3))(torch.tensor([0]), box, torch.tensor([True]))
    expected = torch.tensor([[0.0, 0, 1], [0, 0, 1], [0, 1, 1]])
    torch.testing.assert_close(saliency[0], expected, atol=1e-6, rtol=0)


def test_flip_equivariance(maps):
    cached = store(maps)
    plain = cached(INDICES, BOXES, torch.zeros(5, dtype=torch.bool))
    mirrored = cached(INDICES, BOXES, torch.ones(5, dtype=torch.bool))
    assert torch.equal(mirrored, plain.flip(-1))


def test_constant_stays_constant():
    maps = np.full((3, 7, 5), 0.3, dtype=np.float32)
    assert foreground(store(maps)(INDICES, BOXES, FLIPPED)).all()
    beyond = torch.where(BOXES == 1, 1 + 1e-6, BOXES)
    assert foreground(store(maps)(INDICES, beyond, FLIPPED)).all()


@pytest.mark.parametrize(
    ("indices", "boxes", "flipped", "message"),
    [
        (INDICES[:4], BOXES, FLIPPED, r"indices \(4,\)"),
        (INDICES, BOXES[:, :3], FLIPPED, r"boxes \(5, 3\)"),
        (INDICES, BOXES, FLIPPED[:1], r"flipped \(1,\)"),
        (INDICES.float(), BOXES, FLIPPED, r"indices are torch\.float32 and flipped torch\.bool"),
        (
            INDICES,
            BOXES,
            FLIPPED.long(),
            r"flipped torch\.int64; they must be",
        ),
        (INDICES.tolist(), BOXES, FLIPPED, "indices is a list; it must be a tensor"),
        (INDICES, BOXES.numpy(), FLIPPED, "boxes is a ndarray; it must be a tensor"),
        (INDICES + 1, BOXES, FLIPPED, "indices run from 1 to 3; the cache holds 0 to 2"),
        (INDICES - 1, BOXES, FLIPPED, "indices run from -1"),
        (INDICES, BOXES + 0.1, FLIPPED, "boxes must be"),
        (INDICES, BOXES - 0.1, FLIPPED, "boxes must be"),
        (INDICES, BOXES.flip(1), FLIPPED, "boxes must be"),
        (INDICES, BOXES * float("nan"), FLIPPED, "boxes must be"),
    ],
)
def test_wrong_calls(maps, indices, boxes, flipped, message):
    with pytest.raises(ValueError, match=message):
        store(maps)(indices, boxes, flipped)


def test_maps_must_fit_the_manifest(maps):
    manifest = CacheManifest("by hand", "none", "none", "toys", 4, (5, 6))
    with pytest.raises(ValueError, match=r"\(4, 5, 6\)"):
        CachedLocalizer(maps, manifest)
    with pytest.raises(ValueError, match="float64"):
        store(maps.astype(np.float64))


def localizer(seed: int = 0) -> SCDALocalizer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=5), nn.ReLU())
    return SCDALocalizer(FrozenNetwork(network, name="toy", trained_on="toys"), input_size=(30, 40))


@pytest.mark.parametrize("half", [True, False])
def test_compute_keeps_order_and_foreground(make_images, half):
    images = make_images(batch=5)
    batches = [(images[:3], torch.arange(3)), images[3:]]
    cached = CachedLocalizer.compute(localizer(), batches, dataset="toys", grid=(6, 8), half=half)
    assert cached.maps.dtype == (np.float16 if half else np.float32)
    assert np.array_equal(cached.maps.min((1, 2)), np.zeros(5))
    assert np.array_equal(cached.maps.max((1, 2)), np.ones(5))
    whole = torch.tensor([[0.0, 0, 1, 1]]).expand(5, -1)
    order = torch.tensor([4, 0, 3, 1, 2])
    found = cached(order, whole, torch.zeros(5, dtype=torch.bool))
    expected = localizer()(images)[order]
    assert torch.equal(foreground(found), foreground(expected))
    assert cached.trained_on == "toys"


def test_compute_refuses_nothing_and_mixed_sizes(make_images):
    with pytest.raises(ValueError, match="batches is empty"):
        CachedLocalizer.compute(localizer(), [], dataset="toys")
    mixed = [torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 20, 25)]
    pixels = SCDALocalizer(lambda images: images, input_size=None)
    with pytest.raises(ValueError, match="resize the images to one size"):
        CachedLocalizer.compute(pixels, mixed, dataset="toys")


@pytest.fixture
def saved(make_images, tmp_path):
    cached = CachedLocalizer.compute(localizer(), [make_images()], dataset="toys", grid=(3, 4))
    cached.save(tmp_path / "cache")
    return cached, tmp_path / "cache"


def test_saved_and_loaded(saved):
    cached, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == [
        "chunks.jsonl",
        "images.npy",
        "manifest.json",
        "maps.npy",
    ]
    again = CachedLocalizer.load(
        folder, dataset="toys", count=5, localizer=localizer(), grid=(3, 4)
    )
    assert again.manifest == cached.manifest
    assert isinstance(again.maps, np.memmap)
    expected = cached(INDICES, BOXES, FLIPPED)
    assert torch.equal(again(INDICES, BOXES, FLIPPED), expected)
    copied = pickle.loads(pickle.dumps(again))  # what a loader's worker gets
    assert torch.equal(copied(INDICES, BOXES, FLIPPED), expected)


def test_stale_caches_are_refused(saved):
    _, folder = saved
    for expected, message in (
        ({"dataset": "others", "count": 5}, "dataset='toys', not 'others'"),
        ({"dataset": "toys", "count": 6}, "count=5, not 6"),
        ({"dataset": "toys", "count": 5, "localizer": localizer(seed=1)}, "weights_sha256="),
    ):
        with pytest.raises(ValueError, match=message):
            CachedLocalizer.load(folder, **expected)


def test_damaged_caches_are_refused(saved):
    _, folder = saved
    content = bytearray((folder / "maps.npy").read_bytes())
    content[-1] ^= 1
    (folder / "maps.npy").write_bytes(content)
    with pytest.raises(ValueError, match="chunk 0 is damaged"):
        CachedLocalizer.load(folder, dataset="toys", count=5)
    for text in ("{", "[]", json.dumps({"grid": [1, 2]})):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match="no manifest of a cache"):
            CachedLocalizer.load(folder, dataset="toys", count=5)
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError):
        CachedLocalizer.load(folder, dataset="toys", count=5)
