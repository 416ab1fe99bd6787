"""Methods of the real solo-learn on small networks and views, without a trainer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

import salmask_plugin

RECIPES = Path(salmask_plugin.__file__).parent / "configs" / "solo_learn" / "salmask"
BATCH, SIZE = 6, 48


def search_path(solo_home: Path) -> str:
    """Return a PYTHONPATH by which scripts find solo-learn, and the package under test."""
    return os.pathsep.join((str(Path(salmask_plugin.__file__).parents[1]), str(solo_home)))


def recipe(name: str, **changes: Any) -> dict[str, Any]:
    """A node of ours; saliency recipes need no network here."""
    node = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    cheap = {"localizer": "uniform"} if "localizer" in node else {}
    return {**node, **cheap, **changes}


def build_method(
    solo: Path,
    images: Path,
    method: str,
    node: Any = None,
    backbone: str = "resnet18",
    overrides: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """A method of solo-learn's registry that logs nothing, with solo-learn's own CIFAR settings.

    Args:
        solo: the clone.
        images: with train/ and val/.
        method: its name in METHODS.
        node: ``salmask``, or None.
        backbone: its name.
        overrides: other values of the configuration, by dotted key.
        kwargs: of its ``method_kwargs``.
    """
    from omegaconf import OmegaConf
    from solo.args.pretrain import parse_cfg
    from solo.methods import METHODS

    folder = solo / "scripts" / "pretrain" / "cifar"
    base = method.removeprefix("salmask_").removeprefix("adios_")
    file = {"barlow_twins": "barlow", "mocov2": "mocov2plus"}.get(base, base)
    cfg = OmegaConf.load(folder / f"{file}.yaml")
    for key in ("defaults", "hydra"):
        cfg.pop(key)
    cfg.augmentations = OmegaConf.load(folder / "augmentations" / "symmetric.yaml")
    cfg.augmentations[0].crop_size = SIZE
    cfg.method, cfg.backbone.name = method, backbone
    cfg.wandb = {"enabled": False}
    cfg.data = {
        "dataset": "custom",
        "train_path": str(images / "train"),
        "val_path": str(images / "val"),
        "format": "image_folder",
        "num_workers": 0,
    }
    cfg.optimizer.batch_size, cfg.devices = BATCH, "1"
    cfg.accelerator, cfg.strategy, cfg.precision = "cpu", "auto", 32
    small = {"queue_size": 4 * BATCH, "num_prototypes": 16, "whitening_size": BATCH}
    if base == "wmse":
        small["proj_output_dim"] = 4  # a batch of 6 can only whiten so many
    if base == "deepclusterv2":
        small["num_prototypes"] = [16, 16]
    for key, value in {**small, **kwargs}.items():
        if key in cfg.method_kwargs or key == "queue_size":
            cfg.method_kwargs[key] = value
    if node is not None:
        cfg.salmask = node
    for key, value in (overrides or {}).items():
        OmegaConf.update(cfg, key, value, merge=False)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = METHODS[method](parse_cfg(cfg))
    model.log = model.log_dict = lambda *_, **__: None
    return model


def make_batch(seed: int = 3) -> list[Any]:
    """[indexes, two views, targets] as solo-learn's loaders give them."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(-1, 1, SIZE)[:, None] + torch.linspace(0, 2, SIZE)[None] ** 2
    views = [
        ramp + shift + 0.4 * torch.randn((BATCH, 3, SIZE, SIZE), generator=generator)
        for shift in (0.0, 0.5)
    ]
    return [torch.arange(BATCH), views, torch.arange(BATCH) % 5]
