"""Digests of pixels and labels: equal for equal images, different for anything else."""

import numpy as np
import pytest
from PIL import Image

from salmask_plugin.lab.data import (
    WholeImages,
    WholeViews,
    changed_images,
    generated,
    labels_sha256,
    pixel_digest,
    read_image,
    spot_checks,
)

NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_the_pixels_count_and_not_the_file(tmp_path):
    picture = Image.fromarray(NOISE)
    for name in ("a.png", "b.bmp"):
        picture.save(tmp_path / name)
        assert pixel_digest(read_image(tmp_path / name)) == pixel_digest(picture)
    one = NOISE.copy()
    one[4, 6, 2] ^= 1
    others = [one, NOISE.reshape(7, 5, 3), NOISE[::-1], NOISE.transpose(1, 0, 2)]
    digests = {pixel_digest(Image.fromarray(np.ascontiguousarray(other))) for other in others}
    assert len(digests | {pixel_digest(picture)}) == 5
    assert all(0 < digest < 2**63 for digest in digests)


def test_labels_count_in_their_order():
    assert labels_sha256([0, 1, 2]) == labels_sha256((0, 1, 2))
    assert len({labels_sha256(labels) for labels in ([0, 1], [1, 0], [0, 1, 0])}) == 3


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1000])
def test_spot_checks_are_spread(count):
    places = spot_checks(count)
    assert len(places) == min(count, 16)
    assert (places[0], places[-1]) == (0, count - 1)
    assert max(np.diff(places), default=0) <= count / 15 + 1


def test_changed_images_are_named():
    images = generated(train_images=6, val_images=4, classes=3, size=24).train
    digests = np.array([pixel_digest(images[index][0]) for index in range(6)], np.uint64)
    assert changed_images(images, digests, range(6)) == []
    digests[2], digests[4], digests[5] = 7, 7, 0  # the last one was never hashed
    assert changed_images(images, digests, [0, 2, 5]) == [2]


def test_whole_images_are_whole_views_with_their_digest():
    images = generated(train_images=3, val_images=3, classes=3, size=24).train
    view, digest = WholeImages(images, 16)[1]
    picture, _ = images[1]
    expected = WholeViews(16)(picture)[0][0]
    assert np.array_equal(view, expected)
    assert digest == pixel_digest(picture)
