"""What tells a data set from another, and a run that goes on with other data than it began on."""

import json

import pytest

from salmask_plugin.cli.main import main
from salmask_plugin.lab.data import differences, generated, identity_of_splits, image_folder
from salmask_plugin.lab.data.splits import limited
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.data_of_run import keep_data
from salmask_plugin.lab.runs.folder import CHECKPOINTS, keep_settings, run_folder
from salmask_plugin.lab.settings.compose import compose_settings


@pytest.fixture
def root(tmp_path, make_classes):
    for split in ("train", "val"):
        make_classes(tmp_path / "set" / split, {"ant": 3, "cat": 3})
    return tmp_path / "set"


def identity(root):
    """As it comes back from a file."""
    return json.loads(json.dumps(identity_of_splits(image_folder(root))))


def more_images(root, save):
    save(root / "train" / "cat" / "900.png", 99)


def new_class(root, save):
    save(root / "train" / "zebra" / "0.png", 99)


def other_validation(root, save):
    (root / "val" / "cat" / "002.png").unlink()


def other_pixels(root, save):
    save(root / "train" / "ant" / "001.png", 99)


def renamed(root, save):
    (root / "train" / "ant" / "001.png").rename(root / "train" / "ant" / "0015.png")


def moved(root, save):
    (root / "val" / "ant" / "002.png").rename(root / "val" / "cat" / "003.png")


CHANGES = [
    (more_images, ["7 training images, 6 before"]),
    (new_class, ["new classes: 'zebra'", "7 training images, 6 before"]),
    (other_validation, ["5 validation images, 6 before"]),
    (other_pixels, ["1 of the 6 training images that are compared show something else"]),
    (renamed, ["other files among the training images"]),
    (
        moved,
        ["other files among the validation images", "other labels among the validation images"],
    ),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_what_changed_is_said(root, save_picture, change, words):
    before = identity(root)
    assert differences(before, identity(root)) == []
    change(root, save_picture)
    assert differences(before, identity(root)) == words


def test_a_lost_class_and_a_subset(root, make_classes):
    before = identity(root)
    for split in ("train", "val"):
        make_classes(root / split, {"eel": 3}, first=50)
    assert differences(identity(root), before)[0] == "missing classes: 'eel'"
    splits = image_folder(root)
    parts = [limited(splits, limit_train=6, limit_val=None, seed=seed) for seed in (0, 1)]
    some, others = (identity_of_splits(part) for part in parts)
    assert differences(some, others)
    assert differences(some, some) == []


def test_images_without_files_count_by_their_pixels():
    some, others = (
        identity_of_splits(generated(train_images=6, val_images=4, classes=2, size=24, seed=seed))
        for seed in (0, 1)
    )
    assert some["train"]["names"] is None
    assert differences(some, others) == [
        "6 of the 6 training images that are compared show something else"
    ]


def test_a_folder_that_has_not_begun_takes_any_data(root, tmp_path, save_picture):
    keep_data(tmp_path / "run", image_folder(root))
    more_images(root, save_picture)
    keep_data(tmp_path / "run", image_folder(root))
    (tmp_path / "run" / CHECKPOINTS).mkdir()
    (tmp_path / "run" / CHECKPOINTS / "epoch-0000.ckpt").touch()
    keep_data(tmp_path / "run", image_folder(root))
    new_class(root, save_picture)
    with pytest.raises(UserError, match=r"changed since it began \(new classes: 'zebra'; 8 train"):
        keep_data(tmp_path / "run", image_folder(root))
    (tmp_path / "run" / "data.json").write_text("[]")
    with pytest.raises(UserError, match=r"data\.json cannot be read"):
        keep_data(tmp_path / "run", image_folder(root))


def test_the_command_refuses_to_go_on_with_other_data(root, tmp_path, save_picture, capsys):
    asked = ["data=imagefolder", f"data.root={root}", "backbone=resnet18", "method=mocov2_quick"]
    asked += [f"out={tmp_path}", "name=run", "masking=none", "view_size=32", "loader.workers=0"]
    settings = compose_settings(asked)
    folder = run_folder(settings)
    keep_settings(folder, settings)
    keep_data(folder, image_folder(root))
    (folder / CHECKPOINTS).mkdir()
    (folder / CHECKPOINTS / "epoch-0000.ckpt").touch()
    more_images(root, save_picture)
    assert main(["pretrain", *asked]) == 2
    error = capsys.readouterr().err
    assert "changed since it began (7 training images, 6 before)" in error
    assert error.count("\n") == 1
