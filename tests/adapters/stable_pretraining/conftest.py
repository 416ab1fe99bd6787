"""The host's hooks on the smallest module that has them, in whichever Lightning is installed."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import spt_toy as toy
import torch
from torch import nn

ADAPTER = "salmask_plugin.adapters.stable_pretraining"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The adapter, on ``lightning.pytorch`` or on its twin under the other name."""
    for name in [name for name in sys.modules if name.startswith(ADAPTER)]:
        monkeypatch.delitem(sys.modules, name)
    for name, module in toy.lightning_by_its_other_name().items():
        monkeypatch.setitem(sys.modules, name, module)
    adapter = importlib.import_module(ADAPTER)
    lightning = importlib.import_module("lightning.pytorch")
    yield SimpleNamespace(adapter=adapter, lightning=lightning, module=stand_in(lightning))
    for name in [name for name in sys.modules if name.startswith(ADAPTER)]:
        del sys.modules[name]


def stand_in(lightning: Any) -> Any:
    """A module as stable-pretraining has it: dict batches, forward(batch, stage), its own steps."""

    class Module(lightning.LightningModule):
        def __init__(self, loss: nn.Module) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.backbone = nn.Sequential(
                nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()
            )
            self.projector = nn.Sequential(nn.LazyLinear(8), nn.BatchNorm1d(8))
            self.projector(self.backbone(torch.zeros(2, 3, 16, 12)))
            self.simclr_loss = loss
            self.seen: dict[str, list[Any]] = {"fit": [], "validate": []}
            self.losses: list[torch.Tensor] = []

        def forward(self, batch: Any, stage: str) -> Any:
            views = batch["views"]
            self.seen[stage].append([view["image"].clone() for view in views])
            z = [self.projector(self.backbone(view["image"])) for view in views]
            return {"loss": self.simclr_loss(*z)} if self.training else {}

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            batch["batch_idx"] = batch_idx
            state = self(batch, stage="fit")
            self.losses.append(state["loss"].detach())
            optimizer = self.optimizers()
            self.manual_backward(state["loss"])
            optimizer.step()
            optimizer.zero_grad()
            return state

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self(batch, stage="validate")

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Module
