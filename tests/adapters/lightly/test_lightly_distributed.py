"""Two gloo processes against one, and resuming."""

from __future__ import annotations

from typing import Any

import lightly_toy as toy
import pytest
import torch
from oracles.processes import on_processes
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, MaskedMoCoV2, MaskedSimCLR
from salmask_plugin.adapters.lightly.views import StepMasking

pytestmark = [
    pytest.mark.filterwarnings("ignore:The hard negatives dominate"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
BATCH = 6


def steps(rank: int, world: int, bank: bool, some: bool = False) -> dict[str, Any]:
    """Three SGD steps on this rank's share of fixed views; loss, gradient and bank.

    With ``some``, images 0, 1, 3 and 4 alone have hard negatives: the first two of either rank's
    three.
    """
    owners = torch.tensor([0, 1] if world > 1 else [0, 1, 3, 4]) if some else None
    torch.manual_seed(0)
    network: Any = toy.network(normalised=False)
    torch.manual_seed(1)
    criterion = HardNegativeNTXentLoss(0.2, (18, 10) if bank else 0, gather_distributed=True)
    wrapped = DistributedDataParallel(network) if world > 1 else network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    share = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    losses = []
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        views = torch.randn((4, BATCH, 3, 9, 8), generator=generator)[:, share]
        query, key = wrapped(torch.cat((views[0], views[1]))).chunk(2)
        with torch.no_grad():
            hard = torch.stack((network(views[2]), network(views[3])), 1)
        hard = hard if owners is None else hard[owners]
        loss = criterion(query, key.detach() if bank else key, hard, owners)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
    return {"loss": torch.stack(losses), "gradient": gradient, "bank": criterion.memory_bank.bank}


def masks(rank: int) -> Tensor:
    """The first mask a rank draws for views that are the same everywhere."""
    views = list(torch.randn((2, 4, 3, 9, 8), generator=torch.Generator().manual_seed(0)))
    drawn = StepMasking(toy.masking(), query_index=0, seed=3)((views, None), rank=rank)
    assert drawn.query_mask is not None
    return drawn.query_mask


def work(rank: int) -> dict[str, Any]:
    found: dict[str, Any] = {str(bank): steps(rank, 2, bank) for bank in (False, True)}
    found |= {f"{bank} some": steps(rank, 2, bank, some=True) for bank in (False, True)}
    found["masks"] = masks(distributed.get_rank())
    alone = HardNegativeNTXentLoss(0.2, (18, 10))
    try:
        alone(torch.randn(2, 10), torch.randn(2, 10))
    except ValueError as error:
        found["refused"] = str(error)
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_processes(work, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("bank", [False, True])
def test_two_processes_equal_one_in_loss_gradient_and_bank(
    ranks: list[dict[str, Any]], bank: bool, some: bool
) -> None:
    one = steps(0, 1, bank, some)
    two = [found[f"{bank} some" if some else str(bank)] for found in ranks]
    torch.testing.assert_close((two[0]["loss"] + two[1]["loss"]) / 2, one["loss"])
    for found in two:
        torch.testing.assert_close(found["gradient"], one["gradient"], rtol=1e-4, atol=1e-6)
        if bank:
            torch.testing.assert_close(found["bank"], one["bank"], rtol=1e-4, atol=1e-5)


def test_ranks_draw_different_masks_and_an_ungathered_bank_is_refused(
    ranks: list[dict[str, Any]],
) -> None:
    assert not torch.equal(ranks[0]["masks"], ranks[1]["masks"])
    assert torch.equal(ranks[1]["masks"], masks(1))
    assert "gather_distributed=False" in ranks[0]["refused"]


@pytest.mark.parametrize("kind", [MaskedMoCoV2, MaskedSimCLR])
def test_a_resumed_run_has_the_masks_queue_and_weights_of_an_unbroken_one(
    kind: Any, tmp_path: Any
) -> None:
    """On a loader whose order does not depend on the run."""
    options: dict[str, Any] = {"warmup_epochs": 0}
    if kind is MaskedMoCoV2:
        options |= {"queue_size": 24, "split_batch_size": 4}

    def fresh() -> Any:
        torch.manual_seed(0)
        masking = toy.masking(view_filter=toy.high_pass())
        return kind(toy.network(), feature_dim=10, masking=masking, **options)

    def fixed() -> Any:
        return torch.utils.data.DataLoader(toy.Pairs(24), batch_size=8)

    whole, second = fresh(), fresh()
    torch.manual_seed(5)
    saving = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    toy.trainer(3, callbacks=[saving], enable_checkpointing=True).fit(whole, fixed())
    torch.manual_seed(6)
    toy.trainer(3).fit(second, fixed(), ckpt_path=tmp_path / "epoch=1.ckpt")

    assert second.step_masking.batches_seen == 9
    for (name, a), b in zip(whole.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
