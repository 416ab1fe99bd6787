"""CIFAR, STL-10, Caltech-101 and Flowers-102 from folders of their published layouts."""

import pickle

import numpy as np
import pytest
from torchvision import datasets

from salmask_plugin.lab.data import caltech101, cifar10, cifar100, flowers102, stl10


def cifar_file(path, labels, key):
    """One batch file: rows of 3072 values, all red, then all green, then all blue."""
    rows = np.zeros((len(labels), 3, 1024), np.uint8)
    rows[:, 0] = np.arange(len(labels))[:, None]
    rows[:, 2, 1] = 99  # row 0, column 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"data": rows.reshape(len(labels), -1), key: labels}))


@pytest.fixture
def no_checksums(monkeypatch):
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.setattr("torchvision.datasets.stl10.check_integrity", lambda *_: True)


@pytest.mark.usefixtures("no_checksums")
@pytest.mark.parametrize(
    ("function", "dataset", "key", "meta_key", "classes"),
    [
        (cifar10, datasets.CIFAR10, "labels", "label_names", 10),
        (cifar100, datasets.CIFAR100, "fine_labels", "fine_label_names", 100),
    ],
)
def test_cifar_archives(tmp_path, function, dataset, key, meta_key, classes):
    folder = tmp_path / dataset.base_folder
    labels = list(range(classes))[::-1]
    for name, _ in dataset.train_list + dataset.test_list:
        cifar_file(folder / name, labels, key)
    names = [f"c{label}" for label in range(classes)]
    (folder / dataset.meta["filename"]).write_bytes(pickle.dumps({meta_key: names}))

    splits = function(tmp_path)
    batches = len(dataset.train_list)
    assert splits.classes == tuple(names)
    assert splits.name == function.__name__
    assert (len(splits.train), len(splits.val)) == (batches * classes, classes)
    image, label = splits.val[3]
    assert (image.mode, image.size, label) == ("RGB", (32, 32), classes - 4)
    assert (image.getpixel((0, 0)), image.getpixel((1, 0))) == ((3, 0, 0), (3, 0, 99))
    small = function(tmp_path, limit_val=classes)
    assert sorted(small.val.labels) == sorted(labels)


@pytest.mark.parametrize("function", [cifar10, cifar100, stl10])
def test_the_same_as_image_folder(tmp_path, make_classes, reds, function):
    make_classes(tmp_path / "train", {"cat": 5, "dog": 5})
    make_classes(tmp_path / "val", {"cat": 2, "dog": 2})
    splits = function(tmp_path, limit_train=4)
    assert (splits.name, splits.classes) == (function.__name__, ("cat", "dog"))
    assert sorted(splits.train.labels) == [0, 0, 1, 1]
    assert reds(splits.val) == [0, 1, 2, 3]


@pytest.mark.usefixtures("no_checksums")
def test_stl10_binary_files(tmp_path):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    # Stored column by column, classes counted from 1.
    pixels = np.zeros((3, 3, 96, 96), np.uint8)
    pixels[:, 0, 5, :] = 200  # column 5 of every image is red
    for part in ("train", "test"):
        pixels.tofile(folder / f"{part}_X.bin")
        np.array([2, 1, 3], np.uint8).tofile(folder / f"{part}_y.bin")
    (folder / "class_names.txt").write_text("a\nb\nc")
    np.savetxt(folder / "fold_indices.txt", np.zeros((10, 1)), fmt="%d")
    splits = stl10(tmp_path)
    image, label = splits.train[0]
    assert (label, splits.val.labels, splits.classes) == (1, (1, 0, 2), ("a", "b", "c"))
    assert (image.size, image.getpixel((5, 40)), image.getpixel((40, 5))) == (
        (96, 96),
        (200, 0, 0),
        (0, 0, 0),
    )


@pytest.mark.parametrize("function", [cifar10, cifar100, stl10, caltech101, flowers102])
def test_missing_data_is_an_error_with_a_way_out(tmp_path, function):
    with pytest.raises(ValueError, match="nowhere' does not exist"):
        function(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="download=true"):
        function(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_caltech101(tmp_path, make_classes, reds):
    folder = tmp_path / "caltech101" / "101_ObjectCategories"
    make_classes(folder, {"BACKGROUND_Google": 9, "ant": 7, "cup": 12})
    splits, again = (caltech101(tmp_path, train_per_class=5) for _ in range(2))
    assert splits.classes == ("ant", "cup")
    assert [splits.train.labels.count(label) for label in (0, 1)] == [5, 5]
    assert [splits.val.labels.count(label) for label in (0, 1)] == [2, 7]
    assert sorted(reds(splits.train) + reds(splits.val)) == list(range(9, 28))
    other = caltech101(tmp_path, train_per_class=5, subset_seed=1)
    assert reds(splits.val) == reds(again.val) != reds(other.val)
    assert len(caltech101(tmp_path / "caltech101", train_per_class=5).val) == 9
    with pytest.raises(ValueError, match="Class 'ant' has 7 images: train_per_class=7"):
        caltech101(tmp_path, train_per_class=7)
    with pytest.raises(ValueError, match="train_per_class=0"):
        caltech101(tmp_path, train_per_class=0)


def test_flowers102(tmp_path, save_picture, reds):
    matlab = pytest.importorskip("scipy.io")
    folder = tmp_path / "flowers-102"
    for number in range(1, 8):
        save_picture(folder / "jpg" / f"image_{number:05d}.png", number)
        (folder / "jpg" / f"image_{number:05d}.png").rename(
            folder / "jpg" / f"image_{number:05d}.jpg"
        )
    labels = np.array([1, 102, 1, 102, 5, 5, 7], np.uint8)
    matlab.savemat(folder / "imagelabels.mat", {"labels": labels})
    sets = {"trnid": [4, 1], "valid": [6], "tstid": [7, 2, 3, 5]}
    matlab.savemat(folder / "setid.mat", {key: np.array(ids) for key, ids in sets.items()})
    splits = flowers102(tmp_path)
    assert (reds(splits.train), splits.train.labels) == ([1, 4, 6], (0, 101, 4))
    assert (reds(splits.val), splits.val.labels) == ([2, 3, 5, 7], (101, 0, 4, 6))
    assert len(splits.classes) == 102
    (folder / "jpg" / "image_00007.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 4 images are missing .*'image_00007\.jpg'"):
        flowers102(tmp_path)
    assert len(flowers102(tmp_path, on_unreadable="skip").val) == 3


def test_flowers102_is_torchvisions_but_for_the_order(tmp_path, monkeypatch):
    matlab = pytest.importorskip("scipy.io")
    folder = tmp_path / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    ids = np.random.default_rng(0).permutation(np.arange(1, 41))
    for number in ids:
        (folder / "jpg" / f"image_{number:05d}.jpg").touch()
    labels = np.random.default_rng(1).integers(1, 103, 40)
    matlab.savemat(folder / "imagelabels.mat", {"labels": labels})
    sets = {"trnid": ids[:7], "valid": ids[7:18], "tstid": ids[18:]}
    matlab.savemat(folder / "setid.mat", sets)
    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda _: True)

    def theirs(*names):
        read = [datasets.Flowers102(tmp_path, split=name) for name in names]
        return {pair for r in read for pair in zip(r._image_files, r._labels, strict=True)}

    splits = flowers102(tmp_path)
    for ours, names in ((splits.train, ("train", "val")), (splits.val, ("test",))):
        pairs = list(zip(ours.paths, ours.labels, strict=True))
        assert set(pairs) == theirs(*names)
        assert len(pairs) == len(set(pairs))
