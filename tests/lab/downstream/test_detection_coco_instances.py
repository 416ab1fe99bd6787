"""COCO's objects one by one, and their outlines."""

import json

import numpy as np
import pytest
from oracles.detection_layouts import write_coco

from salmask_plugin.lab.data.outlines import outline_masks, outline_of
from salmask_plugin.lab.downstream.detection.coco_instances import coco_instances
from salmask_plugin.lab.downstream.detection.generated_instances import generated_instances

DOG = {"category_id": 18, "bbox": [4, 10, 26, 21]}
CAR = {"category_id": 3, "bbox": [50, 5, 29, 59]}
FLAT = {"category_id": 3, "bbox": [50, 5, 0, 12]}
CROWD = {
    **DOG,
    "iscrowd": 1,
    "segmentation": {"size": [64, 80], "counts": [64 * 4 + 10, 21, 64 * 80 - 64 * 4 - 31]},
}


@pytest.fixture
def root(tmp_path):
    write_coco(tmp_path, "train2017", [[DOG, CAR, FLAT], [CROWD], [CAR]])
    return write_coco(tmp_path, "val2017", [[CAR, CROWD], []])


def test_ids_become_indices_and_crowds_are_not_learned(root):
    splits = coco_instances(root)
    assert splits.classes == ("car", "dog")
    assert [found.labels.tolist() for found in splits.train.instances] == [[1, 0], [0]]
    assert splits.train.instances[0].boxes.tolist() == [[4, 10, 30, 31], [50, 5, 79, 64]]
    assert splits.val.instances[0].ignored.tolist() == [False, True]
    assert splits.notes == (
        "1 annotated boxes of 'train2017' have no area and are left out",
        "1 training images without an object to learn from are left out",
    )
    assert len(splits.val) == 2


def test_masks_cover_the_painted_objects(root):
    splits = coco_instances(root)
    found = splits.train.instances[0]
    masks = outline_masks(found.outlines, found.size)
    grey = np.asarray(splits.train[0].convert("L"))
    assert np.array_equal(masks[0] > 0, grey == 100)
    assert np.array_equal(masks[1] > 0, grey == 140)
    crowd = outline_masks(splits.val.instances[0].outlines, (80, 64))[1]
    expected = np.zeros((64, 80))
    expected[10:31, 4] = 1
    assert np.array_equal(crowd, expected)


def test_a_mask_survives_its_run_lengths(generator):
    rng = np.random.default_rng(3)
    for corner in (False, True):
        mask = rng.random((7, 5)) < 0.4
        mask[0, 0] = corner
        assert np.array_equal(outline_masks([outline_of(mask)], (5, 7))[0] > 0, mask)
    assert outline_of(np.ones((2, 3), bool))["counts"] == [0, 6]
    assert outline_of(np.zeros((2, 3), bool))["counts"] == [6]


def test_generated_boxes_touch_their_masks_on_all_sides():
    splits = generated_instances(train_images=4, val_images=2, classes=2, size=48)
    for found in splits.train.instances:
        (mask,) = outline_masks(found.outlines, found.size)
        x0, y0, x1, y1 = found.boxes[0].astype(int)
        inside = mask[y0:y1, x0:x1]
        assert inside.sum() == mask.sum() == found.areas[0]
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def change(root, split, edit):
    path = root / "annotations" / f"instances_{split}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c["annotations"][0].update(category_id=5), "category_id=5"),
        (lambda c: c["annotations"][0].update(image_id=9), "of image 9, which is not listed"),
        (lambda c: c["annotations"][0].update(bbox=[70, 5, 40, 20]), "annotation 1: the box"),
        (lambda c: c["categories"].pop(), "has 2 categories and 'val2017' 1"),
        (lambda c: c.update(images=[]), "'val2017' has no image"),
        (lambda c: c["images"][0].update(file_name="x.png"), "missing in .* 'x.png'"),
    ],
)
def test_errors_name_what_is_wrong(root, edit, words):
    change(root, "val2017", edit)
    with pytest.raises(ValueError, match=words):
        coco_instances(root)


def test_a_training_split_without_objects_is_refused(root):
    change(root, "train2017", lambda content: content.update(annotations=[]))
    with pytest.raises(ValueError, match="no training image has an object"):
        coco_instances(root)
