"""lightly's transforms as recipes, number by number."""

import dataclasses

import pytest
from lightly.transforms import (
    BYOLTransform,
    DINOTransform,
    MoCoV1Transform,
    MoCoV2Transform,
    SimCLRTransform,
)

from salmask_plugin.lab.data import ViewRecipe
from salmask_plugin.lab.data.device.lightly_recipe import recipe_of


def rounded(recipe):
    """A recipe with its numbers to 12 places: torchvision computes 1 - 0.8."""

    def near(value):
        return tuple(round(v, 12) for v in value) if isinstance(value, tuple) else value

    return {key: near(value) for key, value in dataclasses.asdict(recipe).items()}


def test_the_defaults_are_lightlys_moco_v2():
    assert rounded(recipe_of(MoCoV2Transform(input_size=48))) == rounded(ViewRecipe(48))


def test_simclr_has_smaller_crops_and_stronger_colours():
    strong = (0.2, 1.8)
    expected = ViewRecipe(
        48,
        scale=(0.08, 1.0),
        brightness=strong,
        contrast=strong,
        saturation=strong,
        hue=(-0.2, 0.2),
    )
    assert rounded(recipe_of(SimCLRTransform(input_size=48))) == rounded(expected)


def test_every_argument_arrives():
    transform = MoCoV2Transform(
        input_size=20,
        cj_prob=0.3,
        cj_strength=0.5,
        cj_hue=0.2,
        min_scale=0.4,
        random_gray_scale=0.1,
        gaussian_blur=0.9,
        sigmas=(0.3, 1.5),
        hf_prob=0.25,
        normalize={"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
    )
    expected = ViewRecipe(
        20,
        scale=(0.4, 1.0),
        flip_probability=0.25,
        jitter_probability=0.3,
        brightness=(0.8, 1.2),
        contrast=(0.8, 1.2),
        saturation=(0.8, 1.2),
        hue=(-0.1, 0.1),
        grey_probability=0.1,
        blur_probability=0.9,
        blur_sigmas=(0.3, 1.5),
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
    )
    assert rounded(recipe_of(transform)) == rounded(expected)


def test_nothing_to_jitter_and_no_normalisation():
    recipe = recipe_of(MoCoV2Transform(20, cj_strength=0.0, normalize=None))
    assert (recipe.brightness, recipe.hue) == ((1.0, 1.0), (0.0, 0.0))
    assert (recipe.mean, recipe.std) == ((0.0,) * 3, (1.0,) * 3)
    assert recipe_of(MoCoV1Transform(20)).blur_probability == 0


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (MoCoV2Transform(20, rr_prob=0.5), "RandomRotate"),
        (MoCoV2Transform(20, rr_prob=0.5, rr_degrees=10), "RandomRotateDegrees"),
        (MoCoV2Transform(20, vf_prob=0.5), "RandomVerticalFlip"),
        (MoCoV2Transform(input_size=(20, 24)), "square"),
        (DINOTransform(), "two views"),
        (BYOLTransform(), "not made on the device|differ"),
    ],
)
def test_what_cannot_be_made_on_the_device_is_an_error(transform, message):
    with pytest.raises(ValueError, match=message):
        recipe_of(transform)


def test_a_rotation_that_never_happens_is_none():
    assert recipe_of(MoCoV2Transform(20, rr_prob=0.0, rr_degrees=10)).size == 20
