"""Views, maskings and trainers that the tests of this folder share."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, step_generator
from salmask_plugin.types import Images, Saliency

NEGATIVE = Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill())


def lightning_by_its_other_name() -> dict[str, ModuleType]:
    """What ``lightning.pytorch`` is to be where only its twin is installed; else nothing."""
    if importlib.util.find_spec("lightning") is not None:
        return {}
    import pytorch_lightning as twin

    package = ModuleType("lightning")
    package.pytorch = twin  # type: ignore[attr-defined]
    names = ("lightning", "lightning.pytorch", "lightning.pytorch.utilities")
    return dict(zip(names, (package, twin, twin.utilities), strict=True))


def corner_localizer(images: Images) -> Saliency:
    maps = nn.functional.adaptive_avg_pool2d(images.float().mean(1), (4, 4))
    return maps + torch.arange(16, device=images.device).view(4, 4)


def masking(**changes: Any) -> SaliencyMasking:
    settings: dict[str, Any] = {"query": Masking(GridMask(), MeanFill()), "negative": None}
    settings |= changes
    return SaliencyMasking(settings.pop("localizer", corner_localizer), **settings)


class Views(Dataset[Any]):
    """Two fixed random views per index, as MultiViewTransform of a list makes them."""

    def __init__(self, count: int = 8, side: tuple[int, int] = (16, 12)) -> None:
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        draws = torch.Generator().manual_seed(index)
        views = torch.randn((2, 3, *self.side), generator=draws)
        return {"views": [{"image": view, "label": index % 3} for view in views]}


def loader(count: int = 8, **options: Any) -> DataLoader[Any]:
    return DataLoader(Views(count, **options), batch_size=4)


def clean_batches(count: int = 8, **options: Any) -> list[list[Tensor]]:
    return [[view["image"] for view in batch["views"]] for batch in loader(count, **options)]


def trainer(lightning: Any, callbacks: Sequence[Any], epochs: int = 1, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(callbacks=list(callbacks), **(settings | options))


def loss_in_loops(
    module: Any,
    recipe: SaliencyMasking,
    clean: list[Tensor],
    *,
    tau: float,
    rho: float,
    query_index: int = 0,
    having: int | None = None,
) -> Tensor:
    """The first step's loss, row by row, on a copy of the module as it was.

    ``having``: so many of the batch's first images have hard negatives.
    """
    module = copy.deepcopy(module).train()
    views = recipe(clean[query_index], clean[1 - query_index], step_generator(0, 0, 0))
    shown = (views.query, views.key) if query_index == 0 else (views.key, views.query)
    encoded = [module.projector(module.backbone(x)) for x in shown]
    z = nn.functional.normalize(torch.cat(encoded), dim=1)
    hard = None
    if views.negatives is not None:
        some = views.negatives[:having]
        hard = module.projector(module.backbone(some.flatten(0, 1)))
        hard = nn.functional.normalize(hard, dim=1)
    count, losses = len(clean[0]), []
    for row in range(2 * count):
        positive = (row + count) % (2 * count)
        terms = [torch.dot(z[row], z[other]) / tau for other in range(2 * count) if other != row]
        own = row % count
        if hard is not None and row // count == query_index and own < len(hard):
            terms.append(rho * torch.dot(z[row], hard[own]) / tau)
        losses.append(torch.stack(terms).exp().sum().log() - torch.dot(z[row], z[positive]) / tau)
    return torch.stack(losses).mean()
