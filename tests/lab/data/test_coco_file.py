"""Instances files as tools write them, damaged, and hostile: read, or one sentence."""

import contextlib
import copy
import json

import numpy as np
import pytest
from oracles.detection_layouts import write_coco

from salmask_plugin.lab.data import coco
from salmask_plugin.lab.data.coco_file import read_split
from salmask_plugin.lab.downstream.detection.coco_instances import coco_instances

DOG = {"category_id": 18, "bbox": [4, 10, 26, 21]}
CAR = {"category_id": 3, "bbox": [50, 5, 29, 59]}


@pytest.fixture
def root(tmp_path):
    write_coco(tmp_path, "train2017", [[DOG, CAR], [CAR]])
    return write_coco(tmp_path, "val2017", [[CAR, DOG], [DOG]])


def change(root, edit, split="train2017"):
    path = root / "annotations" / f"instances_{split}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def without(*keys):
    def edit(content):
        for entry in content["annotations"]:
            for key in keys:
                del entry[key]

    return edit


def test_area_and_box_come_from_the_outline(root):
    complete = coco_instances(root).train.instances
    labels = coco(root).train.labels
    change(root, without("area", "bbox", "iscrowd"))
    for found, expected in zip(coco_instances(root).train.instances, complete, strict=True):
        assert np.array_equal(found.boxes, expected.boxes)
        assert np.array_equal(found.areas, expected.areas)
        assert found.outlines == expected.outlines
    assert coco(root).train.labels == labels


@pytest.mark.parametrize("empty", [None, [], [[]]])
def test_a_box_alone_is_enough_for_boxes_and_labels(root, empty):
    complete = coco_instances(root)
    labels = coco(root).train.labels
    change(root, lambda content: content["annotations"][1].update(segmentation=empty, area=None))
    splits = coco_instances(root)
    assert (complete.has_outlines, splits.has_outlines) == (True, False)
    assert splits.notes == ("1 objects of 'train2017' have a box and no outline",)
    assert splits.train.instances[0].outlines is None
    assert splits.train.instances[0].areas.tolist() == complete.train.instances[0].areas.tolist()
    images = coco(root)
    assert images.train.labels == labels
    assert not images.has_masks
    with pytest.raises(ValueError, match=r"train2017\.json', annotation 2 has no segmentation"):
        images.train.with_mask(0)


def test_pictures_in_sub_folders(root):
    folder = root / "train2017"
    (folder / "camera1").mkdir()
    (folder / "000.png").rename(folder / "camera1" / "0.png")
    change(root, lambda content: content["images"][0].update(file_name="camera1/0.png"))
    splits, images = coco_instances(root), coco(root)
    assert np.array_equal(splits.train[0], images.train[0][0])
    (folder / "camera1" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 2 images are missing in .*'camera1/0\.png'"):
        coco_instances(root)


@pytest.mark.parametrize(
    "name", ["../000.png", "/etc/hostname", "a/../../x.png", "C:\\x.png", "..\\x.png", "", "a\0b"]
)
def test_file_names_stay_in_their_folder(root, name):
    change(root, lambda content: content["images"][0].update(file_name=name))
    for read in (coco, coco_instances):
        with pytest.raises(ValueError, match=r"train2017\.json', image 50.* must be a place below"):
            read(root)


def set_in(part, **values):
    return lambda content: content[part][0].update(values)


def drop_in(part, key):
    return lambda content: content[part][0].pop(key)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (drop_in("images", "id"), "image at place 0 has no 'id'"),
        (drop_in("images", "file_name"), "image 50 has no 'file_name'"),
        (drop_in("images", "height"), "image 50 has no 'height'"),
        (set_in("images", file_name=7), "image 50: file_name=7 must be a text"),
        (set_in("images", width=0), "image 50: width=0, height=64 must be whole numbers"),
        (set_in("images", width=10**6, height=10**6), "image 50: .* pixels are more than"),
        (set_in("images", id=51), "image 51: another image has the same id"),
        (set_in("images", id=[1]), r"id=\[1\] must be a whole number or a text"),
        (drop_in("annotations", "image_id"), "annotation 1 has no 'image_id'"),
        (drop_in("annotations", "category_id"), "annotation 1 has no 'category_id'"),
        (set_in("annotations", category_id={}), "annotation 1: category_id={} must be a whole"),
        (set_in("annotations", image_id=7), "annotation 1 is of image 7, which is not listed"),
        (set_in("annotations", area="big"), "annotation 1: area='big' must be a number"),
        (set_in("annotations", area=float("nan")), "annotation 1: area=nan must be a number"),
        (set_in("annotations", bbox=[1, 2, 3]), r"annotation 1: bbox=\[1, 2, 3\] must be four"),
        (set_in("annotations", bbox=[1, 2, float("inf"), 3]), "annotation 1: bbox=.* must be four"),
        (set_in("annotations", bbox=None, segmentation=[]), "1 has neither bbox nor segmentation"),
        (set_in("annotations", bbox=None, segmentation=[[1, 2]]), "1: A polygon has 2 numbers"),
        (drop_in("categories", "name"), "category 18 has no 'name'"),
        (set_in("categories", id="x"), "category 'x': id='x' must be a whole number"),
        (set_in("categories", id=3), "category 3: another category has the same id"),
        (lambda content: content.update(images={}), "has no 'images'"),
        (lambda content: content["images"].append(3), "image at place 2: 3 is no entry"),
    ],
)
def test_a_damaged_entry_is_named(root, edit, words):
    change(root, edit)
    for read in (coco, coco_instances):
        with pytest.raises(ValueError, match=rf"instances_train2017\.json', ?.*{words}|{words}"):
            read(root)


def test_a_value_of_another_type_is_never_more_than_a_value_error(root):
    """Each value of each first entry in turn."""
    path = root / "annotations" / "instances_train2017.json"
    sound = json.loads(path.read_text())
    values = [None, [], {}, "x", -1, 0, 1e308, float("nan"), True, [[]], 10**30]
    for part in ("images", "annotations", "categories"):
        for key in list(sound[part][0]):
            for value in values:
                content = copy.deepcopy(sound)
                content[part][0][key] = value
                path.write_text(json.dumps(content))
                with contextlib.suppress(ValueError):
                    read_split(root, "train2017")
                    coco_instances(root)
                    coco(root).train.with_mask(0)
