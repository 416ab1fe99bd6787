"""What is timed: the host's baseline and every recipe x localizer, as real training steps."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lightly.loss import NTXentLoss
from lightly.models.batchnorm import SplitBatchNorm
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from torch import Tensor, nn

from salmask_plugin import CachedLocalizer
from salmask_plugin.adapters.lightly import resnet
from salmask_plugin.adapters.lightly.cached_maps import look_up
from salmask_plugin.encoders import small_convnet
from salmask_plugin.lab.runs.build import build
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.localizers.map_store import CacheManifest
from salmask_plugin.masking import SaliencyMasking

MASKS_ONLY = "masking.negative=null"
RESNET50 = "localizer=random_resnet50"  # the arithmetic of the pretrained one, without its download


@dataclass(frozen=True)
class Setting:
    """One size of the problem.

    Attributes:
        backbone: of ``adapters.lightly.resnet``, or "small".
        stem: a ResNet's first layers.
        view: side of the views in pixels.
        batch: images per step.
        localizer: side that online localizers see.
        rows: names of :data:`ROWS` that are timed.
        memory: whether peak memory is measured too: one more step of every row.
    """

    backbone: str
    stem: str
    view: int
    batch: int
    localizer: int
    rows: tuple[str, ...]
    memory: bool = True

    def __str__(self) -> str:
        return f"{self.backbone}, {self.view} px, batch {self.batch}"


@dataclass(frozen=True)
class Row:
    """One kind of step: a method and a recipe.

    Attributes:
        method: a file of configs/method.
        overrides: of the configuration.
        cached: take maps from a cache instead of the localizer.
        stock: lightly's parts alone, without this package.
    """

    method: str = "mocov2"
    overrides: tuple[str, ...] = ("masking=none",)
    cached: bool = False
    stock: bool = False


def _recipe(name: str, localizer: str = "localizer=uniform", *more: str, **options: Any) -> Row:
    return Row(overrides=(f"masking={name}", localizer, *more), **options)


ROWS: dict[str, Row] = {
    "baseline": Row(),
    "lightly's own parts": Row(stock=True),
    "mscn, uniform": _recipe("mscn"),
    "mean, masks only, uniform": _recipe("mean", "localizer=uniform", MASKS_ONLY),
    "mean, masks only, cached": _recipe("mean", "localizer=uniform", MASKS_ONLY, cached=True),
    "blur, masks only, cached": _recipe("blur", "localizer=uniform", MASKS_ONLY, cached=True),
    "highpass, masks only, cached": _recipe(
        "highpass", "localizer=uniform", MASKS_ONLY, cached=True
    ),
    "mean, uniform": _recipe("mean"),
    "mean, cached": _recipe("mean", cached=True),
    "blur, cached": _recipe("blur", cached=True),
    "highpass, cached": _recipe("highpass", cached=True),
    "mean, momentum": _recipe("mean", "localizer=momentum"),
    "mean, EfficientNet-Lite0": _recipe("mean", "localizer=efficientnet_lite0"),
    "blur, EfficientNet-Lite0": _recipe("blur", "localizer=efficientnet_lite0"),
    "highpass, EfficientNet-Lite0": _recipe("highpass", "localizer=efficientnet_lite0"),
    "mean, ResNet-50": _recipe("mean", RESNET50),
    "ADIOS-s": Row(method="adios_s_mocov2"),
    "SimCLR baseline": Row(method="simclr"),
    "SimCLR mean, masks only, cached": Row(
        "simclr", ("masking=mean", "localizer=uniform", MASKS_ONLY), cached=True
    ),
    "SimCLR mean, cached": Row("simclr", ("masking=mean", "localizer=uniform"), cached=True),
}


def baseline_of(name: str) -> str:
    """Return the row that this one is divided by."""
    return "SimCLR baseline" if name.startswith("SimCLR") else "baseline"


def cache_of(setting: Setting) -> CachedLocalizer:
    """Return a cache of random maps."""
    maps = np.random.default_rng(0).random((4 * setting.batch, 14, 14), dtype=np.float32)
    manifest = CacheManifest("random", "none", "none", "bench", len(maps), (14, 14))
    return CachedLocalizer(maps.astype(np.float16), manifest)


def placements_of(setting: Setting) -> Tensor:
    """Crops of one view, (B, 5): x0, y0, x1, y1, flipped."""
    corner = torch.rand(setting.batch, 2) * 0.4
    return torch.cat((corner, corner + 0.5, torch.rand(setting.batch, 1).round()), 1)


def batch_with_maps(setting: Setting, views: list[Tensor]) -> list[Any]:
    """A batch as ``MapsOfViews`` collates it: workers look the maps up, the step is given them."""
    indices = torch.arange(setting.batch)
    cache = cache_of(setting)
    maps = [look_up(cache, indices, placements_of(setting)) for _ in views]
    to = views[0].device
    labels = torch.zeros(setting.batch, dtype=torch.long)
    return [views, labels.to(to), [each.to(to) for each in maps], indices.to(to)]


def settings_of(row: Row, setting: Setting) -> Any:
    """Compose the configuration of a row."""
    size = [f"view_size={setting.view}", f"localizer_size={setting.localizer}"]
    layer = "layer4" if setting.view >= 64 else "layer3"
    momentum = [f"localizer.layer={layer}"] if "localizer=momentum" in row.overrides else []
    backbone = "resnet50" if setting.backbone == "resnet50" else "resnet18"
    return compose_settings(
        [f"method={row.method}", *row.overrides, *momentum, *size, f"backbone={backbone}"]
    )


def masking_of(row: Row, setting: Setting) -> SaliencyMasking | None:
    """Build the recipe of a row."""
    node = settings_of(row, setting)["masking"]
    if not node or "_target_" not in node:
        return None
    masking: SaliencyMasking = build(node)
    return replace(masking, localizer=cache_of(setting)) if row.cached else masking


def step_of(
    row: Row, setting: Setting, views: list[Tensor], device: str, dtype: torch.dtype
) -> Callable[[], None]:
    """Return one training step of a row: forward, backward, optimiser, no logger."""
    torch.manual_seed(0)
    if setting.backbone == "small":
        backbone, features = small_convnet()
    else:
        backbone, features = resnet(setting.backbone, stem=setting.stem)
    if row.stock:
        module: Any = StockMoCo(backbone, features, setting.batch)
    else:
        settings = settings_of(row, setting)
        masking = masking_of(row, setting)
        module = build(
            settings["method"], backbone=backbone, feature_dim=features, masking=masking, seed=0
        )
    module.to(device)
    channels_last = device == "cuda"
    if channels_last:
        module.to(memory_format=torch.channels_last)
    batch = batch_with_maps(setting, views)
    mixed = torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)
    if not row.stock:
        module.trainer = SimpleNamespace(
            accumulate_grad_batches=1,
            global_step=0,
            world_size=1,
            global_rank=0,
            log_every_n_steps=50,
            is_last_batch=False,
            max_epochs=100,
            strategy=None,
        )
        module.log = module.log_dict = lambda *_, **__: None
        optimizers = module.configure_optimizers()[0]
    if row.method.startswith("adios"):
        module.optimizers = lambda: optimizers
        module.lr_schedulers = list
        module.manual_backward = lambda loss: loss.backward()

        def play() -> None:
            with mixed:
                module.training_step(batch, 0)

        return play
    if row.stock:
        optimizers = [torch.optim.SGD(module.trained(), lr=0.015, momentum=0.9, weight_decay=1e-4)]

    def step() -> None:
        with mixed:
            loss = module.training_step(batch, 0)
        loss.backward()
        optimizers[0].step()
        optimizers[0].zero_grad(set_to_none=True)
        if not row.stock:
            module.trainer.global_step += 1

    return step


class StockMoCo(nn.Module):
    """lightly's MoCo v2, written from its parts: does ``masking=None`` cost more than it?"""

    def __init__(self, backbone: nn.Module, features: int, batch: int) -> None:
        super().__init__()
        if batch > 32 and batch % 32 == 0:
            _split(backbone, batch // 32)
        self.backbone, self.head = backbone, MoCoProjectionHead(features, features, 128)
        self.key_backbone, self.key_head = deepcopy(self.backbone), deepcopy(self.head)
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(0.2, (65536, 128), gather_distributed=True)

    def trained(self) -> list[nn.Parameter]:
        """Return what the optimiser moves."""
        return [*self.backbone.parameters(), *self.head.parameters()]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss."""
        query = self.head(self.backbone(batch[0][0]).flatten(1))
        update_momentum(self.backbone, self.key_backbone, m=0.999)
        update_momentum(self.head, self.key_head, m=0.999)
        with torch.no_grad():
            images, order = batch_shuffle(batch[0][1])
            key = batch_unshuffle(self.key_head(self.key_backbone(images).flatten(1)), order)
        loss: Tensor = self.criterion(query, key)
        return loss


def _split(module: nn.Module, splits: int) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, SplitBatchNorm(child.num_features, num_splits=splits))
        else:
            _split(child, splits)
