"""Two gloo processes against one, and both against loops: the loss and its gradient."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
import spt_toy as toy
import torch
from oracles.processes import on_processes
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

TAU, RHO = 0.3, 1.7
COUNT, VIEWS = 6, 2
# Images 0, 1, 3 and 4 have hard negatives of their own: the first two of either process' three.
OWNERS = {1: [0, 1, 3, 4], 2: [0, 1]}


def data() -> tuple[Tensor, Tensor]:
    """Two views of six images, and two hard negatives of each, as numbers."""
    draws = torch.Generator().manual_seed(0)
    return (
        torch.randn((VIEWS, COUNT, 7), generator=draws),
        torch.randn((COUNT, 2, 5), generator=draws),
    )


def encoder() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Linear(7, 5)


def step(adapter: Any, rank: int, world: int, query_index: int | None) -> dict[str, Tensor]:
    """The loss of this process' share, and the gradient that an optimizer would see."""
    network = encoder()
    wrapped = DistributedDataParallel(network) if world > 1 else network
    share = slice(rank * COUNT // world, (rank + 1) * COUNT // world)
    views, hard = data()
    loss = adapter.HardNegativeNTXentLoss(TAU)
    owners = torch.tensor(OWNERS[world])
    if query_index is not None:
        loss.expect(lambda: (hard[share][owners], owners), query_index=query_index, rho=RHO)
    value = loss(*wrapped(views[:, share].flatten(0, 1)).chunk(2))
    value.backward()
    return {"loss": value.detach(), "gradient": network.weight.grad}


def work(rank: int) -> dict[str, Any]:
    sys.modules.update(toy.lightning_by_its_other_name())
    adapter = importlib.import_module("salmask_plugin.adapters.stable_pretraining")
    return {str(index): step(adapter, rank, 2, index) for index in (None, 0, 1)}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_processes(work, tmp_path_factory.mktemp("ranks"))


def in_loops(query_index: int | None) -> dict[str, Tensor]:
    """All six images at once, row by row."""
    network = encoder()
    views, hard = data()
    z = [F.normalize(network(view), dim=1) for view in views]
    losses = []
    for view in range(VIEWS):
        for image in range(COUNT):
            cosines = [
                torch.dot(z[view][image], z[other][j])
                for other in range(VIEWS)
                for j in range(COUNT)
                if (other, j) != (view, image)
            ]
            terms = [cosine / TAU for cosine in cosines]
            if view == query_index and image in OWNERS[1]:
                own = F.normalize(hard[image], dim=1)
                terms += [RHO * torch.dot(z[view][image], negative) / TAU for negative in own]
            positive = torch.dot(z[view][image], z[1 - view][image]) / TAU
            losses.append(torch.stack(terms).exp().sum().log() - positive)
    loss = torch.stack(losses).mean()
    loss.backward()
    return {"loss": loss.detach(), "gradient": network.weight.grad}


@pytest.mark.parametrize("query_index", [None, 0, 1])
def test_two_processes_equal_one_in_loss_and_gradient(
    ranks: list[dict[str, Any]], query_index: int | None
) -> None:
    wanted = in_loops(query_index)
    two = [found[str(query_index)] for found in ranks]
    torch.testing.assert_close((two[0]["loss"] + two[1]["loss"]) / 2, wanted["loss"])
    for found in two:
        torch.testing.assert_close(found["gradient"], wanted["gradient"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("query_index", [None, 0, 1])
def test_one_process_equals_the_loops(host: Any, query_index: int | None) -> None:
    found, wanted = step(host.adapter, 0, 1, query_index), in_loops(query_index)
    torch.testing.assert_close(found["loss"], wanted["loss"])
    torch.testing.assert_close(found["gradient"], wanted["gradient"], rtol=1e-4, atol=1e-6)
