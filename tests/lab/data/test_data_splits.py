"""Class-balanced limits."""

import numpy as np
import pytest

from salmask_plugin.lab.data import ImageSplits, generated
from salmask_plugin.lab.data.splits import balanced_indices, limited

UNEVEN = [0] * 3 + [1] * 20 + [2] * 9


@pytest.mark.parametrize(
    ("count", "expected"), [(3, [1, 1, 1]), (9, [3, 3, 3]), (15, [3, 6, 6]), (32, [3, 20, 9])]
)
def test_counts_are_as_equal_as_possible(count, expected):
    chosen = balanced_indices(UNEVEN, count, seed=0)
    assert chosen == sorted(set(chosen))
    assert np.bincount(np.array(UNEVEN)[chosen]).tolist() == expected


def test_remainder_differs_by_one_at_most():
    counts = np.bincount(np.arange(50)[balanced_indices(np.arange(50) % 7, 24, seed=3)] % 7)
    assert sorted(counts.tolist()) == [3, 3, 3, 3, 4, 4, 4]


def test_seeded_nested_and_not_the_first_ones():
    labels = np.arange(60) % 4
    small, large = (balanced_indices(labels, count, seed=1) for count in (13, 29))
    assert small == balanced_indices(labels, 13, seed=1)
    assert set(small) < set(large)
    assert small != balanced_indices(labels, 13, seed=2)
    assert max(large) > 40


def test_limited_splits_keep_images_labels_and_masks():
    splits = generated(train_images=20, val_images=10, classes=5, size=24)
    small = limited(splits, limit_train=10, limit_val=None, seed=0)
    assert (len(small.train), len(small.val), small.has_masks) == (10, 10, True)
    for index, source in enumerate(small.train.indices):
        image, mask, label = small.train.with_mask(index)
        expected = splits.train.with_mask(source)
        assert np.array_equal(image, expected[0])
        assert np.array_equal(mask, expected[1])
        assert label == small.train[index][1] == small.train.labels[index] == expected[2]


@pytest.mark.parametrize("limits", [{"limit_train": 4}, {"limit_train": 21}, {"limit_val": 11}])
def test_limit_out_of_range(limits):
    splits: ImageSplits = generated(train_images=20, val_images=10, classes=5, size=24)
    limits = {"limit_train": None, "limit_val": None} | limits
    with pytest.raises(ValueError, match=r"limit_(train|val)=\d+ must be between 5 .* and \d+"):
        limited(splits, **limits, seed=0)
