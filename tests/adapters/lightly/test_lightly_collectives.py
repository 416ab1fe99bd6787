"""What two processes say to each other in a step: as much with masking as without."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from typing import Any

import lightly_toy as toy
import pytest
import torch
from oracles.processes import free_port
from pytorch_lightning import Callback
from torch import multiprocessing as mp
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly import MaskedMoCoV2, MaskedSimCLR

STEPS = 3
COLLECTIVES = ("c10d::allreduce_", "c10d::allgather_", "c10d::broadcast_", "c10d::barrier")


class Profile(Callback):
    """Count the collectives of every training step, DDP's own included; keep this rank's loss."""

    def __init__(self) -> None:
        self.counts: list[dict[str, int]] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        self.profile.start()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.profile.stop()
        self.loss = outputs["loss"].detach()
        names = Counter(event.name for event in self.profile.events())
        self.counts.append({name: names[name] for name in COLLECTIVES})


MASKINGS: dict[str, Any] = {
    "baseline": None,
    "masks": {"negative": None},
    "two negatives": {"num_negatives": 2},
}


def train(kind: Any, changes: dict[str, Any] | None) -> dict[str, Any]:
    torch.manual_seed(0)
    options: dict[str, Any] = {"queue_size": 24} if kind is MaskedMoCoV2 else {"warmup_epochs": 0}
    masking = None if changes is None else toy.masking(**changes)
    module = kind(toy.network(), feature_dim=10, masking=masking, **options)
    profile = Profile()
    trainer = toy.trainer(
        devices=2, strategy="ddp", callbacks=[profile], log_every_n_steps=99, max_steps=STEPS
    )
    trainer.fit(module, DataLoader(toy.Pairs(64), batch_size=4))
    loss = trainer.callback_metrics["train_loss"]
    return {"counts": profile.counts, "loss": loss, "own": profile.loss}


def worker(rank: int, port: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    found = {
        f"{kind.__name__} {name}": train(kind, changes)
        for kind in (MaskedMoCoV2, MaskedSimCLR)
        for name, changes in MASKINGS.items()
    }
    torch.save(found, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = str(tmp_path_factory.mktemp("ranks"))
    mp.spawn(worker, args=(free_port(), folder), nprocs=2)
    return [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("kind", ["MaskedMoCoV2", "MaskedSimCLR"])
def test_masks_add_no_collective_and_negatives_only_mocos_key_shuffle(
    ranks: list[dict[str, Any]], kind: str
) -> None:
    """A shuffle of images between devices: their gather, its order, and the embeddings' gather."""
    for found in ranks:
        plain, masks, negatives = (found[f"{kind} {name}"]["counts"] for name in MASKINGS)
        assert len(plain) == STEPS
        assert sum(plain[1].values()) > 0
        assert masks == plain
        shuffles = 2 if kind == "MaskedMoCoV2" else 0
        extra = {"c10d::allgather_": 2 * shuffles, "c10d::broadcast_": shuffles}
        assert negatives == [
            {name: count + extra.get(name, 0) for name, count in step.items()} for step in plain
        ]


@pytest.mark.parametrize("kind", ["MaskedMoCoV2", "MaskedSimCLR"])
def test_what_is_logged_costs_one_collective_and_is_the_mean(
    ranks: list[dict[str, Any]], kind: str
) -> None:
    for name in MASKINGS:
        losses, own = ([found[f"{kind} {name}"][key] for found in ranks] for key in ("loss", "own"))
        assert torch.equal(*losses)
        torch.testing.assert_close(losses[0], torch.stack(own).mean())
        assert not torch.equal(*own)
