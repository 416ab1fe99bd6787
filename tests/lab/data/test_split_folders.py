"""Folder layouts that could be read in two ways, and links that lead to images a second time."""

import os

import pytest

from salmask_plugin.lab.data import image_folder, list_images, picture_folder
from salmask_plugin.lab.data.split_folders import split_folders

CLASSES = {"ant": 2, "cat": 2}


def test_a_link_to_what_is_read_anyway_is_refused(tmp_path, make_classes):
    make_classes(tmp_path / "train", CLASSES)
    make_classes(tmp_path / "val", CLASSES)
    link = tmp_path / "train" / "cat" / "more"
    for target in (
        tmp_path / "train",
        tmp_path,
        tmp_path.parent,
        tmp_path / "train" / "ant",
        tmp_path / "train" / "cat",
        tmp_path / "val" / "cat",
    ):
        link.symlink_to(target)
        with pytest.raises(ValueError, match=r"is a link back to|are one folder, linked"):
            image_folder(tmp_path)
        link.unlink()
    (tmp_path / "val").rename(tmp_path / "moved")
    (tmp_path / "val").symlink_to(tmp_path / "train")
    with pytest.raises(ValueError, match="are one folder, linked"):
        image_folder(tmp_path)


@pytest.mark.parametrize("link", ["train/ant/x.png", "train/cat/x.png", "val/cat/x.png"])
def test_a_link_to_a_picture_that_is_read_anyway_is_refused(tmp_path, make_classes, link):
    """A validation picture was one that is learned from, under another name."""
    root = tmp_path / "set"
    for split in ("train", "val"):
        make_classes(root / split, CLASSES)
    for target in ("train/ant", "train/cat", "val/ant"):
        (root / link).symlink_to(min((root / target).iterdir()))
        with pytest.raises(ValueError, match=r"x\.png' is a link to .*would be read twice"):
            image_folder(root)
        (root / link).unlink()
    elsewhere = make_classes(tmp_path / "elsewhere", {"a": 1}) / "a"
    (root / link).symlink_to(next(elsewhere.iterdir()))
    splits = image_folder(root)
    assert (len(splits.train), len(splits.val)) == ((4, 5) if "val" in link else (5, 4))
    (root / link).unlink()
    (root / link).symlink_to(root / link)
    assert len(list_images(root)) == 9  # found, and unreadable when it is read


def test_a_link_in_a_split_that_is_kept_out_is_no_mistake(tmp_path, make_classes):
    make_classes(tmp_path / "train", CLASSES)
    make_classes(tmp_path / "test", {"ant": 1})
    (picture,) = (tmp_path / "test" / "ant").iterdir()
    (tmp_path / "test" / "ant" / "newest.png").symlink_to(picture)
    assert len(picture_folder(tmp_path).train) == 4


def test_a_circle_of_links_ends(tmp_path, make_classes):
    make_classes(tmp_path, CLASSES)
    (tmp_path / "cat" / "round").symlink_to(tmp_path / "cat")
    with pytest.raises(ValueError, match=r"cat/round' and '.*cat' are one folder"):
        list_images(tmp_path)


def test_links_to_images_elsewhere_are_followed(tmp_path, make_classes, reds):
    elsewhere = make_classes(tmp_path / "elsewhere", {"x": 2, "y": 1})
    root = tmp_path / "set"
    for split in ("train", "val"):
        make_classes(root / split, {"cat": 1}, first=50)
    (root / "train" / "ant").symlink_to(elsewhere / "x")
    (root / "val" / "ant").symlink_to(elsewhere / "y")
    splits = image_folder(root)
    assert (reds(splits.train), reds(splits.val)) == ([0, 1, 50], [2, 50])


def test_hidden_folders_in_a_class_are_left_out(tmp_path, make_classes, save_picture):
    make_classes(tmp_path, CLASSES)
    save_picture(tmp_path / "cat" / ".thumbnails" / "a.png", 7)
    save_picture(tmp_path / "cat" / "deep" / ".cache" / "a.png", 7)
    assert len(list_images(tmp_path)) == 4
    assert len(image_folder(tmp_path, val_share=0.5).train) == 2


