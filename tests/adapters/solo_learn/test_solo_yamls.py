"""Our ready YAMLs and the group compose as solo-learn's users write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import snippets
from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.utils import get_class
from omegaconf import OmegaConf

import salmask_plugin
from salmask_plugin.adapters.solo_learn.callback import RegisterCallback
from salmask_plugin.adapters.solo_learn.config_check import check_pretraining

MODULE = "salmask_plugin.configs.solo_learn"
FOLDER = Path(salmask_plugin.__file__).parent / "configs" / "solo_learn"
READY = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PRETRAIN = [name for name in READY if "linear" not in name]


def composed(name, *overrides):
    with initialize_config_module(MODULE, version_base="1.2"):
        cfg = compose(name, list(overrides))
    OmegaConf.set_struct(cfg, False)
    return cfg


def test_nothing_on_the_search_path_can_hide_solo_learns_own_groups():
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {"salmask"}
    assert all(name.startswith("salmask_") for name in READY)


@pytest.mark.parametrize("name", PRETRAIN)
def test_ready_pretraining_yamls_pass_the_checks(name):
    cfg = composed(name, "salmask=blur")
    cfg.data.num_large_crops = sum(node.num_crops for node in cfg.augmentations)
    check_pretraining(cfg, ())
    assert cfg.salmask.recipe == "blur"
    assert cfg.salmask.localizer == "resnet50"
    assert cfg.name.endswith("blur-s5")
    # warmup_epochs: 0 makes solo-learn train the online classifier with the backbone's rate.
    assert cfg.scheduler.warmup_epochs > 0
    # On a CPU a number has no len() for solo-learn and a list is refused by Lightning.
    assert isinstance(cfg.devices, str) or cfg.accelerator == "gpu"
    assert cfg.strategy is not None
    batch = cfg.optimizer.batch_size * len(cfg.devices)
    if "queue_size" in cfg.method_kwargs:
        assert cfg.method_kwargs.queue_size % batch == 0


def test_the_papers_settings():
    cfg = composed("salmask_mocov2_imagenet100")
    processes = len(cfg.devices)
    assert cfg.optimizer.batch_size * processes == 128
    # solo-learn multiplies by (global batch) / 256.
    assert cfg.optimizer.lr * 128 / 256 == pytest.approx(0.015)
    assert (cfg.max_epochs, cfg.backbone.name) == (200, "resnet50")
    assert cfg.momentum.base_tau == cfg.momentum.final_tau == 0.999
    assert cfg.method_kwargs.queue_size == 65536
    assert cfg.method_kwargs.temperature == 0.2


@pytest.mark.parametrize("name", sorted(set(READY) - set(PRETRAIN)))
def test_linear_yamls_hold_no_masking(name):
    cfg = composed(name)
    assert "salmask" not in cfg
    assert cfg.scheduler.lr_decay_steps == [60, 80]


@pytest.mark.parametrize("override", ["+salmask=mean", "+salmask=highpass"])
def test_the_group_is_a_mapping_on_top_of_any_configuration(override):
    cfg = composed("salmask_linear_folder", override)
    assert cfg.salmask.recipe == override.removeprefix("+salmask=")


def test_a_yaml_of_ones_own_as_documented(tmp_path):
    """Both blocks of docs/solo_learn.md in one file, beside a stand-in for the file of solo-learn.

    The second one's search path is what finds the first one's group.
    """
    own, registered = snippets("docs/solo_learn.md", "yaml")
    (tmp_path / "mocov2plus.yaml").write_text("method: mocov2plus\nmax_epochs: 7\n")
    (tmp_path / "mine.yaml").write_text(own + registered)
    with initialize_config_dir(str(tmp_path), version_base="1.2"):
        found = compose("mine", return_hydra_config=True)
    assert (found.method, found.max_epochs) == ("salmask_mocov2plus", 7)
    said = ["salmask=blur", "salmask.localizer=efficientnet_lite0"]
    assert found.salmask == composed("salmask_mocov2plus_folder", *said).salmask
    assert get_class(found.hydra.callbacks.salmask["_target_"]) is RegisterCallback
