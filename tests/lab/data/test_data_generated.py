"""Generated images: masks that are true, classes that differ in form and not in colour."""

import numpy as np
import pytest

from salmask_plugin.lab.data import generated
from salmask_plugin.lab.data.generated import MAX_CLASSES, class_parts, draw_scene
from salmask_plugin.lab.data.shapes import SHAPES


@pytest.mark.parametrize("label", range(MAX_CLASSES))
def test_mask_is_where_the_picture_differs_from_its_ground(label):
    scene = draw_scene(label, 64, np.random.default_rng(label))
    differs = (scene.image != scene.ground).any(-1)
    assert not differs[~scene.mask].any()
    assert differs[scene.mask].mean() > 0.98
    # and the object can be told from the ground around it
    contrast = np.abs(scene.image.astype(int) - scene.ground).max(-1)[scene.mask]
    assert np.median(contrast) > 40
    assert 0.01 < scene.mask.mean() < 0.5


def test_outlines_have_their_known_areas():
    place = (np.arange(800) + 0.5) / 400 - 1
    x, y = np.meshgrid(place, place)
    area = {name: inside(x, y).mean() * 4 for name, inside in SHAPES.items()}
    assert area["disc"] == pytest.approx(np.pi * 0.85**2, rel=0.01)
    assert area["ring"] == pytest.approx(np.pi * (0.96**2 - 0.44**2), rel=0.01)
    assert area["triangle"] == pytest.approx(3 * np.sqrt(3) / 4, rel=0.01)
    assert area["square"] == pytest.approx(1.4**2, rel=0.01)
    assert area["bar"] == pytest.approx(4 * 0.93 * 0.32, rel=0.01)
    assert area["cross"] == pytest.approx(4 * (2 * 0.93 * 0.28 - 0.28**2), rel=0.01)
    # ten triangles between centre, tip and notch
    assert area["star"] == pytest.approx(5 * 0.45 * np.sin(np.pi / 5), rel=0.01)
    outside = np.hypot(x, y) > 1.001
    assert not any(inside(x, y)[outside].any() for inside in SHAPES.values())


def test_deterministic_and_different_by_seed_split_and_index():
    def pictures(seed, count=6):
        splits = generated(train_images=count, val_images=4, classes=2, size=32, seed=seed)
        return [np.asarray(splits.train[i][0]) for i in range(4)], np.asarray(splits.val[0][0])

    (train, val), (again, val_again), (other, _) = pictures(0), pictures(0, count=5), pictures(1)
    assert all(np.array_equal(a, b) for a, b in zip(train, again, strict=True))
    assert np.array_equal(val, val_again)
    distinct = {image.tobytes() for image in (*train, val, *other)}
    assert len(distinct) == 9


def test_the_data_set_hands_out_its_scenes():
    splits = generated(train_images=3, val_images=3, classes=3, size=28, seed=5)
    image, mask, label = splits.val.with_mask(2)
    scene = draw_scene(2, 28, np.random.default_rng((5, 1, 2)))
    assert label == 2
    assert np.array_equal(image, scene.image)
    assert np.array_equal(splits.val[2][0], scene.image)
    assert np.array_equal(mask, np.where(scene.mask, 255, 0))


def test_classes_are_balanced_distinct_and_named():
    splits = generated(train_images=70, val_images=32, classes=32, size=24)
    assert len({class_parts(label) for label in range(32)}) == 32
    assert len(set(splits.classes)) == 32
    assert set(np.bincount(splits.train.labels)) == {2, 3}
    assert splits.classes[0] == "disc-stripes"


def test_mean_colour_does_not_tell_the_class():
    splits = generated(train_images=400, val_images=200, classes=4, size=32)

    def colours(images):
        return np.array([np.asarray(images[i][0]).mean((0, 1)) for i in range(len(images))])

    train, val = colours(splits.train), colours(splits.val)
    nearest = np.linalg.norm(val[:, None] - train[None], axis=-1).argmin(1)
    accuracy = (np.array(splits.train.labels)[nearest] == splits.val.labels).mean()
    assert accuracy < 0.4  # chance is 0.25, three standard errors are 0.09


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": 1},
        {"classes": 33},
        {"size": 23},
        {"seed": -1},
        {"train_images": 7},
        {"val_images": 0},
    ],
)
def test_arguments_out_of_range(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        generated(**wrong)
