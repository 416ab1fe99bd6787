"""Objects cut out of VOC's pictures, each painted in a grey of its own."""

import re

import numpy as np
import pytest
from oracles.detection_layouts import write_voc

from salmask_plugin.data import identity_of_splits, voc_crops
from salmask_plugin.lab.settings.compose import compose_settings

DOG, CAR, HARD, CUP = (
    ("dog", (4, 10, 40, 44)),
    ("car", (41, 2, 79, 60)),
    ("car", (0, 0, 40, 40)),
    ("bottle", (45, 5, 50, 60)),
)
CLASSES = ("bottle", "car", "dog")


def flag(root, year, stem, flags):
    """Write truncated and occluded behind the names of a picture's objects, in their order."""
    path = root / f"VOC{year}" / "Annotations" / f"{stem}.xml"
    each = iter(flags)
    text = re.sub(
        "</name>",
        lambda _: "</name><truncated>{}</truncated><occluded>{}</occluded>".format(*next(each)),
        path.read_text(),
    )
    path.write_text(text)


@pytest.fixture
def root(tmp_path):
    write_voc(tmp_path, "2012_train", {"a": [(*DOG, False), (*CAR, False), (*CUP, False)]})
    tests = {
        "b": [(*DOG, False), (*CAR, False)],
        "c": [(*CAR, False), (*HARD, True)],
        "d": [(*DOG, False)],
    }
    write_voc(tmp_path, "2012_val", tests)
    flag(tmp_path, 2012, "a", [(1, 1), (0, 0), (0, 0)])
    flag(tmp_path, 2012, "b", [(0, 0), (0, 1)])
    flag(tmp_path, 2012, "c", [(1, 1), (1, 1)])
    flag(tmp_path, 2012, "d", [(1, 0)])
    return tmp_path


def told(images):
    return [
        (path.stem, CLASSES[label]) for path, label in zip(images.paths, images.labels, strict=True)
    ]


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ("all", [("b", "dog"), ("b", "car"), ("c", "car"), ("d", "dog")]),
        ("clear", [("b", "dog")]),
        ("occluded", [("b", "car"), ("c", "car")]),
        ("truncated", [("c", "car"), ("d", "dog")]),
    ],
)
def test_which_objects_are_tested_and_all_are_learned(root, objects, expected):
    splits = voc_crops(root, classes=CLASSES, test_objects=objects)
    assert told(splits.val) == expected
    # The bottle is 5 px wide, and the object marked difficult is no test.
    assert told(splits.train) == [("a", "dog"), ("a", "car")]
    assert ("occluded" in splits.name) == (objects == "occluded")
    assert identity_of_splits(splits)["val"]["images"] == len(expected)


def test_a_crop_is_the_object_and_nothing_else(root):
    splits = voc_crops(root, classes=CLASSES, min_side=5)
    assert [CLASSES[label] for label in splits.train.labels] == ["dog", "car", "bottle"]
    for place, (_, (x0, y0, x1, y1)) in enumerate((DOG, CAR, CUP)):
        picture, _ = splits.train[place]
        assert picture.size == (x1 - x0, y1 - y0)
        # Painted in 100, 140 and 180; JPEG rounds.
        inner = np.asarray(picture.convert("L")).astype(int)[2:-2, 2:-2]
        assert abs(inner.mean() - (100 + 40 * place)) < 15


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"test_objects": "hidden"}, "test_objects='hidden' must be one of all, clear, occluded"),
        ({"min_side": 0}, "min_side=0 must be at least 1"),
        ({"min_side": 70}, "has no object to show: test_objects=all, min_side=70"),
        ({"classes": ("car",)}, "the class 'dog' is none of car"),
    ],
)
def test_mistakes(root, given, words):
    with pytest.raises(ValueError, match=words):
        voc_crops(root, **{"classes": CLASSES, **given})


def test_annotations_of_2007_do_not_say_what_is_occluded(root):
    write_voc(root, "2007_test", {"e": [(*DOG, False)]})
    assert len(voc_crops(root, classes=CLASSES, test=("2007_test",)).val) == 1
    for objects in ("clear", "occluded"):
        with pytest.raises(ValueError, match=r"that of 'e\.jpg' does not"):
            voc_crops(root, classes=CLASSES, test=("2007_test",), test_objects=objects)


def test_one_command_evaluates_the_three(root):
    settings = compose_settings(
        ["transfers=voc_occlusion", "data=generated", f"evaluation.data.voc_clear.root={root}"]
    )
    sets = settings.evaluation["data"]
    assert [sets[name]["test_objects"] for name in sets] == ["clear", "occluded", "truncated"]
    assert {sets[name]["root"] for name in sets} == {str(root)}
