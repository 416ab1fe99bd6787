"""Each configuration leaf is one constructor, key for key."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from salmask_plugin import CachedLocalizer
from salmask_plugin.localizers.map_store import CacheManifest

hydra = pytest.importorskip("hydra")
yaml = pytest.importorskip("yaml")
OmegaConf = pytest.importorskip("omegaconf").OmegaConf

LEAVES = sorted((Path(__file__).parents[2] / "configs" / "localizer").glob("*.yaml"))
SIZE = 224  # what configs/run.yaml says, the constructors' default
NETWORKS = {"momentum", "resnet50", "coco", "timm"}  # need an encoder or a download


def load(leaf):
    text = leaf.read_text().replace("${localizer_size}", str(SIZE))
    node = yaml.safe_load(text)
    for entry in node.pop("defaults", []):
        if isinstance(entry, dict):  # a localizer inside
            ((place, inner),) = entry.items()
            node[place.partition("@")[2]] = load(leaf.with_name(f"{inner}.yaml"))
    return node


def check_signature(node):
    parameters = inspect.signature(hydra.utils.get_object(node["_target_"])).parameters
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    assert given.keys() <= parameters.keys()
    for key, value in given.items():
        if isinstance(value, dict):
            check_signature(value)
        elif value != "???" and parameters[key].default is not inspect.Parameter.empty:
            plain = tuple(value) if isinstance(value, list) else value
            assert plain == parameters[key].default


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)
def test_keys_and_values_are_the_constructors(leaf):
    check_signature(load(leaf))


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)
def test_builds(leaf, tmp_path):
    node = load(leaf)
    if leaf.stem == "cached":
        manifest = CacheManifest("by hand", "none", "none", "toys", 2, (3, 3), dtype="float32")
        CachedLocalizer(np.zeros((2, 3, 3), np.float32), manifest).save(tmp_path)
        node["folder"] = str(tmp_path)
    if leaf.stem == "mask_function":
        node |= {"function": lambda images: images[:, 0] > 0, "trained_on": "nothing"}
    if leaf.stem in NETWORKS - {"momentum"}:
        pytest.skip("would download weights")
    built = hydra.utils.instantiate(OmegaConf.create(node, flags={"allow_objects": True}))
    assert callable(built)
    if leaf.stem.startswith("momentum"):
        from torchvision.models import resnet18

        built = built(encoder=resnet18())
    assert isinstance(built.trained_on, str)
