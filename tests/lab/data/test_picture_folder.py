"""Any folder of pictures: what is read, when it has labels, and what is said where it has none."""

import shutil

import pytest

from salmask_plugin.lab.data import picture_folder
from salmask_plugin.lab.data.splits import images_of
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.probes.pictures import checked_data
from salmask_plugin.lab.runs.build import build_splits
from salmask_plugin.lab.runs.folder import default_name
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.shorthand import check_data_is_named


def test_flat_and_nested_pictures_are_all_learned_from(tmp_path, save_picture, reds):
    save_picture(tmp_path / "b.png", 1)
    save_picture(tmp_path / "one" / "deep" / "a (1) é.png", 2)
    save_picture(tmp_path / ".cache" / "x.png", 3)
    save_picture(tmp_path / "one" / ".hidden.png", 4)
    (tmp_path / "notes.txt").write_text("")
    splits = picture_folder(tmp_path, name="mine")
    assert sorted(reds(splits.train)) == [1, 2]
    assert (len(splits.val), len(splits.classes), splits.name) == (0, 1, "mine")
    assert "1 class folder(s), at least 2 are needed" in splits.unlabelled


def test_classes_without_a_held_out_share_are_not_labels_yet(tmp_path, make_classes):
    make_classes(tmp_path, {"a": 3, "b": 3})
    without, with_share = picture_folder(tmp_path), picture_folder(tmp_path, val_share=0.3)
    assert len(without.train) == 6
    assert "val_share=0.1" in without.unlabelled
    assert (len(with_share.train), len(with_share.val), with_share.unlabelled) == (4, 2, None)


def test_labelled_splits_are_those_of_an_image_folder(tmp_path, make_classes):
    make_classes(tmp_path / "train", {"a": 3, "b": 3})
    make_classes(tmp_path / "val", {"a": 1, "b": 1})
    splits = picture_folder(tmp_path, limit_train=4)
    assert (splits.train.labels, splits.val.labels) == ((0, 0, 1, 1), (0, 1))
    assert splits.unlabelled is None


def test_flat_splits_keep_the_validation_pictures_out(tmp_path, save_picture, reds):
    save_picture(tmp_path / "train" / "a.png", 1)
    save_picture(tmp_path / "val" / "b.png", 2)
    assert reds(picture_folder(tmp_path).train) == [1]


@pytest.mark.parametrize("inside", ["", "a"])
@pytest.mark.parametrize("test", ["test", "test_set", "val", "validation"])
def test_no_picture_of_a_test_is_learned_from(inside, test, tmp_path, save_picture, reds):
    save_picture(tmp_path / "train" / inside / "x.png", 1)
    save_picture(tmp_path / test / inside / "y.png", 2)
    if test == "validation":
        with pytest.raises(ValueError, match=r"'validation' .* look like splits"):
            picture_folder(tmp_path)
    else:
        assert reds(picture_folder(tmp_path).train) == [1]


def test_splits_of_other_names_are_not_learned_from_as_a_whole(
    tmp_path, save_picture, make_classes
):
    """Labels could not be read, and every picture of the validation was taken for one to learn."""
    for names in (("training", "validation"), ("Train", "Val"), ("valid", "test")):
        root = tmp_path / names[0]
        for place, name in enumerate(names):
            make_classes(root / name, {"a": 2, "b": 2})
            save_picture(root / "flat" / name / f"{place}.png", place)
        for folder in (root / "flat", root):
            with pytest.raises(ValueError, match="look like splits"):
                picture_folder(folder)


def test_a_folder_of_photographs_may_be_called_anything(tmp_path, save_picture, reds):
    for place, name in enumerate(("training camp", "test", "holiday", "validations")):
        save_picture(tmp_path / name / "x.png", place)
    assert sorted(reds(picture_folder(tmp_path).train)) == [0, 1, 2, 3]


def test_what_cannot_be_read_at_all_is_refused(tmp_path, save_picture, make_classes):
    with pytest.raises(ValueError, match="does not exist"):
        picture_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no images .*\.png"):
        picture_folder(tmp_path)
    save_picture(tmp_path / "a" / "x.png", 1)
    with pytest.raises(ValueError, match="limit_val=1: without labels there are no validation"):
        picture_folder(tmp_path, limit_val=1)
    with pytest.raises(ValueError, match="at least 2 are needed"):
        picture_folder(tmp_path, val_share=0.5)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="one folder, linked"):
        picture_folder(tmp_path)


def test_a_folder_by_itself_is_the_data(tmp_path, save_picture):
    photos = tmp_path / "my photos"
    save_picture(photos / "x.png", 1)
    settings = compose_settings(["masking=none", str(photos)])
    assert (settings.choices["data"], settings["data"]["root"]) == ("folder", str(photos))
    assert settings.overrides == ("masking=none", str(photos))
    assert default_name(settings).startswith("folder-my_photos-")
    assert len(build_splits(settings).train) == 1


