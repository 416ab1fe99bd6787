"""Soft occlusion and the choice of masks, against loops over images and pixels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from salmask_plugin.adios import all_slots, mask_areas, occlude, random_slots, select_masks


@pytest.fixture
def masks() -> Tensor:
    logits = torch.randn((5, 4, 6, 7), generator=torch.Generator().manual_seed(3))
    return logits.softmax(1)


def test_occlusion_is_a_product_per_pixel(
    masks: Tensor, make_images: Callable[..., Tensor]
) -> None:
    images = make_images(5, 6, 7)
    kept = images.clone()
    result = occlude(images, masks[:, 2])
    for b in range(5):
        for c in range(3):
            for i in range(6):
                for j in range(7):
                    expected = images[b, c, i, j] * (1 - masks[b, 2, i, j])
                    torch.testing.assert_close(result[b, c, i, j], expected)
    torch.testing.assert_close(images, kept, rtol=0, atol=0)


def test_a_full_mask_leaves_zero_and_an_empty_one_nothing_changed(
    make_images: Callable[..., Tensor],
) -> None:
    images = make_images(2, 6, 7)
    assert not occlude(images, torch.ones(2, 6, 7)).any()
    torch.testing.assert_close(occlude(images, torch.zeros(2, 6, 7)), images, rtol=0, atol=0)


def test_half_precision_images_stay_half(masks: Tensor) -> None:
    images = torch.randn(5, 3, 6, 7, dtype=torch.bfloat16)
    assert occlude(images, masks[:, 0]).dtype == torch.bfloat16


def test_masks_of_another_shape_are_refused(masks: Tensor) -> None:
    with pytest.raises(ValueError, match=r"must be \(B, H, W\)"):
        occlude(torch.zeros(5, 3, 7, 6), masks[:, 0])


def test_all_slots_play_every_mask_of_every_image_once(masks: Tensor) -> None:
    played = torch.stack([select_masks(masks, choice) for choice in all_slots(masks)], 1)
    torch.testing.assert_close(played, masks, rtol=0, atol=0)


def test_a_choice_takes_each_images_own_mask(masks: Tensor) -> None:
    choice = torch.tensor([3, 0, 2, 2, 1])
    selected = select_masks(masks, choice)
    for image, slot in enumerate(choice.tolist()):
        torch.testing.assert_close(selected[image], masks[image, slot], rtol=0, atol=0)


def test_random_slots_are_uniform_independent_and_repeatable(generator: torch.Generator) -> None:
    many = torch.empty(12_000, 4, 1, 1)
    (choice,) = random_slots(many, generator)
    shares = torch.bincount(choice, minlength=4) / 12_000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), rtol=0, atol=0.015)
    pairs = torch.bincount(choice[::2] * 4 + choice[1::2], minlength=16) / 6_000
    torch.testing.assert_close(pairs, torch.full((16,), 1 / 16), rtol=0, atol=0.012)
    again = random_slots(many, torch.Generator().manual_seed(5))[0]
    torch.testing.assert_close(again, random_slots(many, torch.Generator().manual_seed(5))[0])


def test_areas_sum_to_one(masks: Tensor) -> None:
    areas = mask_areas(masks)
    assert areas.shape == (5, 4)
    torch.testing.assert_close(areas.sum(1), torch.ones(5))
    torch.testing.assert_close(areas[3, 1], masks[3, 1].sum() / 42)