def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path, make_classes, monkeypatch):
    make_classes(tmp_path, {"ant": 2, "cat": 2, "cat/deep": 3})
    plain = os.scandir

    def scandir(place):
        if os.fspath(place).endswith("deep"):
            raise PermissionError(13, "Permission denied", os.fspath(place))
        return plain(place)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ValueError, match=r"cat/deep' cannot be read: Permission denied"):
        image_folder(tmp_path, val_share=0.5)


@pytest.mark.parametrize(
    "names",
    [
        ("training", "validation"),
        ("Train", "Val"),
        ("TRAIN", "test"),
        ("train_images", "val_images"),
        ("train2017", "val2017"),
        ("train", "validation"),
        ("train", "valid"),
        ("training", "val"),
        ("trainset", "testset"),
    ],
)
@pytest.mark.parametrize("share", [None, 0.5])
def test_splits_of_other_names_are_no_classes(tmp_path, make_classes, names, share):
    for name in names:
        make_classes(tmp_path / name, CLASSES)
    with pytest.raises(ValueError, match=r"look like splits, not classes.*called train and val"):
        image_folder(tmp_path, val_share=share)


def test_pictures_in_splits_without_classes_are_no_classes_either(tmp_path, make_classes):
    make_classes(tmp_path, {"training": 2, "testing": 2})
    with pytest.raises(ValueError, match=r"'testing', 'training' of .* look like splits"):
        image_folder(tmp_path, val_share=0.5)
    (tmp_path / "list.txt").write_text("training\ntesting\n")
    splits = image_folder(tmp_path, val_share=0.5, classes_file=tmp_path / "list.txt")
    assert splits.classes == ("testing", "training")


def test_a_class_called_train(tmp_path, make_classes):
    """As in CIFAR-100: bus, car and train."""
    make_classes(tmp_path / "flat", {"bus": 2, "car": 2, "train": 2})
    assert image_folder(tmp_path / "flat", val_share=0.5).classes == ("bus", "car", "train")
    deep = tmp_path / "deep"
    make_classes(deep, {"bus": 2, "car": 2, "train/steam": 2, "train/diesel": 2})
    with pytest.raises(ValueError, match=r"beside it, in 'bus', 'car': is train a split or a clas"):
        image_folder(deep, val_share=0.5)
    (tmp_path / "list.txt").write_text("bus\ncar\ntrain\n")
    splits = image_folder(deep, val_share=0.5, classes_file=tmp_path / "list.txt")
    assert splits.classes == ("bus", "car", "train")
    assert splits.train.labels.count(2) == 2
    splits = image_folder(deep / "train", val_share=0.5)
    assert splits.classes == ("diesel", "steam")


def test_a_flat_train_beside_a_test_and_more_is_asked_about(tmp_path, make_classes):
    """All three were learned from, as if they were classes."""
    make_classes(tmp_path, {"train": 2, "test": 2})
    assert len(picture_folder(tmp_path).train) == 2
    make_classes(tmp_path, {"masks": 2})
    for read in (picture_folder, image_folder):
        with pytest.raises(ValueError, match=r"'train' beside 'test' and images beside it, in 'ma"):
            read(tmp_path)
    (tmp_path / "list.txt").write_text("train\ntest\nmasks\n")
    splits = image_folder(tmp_path, val_share=0.5, classes_file=tmp_path / "list.txt")
    assert splits.classes == ("masks", "test", "train")


def test_what_lies_beside_the_splits_and_is_no_class(tmp_path, make_classes):
    for split in ("train", "test"):
        make_classes(tmp_path / split, CLASSES)
    (tmp_path / "annotations").mkdir()
    assert split_folders(tmp_path) == (tmp_path / "train", None)
    make_classes(tmp_path / "val", CLASSES)
    make_classes(tmp_path, {"unlabelled": 3})
    assert split_folders(tmp_path) == (tmp_path / "train", tmp_path / "val")


def test_a_class_with_a_name_like_a_split(tmp_path, make_classes):
    make_classes(tmp_path, {"testing": 2, "welding": 2})
    assert image_folder(tmp_path, val_share=0.5).classes == ("testing", "welding")
    make_classes(tmp_path / "validation", CLASSES)
    with pytest.raises(ValueError, match=r"'validation' of .* look like splits"):
        image_folder(tmp_path, val_share=0.5)
