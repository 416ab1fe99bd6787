"""VOC's layout, made here in small: boxes, difficult objects, errors."""

import numpy as np
import pytest
from oracles.detection_layouts import write_voc
from torchvision.datasets import VOCDetection

from salmask_plugin.lab.downstream.detection.voc import voc

DOG, CAR, HARD = ("dog", (4, 10, 30, 31)), ("car", (50, 5, 79, 64)), ("car", (0, 0, 20, 9))


@pytest.fixture
def root(tmp_path):
    write_voc(tmp_path, "2007_trainval", {"000001": [(*DOG, False), (*CAR, True)]})
    write_voc(tmp_path, "2012_trainval", {"2008_0": [(*CAR, False)], "2008_1": [(*HARD, True)]})
    write_voc(tmp_path, "2007_test", {"000002": [(*DOG, False), (*HARD, True)], "000003": []})
    return tmp_path


def test_boxes_are_where_the_objects_are_painted(root):
    splits = voc(root)
    assert (len(splits.train), len(splits.val), len(splits.classes)) == (3, 2, 20)
    found = splits.train.instances[0]
    assert found.boxes.tolist() == [list(DOG[1]), list(CAR[1])]
    assert [splits.classes[label] for label in found.labels] == ["dog", "car"]
    grey = np.asarray(splits.train[0].convert("L")).astype(int)
    x0, y0, x1, y1 = found.boxes[0].astype(int)
    assert abs(grey[y0:y1, x0:x1] - 100).max() < 40
    assert (splits.metric, splits.has_outlines, splits.val.instances[1].boxes.shape) == (
        "voc",
        False,
        (0, 4),
    )


def test_difficult_objects_are_learned_or_not_and_never_counted(root):
    learned = voc(root)
    assert learned.train.instances[0].learned.tolist() == [True, True]
    without = voc(root, learn_difficult=False)
    assert [found.learned.tolist() for found in without.train.instances] == [[True, False], [True]]
    assert without.notes == ("1 training images without an object to learn from are left out",)
    for splits in (learned, without):
        assert splits.val.instances[0].ignored.tolist() == [False, True]


def test_the_devkit_may_lie_one_folder_deeper(root, tmp_path_factory):
    outer = tmp_path_factory.mktemp("outer")
    root.rename(outer / "VOCdevkit")
    assert len(voc(outer).train) == 3


@pytest.mark.parametrize(("year", "split"), [("2007", "trainval"), ("2012", "trainval")])
def test_the_objects_that_torchvision_reads(root, tmp_path_factory, year, split):
    outer = tmp_path_factory.mktemp("outer")
    root.rename(outer / "VOCdevkit")
    theirs = VOCDetection(outer, year=year, image_set=split)
    ours = voc(outer, train=(f"{year}_{split}",), test=("2007_test",))
    assert len(theirs) == len(ours.train)
    for (picture, target), own_picture, own in zip(
        theirs, ours.train, ours.train.instances, strict=True
    ):
        assert picture.convert("RGB").tobytes() == own_picture.convert("RGB").tobytes()
        objects = target["annotation"]["object"]
        assert [ours.classes[label] for label in own.labels] == [o["name"] for o in objects]
        assert own.ignored.tolist() == [o["difficult"] == "1" for o in objects]
        corners = [[int(o["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
        assert (own.boxes + np.array([1, 1, 0, 0])).tolist() == corners


def test_limits_are_seeded_subsets_of_one_another(root):
    small = voc(root, limit_train=1, limit_val=1)
    larger = voc(root, limit_train=2)
    names = {found.name for found in larger.train.instances}
    assert small.train.instances[0].name in names
    with pytest.raises(ValueError, match=r"limit_train=9 must be between 1 and 3"):
        voc(root, limit_train=9)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<name>dog", "<name>unicorn", "'unicorn' is none of aeroplane"),
        ("<xmin>5</xmin>", "<xmin>31</xmin>", "has no area"),
        ("<xmin>5</xmin><ymin>11", "<xmin>60</xmin><ymin>11", "has no area"),
        ("<xmax>30</xmax>", "<xmax>300</xmax>", "lies outside of the picture of 80x64"),
        ("</bndbox>", "", "is not an annotation of VOC"),
        ("<annotation>", "<?xml version='1.0' encoding='x'?><annotation>", "is not an annotation"),
        ("<ymin>11</ymin>", "", "has no <bndbox/ymin>"),
    ],
)
def test_annotations_that_cannot_be_right(root, old, new, words):
    edit(root / "VOC2007" / "Annotations" / "000001.xml", old, new)
    with pytest.raises(ValueError, match=words):
        voc(root)


def test_entities_that_grow_without_bound_are_refused(root):
    ladder = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    file = root / "VOC2007" / "Annotations" / "000001.xml"
    body = file.read_text().replace("<name>dog", "<name>&e9;", 1)
    file.write_text(f'<!DOCTYPE annotation [<!ENTITY e0 "dog">{ladder}]>{body}')
    with pytest.raises(ValueError, match="is not an annotation of VOC: limit on input"):
        voc(root)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("VOC2012/ImageSets/Main/trainval.txt", "trainval.txt' does not exist"),
        ("VOC2012/Annotations/2008_1.xml", "2008_1.xml' does not exist"),
        ("VOC2012/JPEGImages/2008_0.jpg", r"1 of 2 images are missing .* '2008_0.jpg'"),
    ],
)
def test_missing_files_are_named_before_training(root, place, words):
    (root / place).unlink()
    with pytest.raises(ValueError, match=words):
        voc(root)


def test_empty_sets_and_wrong_sizes(root):
    lines = root / "VOC2007" / "ImageSets" / "Main" / "test.txt"
    lines.write_text("\n")
    with pytest.raises(ValueError, match=r"test.txt' is empty"):
        voc(root)
    with pytest.raises(ValueError, match="must be YEAR_SET"):
        voc(root, test=["2007"])
    splits = voc(root, test=["2012_trainval"])
    edit(root / "VOC2012" / "Annotations" / "2008_0.xml", "<width>80", "<width>90")
    with pytest.raises(ValueError, match="is 80x64 px, its annotation says 90x64"):
        voc(root, test=["2012_trainval"]).val[0]
    assert splits.val[0].size == (80, 64)
