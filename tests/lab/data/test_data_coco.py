"""COCO's layout, made here in small: polygons, crowds, labels, errors."""

import json

import numpy as np
import pytest

from salmask_plugin.lab.data import TwoViewDataset, WholeViews, coco, generated
from salmask_plugin.lab.data.coco import draw_instances
from salmask_plugin.lab.data.two_view import check_masks

SQUARE = [[2, 1, 5, 1, 5, 4, 2, 4]]
CORNER = [[0, 0, 1, 0, 1, 1, 0, 1]]
RUNS = {"size": [9, 12], "counts": [3, 2, 4 + 9, 1, 9 * 12 - 19]}


def annotation(image, category, outline, area):
    return {"image_id": image, "category_id": category, "segmentation": outline, "area": area}


@pytest.fixture
def root(tmp_path, save_picture):
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    for split, first in (("train2017", 1), ("val2017", 101)):
        images = [
            {"id": first + i, "file_name": f"{i}.png", "width": 12, "height": 9} for i in range(3)
        ]
        for entry in images:
            save_picture(tmp_path / split / entry["file_name"], entry["id"])
        instances = [
            annotation(first, 3, CORNER, 4),
            annotation(first, 7, SQUARE, 16),
            annotation(first + 1, 3, RUNS, 3),
        ]
        content = {"images": images, "annotations": instances, "categories": categories}
        path = tmp_path / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return tmp_path


def test_labels_are_those_of_the_largest_instance(root, reds):
    splits = coco(root)
    assert (splits.classes, splits.name, splits.has_masks) == (("cat", "dog"), "coco", True)
    assert (reds(splits.train), splits.train.labels) == ([1, 2], (1, 0))
    assert (reds(splits.val), splits.val.labels) == ([101, 102], (1, 0))
    check_masks(splits.val)


def test_masks_are_the_union_of_instances(root):
    expected = np.zeros((9, 12), np.uint8)
    expected[1:5, 2:6] = 255
    expected[0:2, 0:2] = 255
    splits = coco(root)
    _, mask, label = splits.train.with_mask(0)
    assert np.array_equal(mask, expected)
    assert label == 1


def test_run_lengths_go_down_the_columns(root):
    expected = np.zeros((9, 12), np.uint8)
    expected[3:5, 0] = 255
    expected[0, 2] = 255
    _, mask, _ = coco(root).train.with_mask(1)
    assert np.array_equal(mask, expected)


def test_polygons_are_filled_where_a_point_test_says_inside():
    """An L-shape against the crossing-number rule at pixel places off the outline."""
    outline = [3, 2, 20, 2, 20, 8, 9, 8, 9, 25, 3, 25]
    mask = np.asarray(draw_instances([[outline]], (30, 33)))
    inside = np.zeros((33, 30), bool)
    inside[2:9, 3:21] = True
    inside[2:26, 3:10] = True
    assert np.array_equal(mask > 0, inside)


@pytest.mark.parametrize(
    ("instance", "words"),
    [
        ([[0, 0, 1, 1]], "A polygon has 4 numbers"),
        ({"size": [9, 12], "counts": "abc"}, "Compressed run lengths"),
        ({"size": [12, 9], "counts": [108]}, "do not fill 9x12"),
        ({"size": [9, 12], "counts": [107]}, "do not fill 9x12"),
    ],
)
def test_outlines_that_are_not_understood(instance, words):
    with pytest.raises(ValueError, match=words):
        draw_instances([instance], (12, 9))


def test_errors_name_what_is_wrong(root, save_picture):
    with pytest.raises(ValueError, match=r"instances_test2017\.json' does not exist"):
        coco(root, val="test2017")
    save_picture(root / "train2017" / "0.png", 1, size=(9, 12))
    with pytest.raises(ValueError, match="is 9x12 px, its annotation says 12x9"):
        coco(root).train.with_mask(0)
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 5
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="category_id=5"):
        coco(root)
    del content["images"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no 'images'"):
        coco(root)


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_a_missing_picture_is_told_before_anything_is_trained(root, split):
    (root / split / "2.png").unlink()  # without an instance, so it is not asked for
    coco(root)
    (root / split / "1.png").unlink()
    with pytest.raises(ValueError, match=rf"1 of 2 images are missing in '.*{split}', such as '1"):
        coco(root)


def test_a_whole_view_shows_the_whole_mask():
    images = generated(train_images=2, val_images=2, classes=2, size=48).val
    _, mask, _ = images.with_mask(0)
    views, _, seen, _ = TwoViewDataset(images, WholeViews(96), seed=0, masks=True)[0]
    assert [tuple(view.shape) for view in views] == [(3, 96, 96)] * 2
    twice = np.asarray(mask).repeat(2, 0).repeat(2, 1) / 255
    assert np.array_equal(seen[0][0].numpy(), twice)
