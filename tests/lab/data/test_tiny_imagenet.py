"""Tiny-ImageNet's original layout, made here in small."""

import numpy as np
import pytest

from salmask_plugin.lab.data import tiny_imagenet

# (file, class, red, box): boxes include their last row and column, as the data set's do.
TRAIN = [
    ("n02_0.png", "n02", 1, (0, 0, 11, 8)),
    ("n02_1.png", "n02", 2, (3, 1, 5, 7)),
    ("n01_0.png", "n01", 3, (2, 2, 2, 2)),
    ("n01_1.png", "n01", 4, (0, 4, 9, 8)),
]
VAL = [("val_0.png", "n02", 5, (1, 2, 4, 6)), ("val_1.png", "n01", 6, (0, 0, 5, 5))]


@pytest.fixture
def root(tmp_path, save_picture):
    folder = tmp_path / "tiny-imagenet-200"
    for name, wnid, red, box in TRAIN:
        save_picture(folder / "train" / wnid / "images" / name, red)
        with (folder / "train" / wnid / f"{wnid}_boxes.txt").open("a") as file:
            file.write("\t".join(map(str, (name, *box))) + "\n")
    for name, wnid, red, box in VAL:
        save_picture(folder / "val" / "images" / name, red)
        with (folder / "val" / "val_annotations.txt").open("a") as file:
            file.write("\t".join(map(str, (name, wnid, *box))) + "\n")
    return tmp_path


@pytest.mark.parametrize("inner", ["", "tiny-imagenet-200"])
def test_images_and_labels(root, reds, inner):
    splits = tiny_imagenet(root / inner)
    assert (splits.classes, splits.name, splits.has_masks) == (
        ("n01", "n02"),
        "tiny_imagenet",
        False,
    )
    assert (reds(splits.train), splits.train.labels) == ([3, 4, 1, 2], (0, 0, 1, 1))
    assert (reds(splits.val), splits.val.labels) == ([5, 6], (1, 0))


def test_boxes(root):
    splits = tiny_imagenet(root, boxes=True)
    assert splits.has_masks
    boxes = {red: box for _, _, red, box in TRAIN + VAL}
    for images in (splits.train, splits.val):
        for index in range(len(images)):
            image, mask, _ = images.with_mask(index)
            left, top, right, bottom = boxes[image.getpixel((0, 0))[0]]
            expected = np.zeros((9, 12), np.uint8)
            expected[top : bottom + 1, left : right + 1] = 255
            assert np.array_equal(mask, expected)


def test_first_classes(root, reds, save_picture):
    splits = tiny_imagenet(root, boxes=True)
    for name in ("n00", "n03"):
        save_picture(root / "tiny-imagenet-200" / "train" / name / "images" / f"{name}.png", 9)
    cut = tiny_imagenet(root, limit_classes=3)
    assert cut.classes == ("n00", "n01", "n02")
    assert (reds(cut.train), cut.train.labels) == ([9, 3, 4, 1, 2], (0, 1, 1, 2, 2))
    assert (reds(cut.val), cut.val.labels) == ([5, 6], (2, 1))
    smaller = tiny_imagenet(root, limit_classes=2)
    assert (reds(smaller.train), reds(smaller.val)) == ([9, 3, 4], [6])
    assert len(splits.classes) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_classes(root, count):
    with pytest.raises(ValueError, match=f"limit_classes={count} must be between 2 and 2"):
        tiny_imagenet(root, limit_classes=count)


def test_limits(root):
    splits = tiny_imagenet(root, boxes=True, limit_train=2)
    assert sorted(splits.train.labels) == [0, 1]
    assert splits.train.with_mask(0)[1].getextrema()[1] == 255


def test_a_missing_picture_is_told_before_anything_is_trained(root, reds):
    (root / "tiny-imagenet-200" / "val" / "images" / "val_1.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 2 images are missing in .*, such as 'val_1\.png'"):
        tiny_imagenet(root)
    assert reds(tiny_imagenet(root, on_unreadable="skip").val) == [5]


def test_errors(root):
    folder = root / "tiny-imagenet-200"
    annotations = folder / "val" / "val_annotations.txt"
    text = annotations.read_text()
    annotations.write_text(text + "val_2.png\tn09\t0\t0\t1\t1\n")
    with pytest.raises(ValueError, match="'n09' of val_annotations"):
        tiny_imagenet(root)
    annotations.write_text(text + "val_2.png\n")
    with pytest.raises(ValueError, match=r"line 3: 6 columns expected, not 1"):
        tiny_imagenet(root)
    for name in ("../../x.png", "/tmp/x.png", "a/../../../x.png"):
        annotations.write_text(text + f"{name}\tn01\t0\t0\t1\t1\n")
        with pytest.raises(
            ValueError, match=r"val_annotations\.txt: file=.* must be a place below"
        ):
            tiny_imagenet(root)
    annotations.write_text(text + "val_2.png\tn01\t0\t0\t1\tx\n")
    with pytest.raises(ValueError, match=r"line 3: .* are no pixels of a box"):
        tiny_imagenet(root)
    annotations.write_text("")
    with pytest.raises(ValueError, match="lists no image"):
        tiny_imagenet(root)
    annotations.unlink()
    with pytest.raises(ValueError, match="does not exist"):
        tiny_imagenet(root)
    annotations.write_text(text)
    (folder / "train" / "n01" / "n01_boxes.txt").write_text("n01_0.png\t0\t0\t1\t1\n")
    assert len(tiny_imagenet(root).train) == 4
    with pytest.raises(ValueError, match=r"1 training images have no box, 'n01_1\.png'"):
        tiny_imagenet(root, boxes=True)
    with pytest.raises(ValueError, match="no train folder"):
        tiny_imagenet(folder / "val")
