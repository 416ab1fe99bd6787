"""Image folders: layouts, class lists, held-out shares, and errors in words."""

import pytest

from salmask_plugin.lab.data import image_folder, list_images


def test_train_and_val(tmp_path, make_classes, reds):
    make_classes(tmp_path / "train", {"cat": 2, "ant": 3})
    make_classes(tmp_path / "val", {"cat": 1, "ant": 1}, first=100)
    splits = image_folder(tmp_path, name="pets")
    assert (splits.classes, splits.name, splits.has_masks) == (("ant", "cat"), "pets", False)
    assert reds(splits.train) == [2, 3, 4, 0, 1]
    assert splits.train.labels == (0, 0, 0, 1, 1)
    assert [(r, splits.val[i][1]) for i, r in enumerate(reds(splits.val))] == [(101, 0), (100, 1)]


def test_held_out_share_is_seeded_disjoint_and_per_class(tmp_path, make_classes, reds):
    make_classes(tmp_path, {"a": 10, "b": 40, "c": 2})
    first, again = (image_folder(tmp_path, val_share=0.2) for _ in range(2))
    other = image_folder(tmp_path, val_share=0.2, subset_seed=1)
    assert sorted(reds(first.train) + reds(first.val)) == list(range(52))
    assert [first.val.labels.count(label) for label in range(3)] == [2, 8, 1]
    assert reds(first.val) == reds(again.val) != reds(other.val)


def test_train_without_val_is_split_too(tmp_path, make_classes):
    make_classes(tmp_path / "train", {"a": 4, "b": 4})
    splits = image_folder(tmp_path, val_share=0.25)
    assert (len(splits.train), len(splits.val)) == (6, 2)


@pytest.mark.parametrize("text", ["# two of them\nn3\nn1\n", "n3 n1"])
def test_class_list(tmp_path, make_classes, text):
    make_classes(tmp_path / "train", {"n1": 2, "n2": 2, "n3": 2})
    make_classes(tmp_path / "val", {"n1": 1, "n2": 1, "n3": 1})
    (tmp_path / "list.txt").write_text(text)
    splits = image_folder(tmp_path, classes_file=tmp_path / "list.txt")
    assert splits.classes == ("n1", "n3")
    assert (splits.train.labels, splits.val.labels) == ((0, 0, 1, 1), (0, 1))


def test_what_counts_as_an_image(tmp_path, make_classes, save_picture):
    make_classes(tmp_path, {"a": 2, "b": 2})
    save_picture(tmp_path / "a" / "deep" / "er.PNG", 7)
    save_picture(tmp_path / "a" / ".hidden.png", 7)
    save_picture(tmp_path / ".cache" / "x.png", 7)
    (tmp_path / "a" / "notes.txt").write_text("")
    splits = image_folder(tmp_path, val_share=0.5)
    assert splits.classes == ("a", "b")
    assert len(splits.train) + len(splits.val) == 5
    assert [path.name for path in list_images(tmp_path / "a")] == ["000.png", "001.png", "er.PNG"]


def test_missing_and_empty_folders(tmp_path, make_classes):
    with pytest.raises(ValueError, match=r"'.*nowhere' does not exist"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no images .*\.png"):
        image_folder(tmp_path, val_share=0.5)
    with pytest.raises(ValueError, match=r"no images .*\.png"):
        list_images(tmp_path)
    make_classes(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match=r"no images .* in 'c'"):
        image_folder(tmp_path, val_share=0.5)


def test_one_class(tmp_path, make_classes):
    make_classes(tmp_path, {"a": 3})
    with pytest.raises(ValueError, match=r"1 class folder\(s\), at least 2"):
        image_folder(tmp_path, val_share=0.5)


def test_pictures_without_class_folders(tmp_path, save_picture):
    save_picture(tmp_path / "a.png", 1)
    with pytest.raises(ValueError, match=r"0 class folder\(s\).*one sub-folder"):
        image_folder(tmp_path, val_share=0.5)


def test_val_class_that_training_lacks(tmp_path, make_classes):
    make_classes(tmp_path / "train", {"a": 1, "b": 1})
    make_classes(tmp_path / "val", {"a": 1, "zebra": 1})
    with pytest.raises(ValueError, match=r"'zebra' of .* is not among the training classes"):
        image_folder(tmp_path)


def test_class_list_errors(tmp_path, make_classes):
    make_classes(tmp_path / "train", {"a": 1, "b": 1})
    (tmp_path / "list.txt").write_text("a\nq\n")
    with pytest.raises(ValueError, match="no folder for 'q'"):
        image_folder(tmp_path, val_share=0.5, classes_file=tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(ValueError, match="names no class"):
        image_folder(tmp_path, classes_file=tmp_path / "list.txt")
    with pytest.raises(ValueError, match=r"absent.txt' does not exist"):
        image_folder(tmp_path, classes_file=tmp_path / "absent.txt")


def test_val_share_errors(tmp_path, make_classes):
    make_classes(tmp_path, {"a": 2, "b": 2})
    with pytest.raises(ValueError, match="give val_share"):
        image_folder(tmp_path)
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match=f"val_share={share}"):
            image_folder(tmp_path, val_share=share)
    make_classes(tmp_path, {"a": 2, "c": 1})
    with pytest.raises(ValueError, match="Class 'c' has 1 image"):
        image_folder(tmp_path, val_share=0.5)
    make_classes(tmp_path / "train", {"a": 1, "b": 1})
    make_classes(tmp_path / "val", {"a": 1, "b": 1})
    with pytest.raises(ValueError, match=r"val_share=0\.5 must be null"):
        image_folder(tmp_path, val_share=0.5)


def test_val_without_train(tmp_path, make_classes):
    make_classes(tmp_path / "val", {"a": 2, "b": 2})
    with pytest.raises(ValueError, match="a val folder but no train folder"):
        image_folder(tmp_path)


def test_linked_folders_are_followed(tmp_path, make_classes):
    make_classes(tmp_path / "elsewhere", {"a": 3})
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "elsewhere" / "a")
    assert len(list_images(tmp_path / "images")) == 3
