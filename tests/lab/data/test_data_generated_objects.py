"""Objects to learn from: true masks, balanced classes, and nothing told by colour."""

import numpy as np
import pytest

from salmask_plugin.lab.data import generated_objects
from salmask_plugin.lab.data.generated_objects import CLASSES, TURN, draw_object
from salmask_plugin.lab.data.shapes import PATTERNS

PLACE = (np.arange(400) + 0.5) / 200 - 1
X, Y = np.meshgrid(PLACE, PLACE)


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_mask_is_where_the_picture_differs_from_its_ground(label):
    scenes = [draw_object(label, 48, np.random.default_rng((label, n))) for n in range(8)]
    for scene in scenes:
        differs = (scene.image != scene.ground).any(-1)
        assert not differs[~scene.mask].any()
        assert differs[scene.mask].mean() > 0.9
        assert 0.05 < scene.mask.mean() < 0.7
    contrast = [np.ptp(scene.image.astype(float)[scene.mask].max(-1)) for scene in scenes]
    assert min(contrast) > 60  # its light and dark parts, 0.35 of 255 apart at least


def test_deterministic_and_different_by_seed_split_and_index():
    def pictures(seed, count=6):
        splits = generated_objects(count, val_images=4, classes=2, size=32, seed=seed)
        return [np.asarray(splits.train[i][0]) for i in range(4)], np.asarray(splits.val[0][0])

    (train, val), (again, val_again), (other, _) = pictures(0), pictures(0, count=5), pictures(1)
    assert all(np.array_equal(a, b) for a, b in zip(train, again, strict=True))
    assert np.array_equal(val, val_again)
    assert len({image.tobytes() for image in (*train, val, *other)}) == 9


def test_the_data_set_hands_out_its_scenes():
    splits = generated_objects(train_images=3, val_images=3, classes=3, size=28, seed=5)
    image, mask, label = splits.val.with_mask(2)
    scene = draw_object(2, 28, np.random.default_rng((5, 1, 2)))
    assert (label, splits.name, splits.has_masks) == (2, "generated_objects", True)
    assert np.array_equal(image, scene.image)
    assert np.array_equal(mask, np.where(scene.mask, 255, 0))


def test_classes_are_balanced_and_each_pattern_belongs_to_one():
    splits = generated_objects(train_images=34, val_images=20, size=24)
    assert set(np.bincount(splits.train.labels)) == {3, 4}
    assert set(np.bincount(splits.val.labels)) == {2}
    assert splits.classes[:2] == ("disc-stripes", "star-rings")
    assert len({pattern for _, pattern in CLASSES}) == len(CLASSES) == len(PATTERNS)


def test_patterns_differ_and_have_a_light_and_a_dark_part():
    painted = {name: inside(X, Y) for name, inside in PATTERNS.items()}
    for name, surface in painted.items():
        assert surface.shape == X.shape, name
        assert 0.2 < surface.mean() < 0.8, name
        for other in painted.keys() - {name}:
            assert 0.1 < (surface ^ painted[other]).mean() < 0.9, (name, other)
    # Stripes and rungs differ by a quarter turn: no tilt may turn one into the other.
    assert np.pi / 2 > 2 * TURN


def test_mean_colour_does_not_tell_the_class():
    splits = generated_objects(train_images=400, val_images=200, classes=4, size=24)

    def colours(images):
        return np.array([np.asarray(images[i][0]).mean((0, 1)) for i in range(len(images))])

    train, val = colours(splits.train), colours(splits.val)
    nearest = np.linalg.norm(val[:, None] - train[None], axis=-1).argmin(1)
    accuracy = (np.array(splits.train.labels)[nearest] == splits.val.labels).mean()
    assert accuracy < 0.4  # chance is 0.25, three standard errors are 0.09


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"classes": 11}, {"size": 23}, {"seed": -1}, {"val_images": 9}]
)
def test_arguments_out_of_range(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        generated_objects(**wrong)
