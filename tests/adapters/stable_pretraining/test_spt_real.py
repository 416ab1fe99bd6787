"""Against the real package: its loss, its SimCLR forward in its Module, and its MoCo v2."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import spt_toy as toy
import torch
from torch import nn

spt = pytest.importorskip(
    "stable_pretraining", reason="stable-pretraining is not installed (pip install '.[stable]')"
)

from salmask_plugin import info_nce  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # the host's own, which are many


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_the_hosts_without_hard_negatives(
    host: SimpleNamespace, temperature: float
) -> None:
    draws = torch.Generator().manual_seed(0)
    z = [torch.randn(6, 8, generator=draws) for _ in range(2)]
    ours, theirs = ([x.clone().requires_grad_() for x in z] for _ in range(2))
    a = host.adapter.HardNegativeNTXentLoss(temperature)(*ours)
    b = spt.losses.NTXEntLoss(temperature)(*theirs)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    for x, y in zip(torch.autograd.grad(a, ours), torch.autograd.grad(b, theirs), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("negative", [None, toy.NEGATIVE])
def test_simclr_in_the_hosts_module(host: SimpleNamespace, negative: object) -> None:
    from stable_pretraining.forward import simclr

    recipe = toy.masking(negative=negative)
    seen: list[torch.Tensor] = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.Flatten())
        projector = nn.Linear(6 * 7 * 5, 8)
    loss = host.adapter.HardNegativeNTXentLoss(temperature=0.3, rho=1.5)
    module = spt.Module(
        forward=simclr,
        backbone=backbone,
        projector=projector,
        simclr_loss=loss,
        optim={"optimizer": {"type": "SGD", "lr": 0.01}},
    )
    start = copy.deepcopy(SimpleNamespace(backbone=backbone, projector=projector))
    losses: list[torch.Tensor] = []
    loss.register_forward_hook(lambda *given: losses.append(given[2].detach()))
    backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    callback = host.adapter.SaliencyMaskingCallback(recipe, 0)
    toy.trainer(host.lightning, [callback]).fit(module, toy.loader())
    clean = toy.clean_batches()[0]
    assert torch.equal(seen[1], clean[1])
    assert not torch.equal(seen[0], clean[0])
    holder = nn.Module()
    holder.backbone, holder.projector = start.backbone, start.projector
    wanted = toy.loss_in_loops(holder, recipe, clean, tau=0.3, rho=1.5)
    torch.testing.assert_close(losses[0], wanted.detach(), rtol=1e-5, atol=1e-6)
    assert callback.batches_seen == 2


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean((2, 3))


def test_moco_v2s_loss_is_ours_and_takes_hard_negatives() -> None:
    from stable_pretraining.methods import MoCov2

    with torch.random.fork_rng():
        torch.manual_seed(0)
        moco = MoCov2(Tiny(), projector_dims=(8, 4), queue_length=12)
    for query, key in (*toy.clean_batches(), *toy.clean_batches()):
        out = moco(query, key)
        queue = moco.queue.get()
        ours = info_nce(out.queries, out.keys, queue, temperature=moco.temperature)
        torch.testing.assert_close(ours, out.loss, rtol=1e-5, atol=1e-6)
    hard = moco.projector.forward_teacher(moco.backbone.forward_teacher(query))
    joined = info_nce(out.queries, out.keys, queue, hard, temperature=moco.temperature)
    assert joined > ours


@pytest.mark.parametrize("name", ["simclr", "vicreg", "barlow_twins", "swav", "nnclr"])
def test_the_hosts_wrapper_is_refused_where_nothing_trains_it(
    host: SimpleNamespace, name: str
) -> None:
    import stable_pretraining.forward as forwards

    encoder = nn.Sequential(nn.Conv2d(3, 6, 3, stride=8), nn.Flatten())
    module = spt.Module(
        forward=getattr(forwards, name), backbone=spt.TeacherStudentWrapper(encoder), optim=None
    )
    callback = host.adapter.SaliencyMaskingCallback(toy.masking(), 0)
    with pytest.raises(ValueError, match=f"forward={name} calls the teacher"):
        callback.on_fit_start(SimpleNamespace(world_size=1), module)
    assert not module.backbone(torch.zeros(1, 3, 16, 12)).requires_grad  # this is why