def test_evaluations_alone_say_that_labels_are_missing(tmp_path, save_picture):
    save_picture(tmp_path / "x.png", 1)
    settings = compose_settings([str(tmp_path)])
    with pytest.raises(UserError, match=r"folder has no labels.*at least 2 are needed.*embed"):
        checked_data(settings["data"])
    assert len(checked_data(settings["data"], labelled=False).train) == 1
    supervised = compose_settings([str(tmp_path), "method=supervised", "masking=none"])
    with pytest.raises(UserError, match="has no labels"):
        build_splits(supervised)


@pytest.mark.parametrize("more", ["data=cifar10", "data.root=elsewhere"])
def test_pictures_named_twice(more, tmp_path):
    with pytest.raises(UserError, match="the pictures are named twice"):
        compose_settings([str(tmp_path), more])


@pytest.mark.parametrize("place", ["imagenette", "mvtec/bottle", "a/b/c"])
@pytest.mark.parametrize("other", ["val", "test", "validation", "Test"])
def test_test_pictures_of_splits_further_below_are_not_learned_from(
    tmp_path, save_picture, place, other
):
    for split in ("train", other):
        for name in ("cat", "dog"):
            save_picture(tmp_path / place / split / name / "x.png", 1)
    save_picture(tmp_path / "beside" / "x.png", 1)
    words = rf"/{place}' has splits, .*: the pictures of '{other}' would be learned from\. Name"
    with pytest.raises(ValueError, match=words):
        picture_folder(tmp_path)
    assert len(picture_folder(tmp_path / place / "train").train) == 2


def test_folders_that_are_called_like_one_split_are_learned_from(tmp_path, save_picture):
    for name in ("vehicles/train", "vehicles/bus", "years/train2017", "years/train2018", "x/test"):
        save_picture(tmp_path / name / "x.png", 1)
    assert len(picture_folder(tmp_path).train) == 5


def test_a_folder_with_an_equals_sign_in_its_name(tmp_path, save_picture, monkeypatch):
    folder = tmp_path / "photos" / "my lr=0.1, é"
    save_picture(folder / "x.png", 1)
    monkeypatch.chdir(tmp_path)
    for typed in (str(folder), "photos/my lr=0.1, é"):
        check_data_is_named([typed])
        assert compose_settings([typed])["data"]["root"] == typed
    with pytest.raises(UserError, match="no data set is named"):
        check_data_is_named(["trainer.max_epochs=1", "photos/nowhere=1"])


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(UserError, match=r"nowhere' is not a setting, .* nor a folder that"):
        compose_settings([str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="'masking' is not a setting"):
        compose_settings(["masking"])


def test_a_split_without_images_names_the_other(tmp_path, save_picture):
    save_picture(tmp_path / "x.png", 1)
    splits = picture_folder(tmp_path)
    assert images_of(splits, "train") is splits.train
    with pytest.raises(ValueError, match="data folder has no val images; use --split train"):
        images_of(splits, "val")


def test_a_mistake_in_a_layout_with_labels_is_told(tmp_path, make_classes, save_picture):
    """Such folders were read as pictures without labels, and nobody said so."""
    make_classes(tmp_path / "set" / "train", {"a": 2, "b": 2})
    make_classes(tmp_path / "set" / "val", {"a": 1, "b": 1})
    assert picture_folder(tmp_path / "set").unlabelled is None

    def refused(words, change, **given):
        root = tmp_path / words.split()[0].strip("'")
        shutil.copytree(tmp_path / "set", root, symlinks=True)
        change(root)
        with pytest.raises(ValueError, match=words):
            picture_folder(root, **given)

    def masked(root):
        shutil.copytree(root, tmp_path / "masks")
        next((tmp_path / "masks" / "val" / "b").iterdir()).unlink()

    def linked(root):
        shutil.rmtree(root / "val")
        (root / "val").symlink_to(root / "train")

    def emptied(root):
        shutil.rmtree(root / "train" / "b")
        (root / "train" / "b").mkdir()

    refused("1 of 2 pictures have no mask", masked, masks=tmp_path / "masks")
    refused("one folder, linked", linked)
    refused("no images .* in 'b'", emptied)
    refused(
        "'c' of .* is not among the training", lambda root: make_classes(root / "val", {"c": 1})
    )


def test_folders_that_are_no_classes_of_the_other_split_are_no_labels(
    tmp_path, make_classes, save_picture, reds
):
    make_classes(tmp_path / "train", {"2019": 2, "2020": 1})
    make_classes(tmp_path / "val", {"2021": 1})
    splits = picture_folder(tmp_path)
    assert (len(splits.train), len(splits.val)) == (3, 0)
    assert "'2021' of" in splits.unlabelled
    shutil.rmtree(tmp_path / "val")
    save_picture(tmp_path / "val" / "x.png", 7)
    assert len(picture_folder(tmp_path).train) == 3


def test_an_empty_folder_among_photographs_is_no_mistake(tmp_path, make_classes):
    make_classes(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "c").mkdir()
    assert len(picture_folder(tmp_path).train) == 3
