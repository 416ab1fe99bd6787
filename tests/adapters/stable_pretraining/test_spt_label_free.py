"""A teacher and its student, and how long a warm-up is where the module steps by itself."""

from __future__ import annotations

from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

import pytest
import spt_toy as toy
import torch
from torch import nn

from salmask_plugin import MomentumLocalizer
from salmask_plugin.warm_up import SaliencyWarmUp


class Pair(nn.Module):
    """As the host's wrapper: called, it is the teacher."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, *given: Any) -> Any:
        raise AssertionError("the teacher was asked")

    def forward_student(self, *given: Any) -> Any:
        return self.student(*given)


def test_hard_negatives_are_encoded_by_the_student(host: SimpleNamespace) -> None:
    class Wrapped(host.module):  # type: ignore[misc, name-defined]
        def __init__(self, loss: nn.Module) -> None:
            super().__init__(loss)
            self.backbone, self.projector = Pair(self.backbone), Pair(self.projector)

        def forward(self, batch: Any, stage: str) -> Any:
            z = [
                self.projector.forward_student(self.backbone.forward_student(view["image"]))
                for view in batch["views"]
            ]
            return {"loss": self.simclr_loss(*z)} if self.training else {}

    recipe = toy.masking(negative=toy.NEGATIVE)
    losses = []
    for kind in (host.module, Wrapped):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = kind(host.adapter.HardNegativeNTXentLoss())
        callback = host.adapter.SaliencyMaskingCallback(recipe, 0)
        toy.trainer(host.lightning, [callback]).fit(module, toy.loader(), toy.loader(4))
        losses.append(torch.stack(module.losses))
    torch.testing.assert_close(*losses)


def forward_of_the_host(name: str) -> FunctionType:
    def forward(self: Any, batch: Any, stage: str) -> Any:
        return {}

    forward.__name__, forward.__module__ = name, "stable_pretraining.forward"
    return forward


def test_a_teacher_that_nothing_trains_is_refused(host: SimpleNamespace) -> None:
    module = host.module(host.adapter.HardNegativeNTXentLoss())
    callback = host.adapter.SaliencyMaskingCallback(toy.masking(), 0)
    trainer = SimpleNamespace(world_size=1)
    module.forward = MethodType(forward_of_the_host("simclr"), module)
    callback.on_fit_start(trainer, module)
    module.backbone = Pair(module.backbone)
    with pytest.raises(ValueError, match="forward=simclr calls the teacher"):
        callback.on_fit_start(trainer, module)
    module.forward = MethodType(forward_of_the_host("byol"), module)
    callback.on_fit_start(trainer, module)


@pytest.mark.parametrize(
    ("every", "steps", "epochs", "batches"),
    [(1, 3, 9, 3), (4, 2, 9, 9), (4, -1, 2, 10), (2, 5, 9, 12)],
)
def test_a_warm_up_counts_steps_as_the_module_makes_them(
    host: SimpleNamespace, every: int, steps: int, epochs: int, batches: int
) -> None:
    """Of 5 batches an epoch every second or fourth makes a step, and the last one none.

    The localizer is asked in the second half, and tried once at the start.
    """

    class Stepping(host.module):  # type: ignore[misc, name-defined]
        def on_train_start(self) -> None:
            self._optimizer_frequencies = {"default": every}

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.losses.append(self(batch, stage="fit")["loss"].detach())
            if (batch_idx + 1) % every == 0:
                self.optimizers().step()

    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1))
    warm_up = SaliencyWarmUp(uniform=0.5, ramp=0.5, grid=(4, 3))
    recipe = toy.masking(localizer=MomentumLocalizer(encoder, layer="0"))
    callback = host.adapter.SaliencyMaskingCallback(recipe, 0, warm_up=warm_up)
    module = Stepping(host.adapter.HardNegativeNTXentLoss())
    asked: list[bool] = []
    encoder.register_forward_hook(lambda *_: asked.append(True))
    trainer = toy.trainer(host.lightning, [callback], epochs, max_steps=steps)
    trainer.fit(module, toy.loader(20), toy.loader(4))
    assert len(module.losses) == batches
    assert len(asked) == 1 + batches // 2
