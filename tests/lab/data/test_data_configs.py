"""Every leaf of configs/data is its function's signature, key for key, and can be built."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_method, instantiate
from omegaconf import MISSING, OmegaConf

import salmask_plugin

FOLDER = Path(salmask_plugin.__file__).parent / "configs" / "data"
LEAVES = sorted(FOLDER.glob("*.yaml"))


def test_every_data_set_has_a_leaf():
    assert [leaf.stem for leaf in LEAVES] == [
        "caltech101",
        "cifar10",
        "cifar100",
        "coco",
        "flowers102",
        "folder",
        "generated",
        "generated_objects",
        "imagefolder",
        "imagenet100",
        "stl10",
        "tiny_imagenet",
        "voc_crops",
    ]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.stem)
def test_keys_and_values_are_the_signature(leaf):
    config = OmegaConf.to_container(OmegaConf.load(leaf), resolve=True)
    parameters = inspect.signature(get_method(config.pop("_target_"))).parameters
    assert list(config) == list(parameters)
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty:
            assert config[key] == MISSING
        elif (leaf.stem, key) not in {("imagenet100", "classes_file"), ("imagenet100", "name")}:
            default = parameter.default
            assert config[key] == (list(default) if isinstance(default, tuple) else default)


def test_generated():
    config = OmegaConf.load(FOLDER / "generated.yaml")
    splits = instantiate(config, train_images=9, val_images=8, size=24)
    assert (len(splits.train), len(splits.classes), splits.has_masks) == (9, 8, True)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10", "imagefolder", "imagenet100"])
def test_from_a_folder(tmp_path, make_classes, name):
    make_classes(tmp_path / "train", {"a": 3, "b": 3})
    make_classes(tmp_path / "val", {"a": 1, "b": 1})
    (tmp_path / "list.txt").write_text("b a")
    config = OmegaConf.load(FOLDER / f"{name}.yaml")
    config.root = str(tmp_path)
    if name == "imagenet100":
        config.classes_file = str(tmp_path / "list.txt")
    splits = instantiate(config)
    assert splits.name == ("image_folder" if name == "imagefolder" else name)
    assert (len(splits.train), len(splits.val), splits.classes) == (6, 2, ("a", "b"))


def test_caltech101(tmp_path, make_classes):
    make_classes(tmp_path / "101_ObjectCategories", {"a": 3, "b": 3})
    config = OmegaConf.load(FOLDER / "caltech101.yaml")
    splits = instantiate(config, root=str(tmp_path), train_per_class=2)
    assert (len(splits.train), len(splits.val)) == (4, 2)


def test_a_missing_root_is_asked_for():
    with pytest.raises(Exception, match="root"):
        instantiate(OmegaConf.load(FOLDER / "cifar10.yaml"))
