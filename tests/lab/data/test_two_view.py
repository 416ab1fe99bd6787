# ruff: noqa: NPY002 - the global generator is what is tested
"""Two views whose draws depend on (seed, epoch, index) alone."""

import random

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform

from salmask_plugin.lab.data import (
    ImageFiles,
    TwoViewDataset,
    evaluation_transform,
    generated,
    image_folder,
    linear_train_transform,
)
from salmask_plugin.lab.data.seeded import seeded_draws

SPLITS = generated(train_images=6, val_images=2, classes=2, size=40)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def dataset(seed=0, transform=None):
    return TwoViewDataset(SPLITS.train, transform or MoCoV2Transform(32), seed=seed)


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True))


def test_seeded_draws_cover_three_generators_and_restore_them():
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = [draws(), draws()]
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    got = [draws()]
    with seeded_draws(1, 2, 3):
        inside = draws()
    got.append(draws())
    assert got == expected
    with seeded_draws(1, 2, 3):
        assert draws() == inside
    with seeded_draws(1, 3, 2):
        other = draws()
    assert not set(inside) & set(other)


def test_generators_are_restored_after_an_error():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(KeyError), seeded_draws(1, 2, 3):
        raise KeyError
    assert torch.equal(torch.rand(3), expected)


def test_samples_repeat_whatever_ran_before():
    first = dataset()[(3, 4)]
    _ = dataset()[(0, 1)], draws()
    assert same(first, dataset()[(3, 4)])
    assert first[1:] == (SPLITS.train.labels[4], 4)


@pytest.mark.parametrize(("seed", "key"), [(1, (3, 4)), (0, (4, 4)), (0, (3, 2))])
def test_another_seed_epoch_or_index_is_another_sample(seed, key):
    assert not same(dataset()[(3, 4)], dataset(seed)[key])


def test_the_two_views_differ_and_a_plain_index_is_epoch_0():
    views, _, _ = dataset()[4]
    assert [view.shape for view in views] == [(3, 32, 32)] * 2
    assert not torch.equal(*views)
    assert same(dataset()[4], dataset()[(0, 4)])


def test_a_single_view_transform_is_applied_twice():
    transform = linear_train_transform(24)
    views, _, _ = dataset(2, transform)[(1, 3)]
    with seeded_draws(2, 1, 3):
        expected = [transform(SPLITS.train[3][0]) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(views, expected, strict=True))
    assert not torch.equal(*views)


@pytest.mark.parametrize("result", ["views", [torch.zeros(3)] * 3, None])
def test_other_results_of_a_transform_are_refused(result):
    with pytest.raises(ValueError, match="must return one view or two"):
        dataset(transform=lambda image: result)[0]


def test_masks_of_images_without_masks(tmp_path, make_classes):
    make_classes(tmp_path, {"a": 2, "b": 2})
    splits = image_folder(tmp_path, val_share=0.5)
    with pytest.raises(ValueError, match="no masks"):
        TwoViewDataset(splits.train, MoCoV2Transform(32), seed=0, masks=True)


def test_negative_seed():
    with pytest.raises(ValueError, match="seed=-1"):
        dataset(-1)


def test_pictures_of_one_pixel(tmp_path, save_picture):
    images = ImageFiles([save_picture(tmp_path / "a.png", 9, size=(1, 1))], [0])
    views, _, _ = TwoViewDataset(images, MoCoV2Transform(32), seed=0)[0]
    assert [view.shape for view in views] == [(3, 32, 32)] * 2
    assert evaluation_transform(32)(images[0][0]).shape == (3, 32, 32)
