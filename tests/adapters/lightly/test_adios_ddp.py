"""Both modules on two processes, under plain DDP: the players stay equal and learn as on one."""

from __future__ import annotations

import os
import socket
import warnings
from pathlib import Path
from typing import Any

import lightly_toy as toy
import pytest
import torch
from pytorch_lightning import Trainer
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, Subset

from salmask_plugin.adapters.lightly.adios_moco import ADIOSMoCoV2
from salmask_plugin.adapters.lightly.adios_simclr import ADIOSSimCLR

SETTINGS: dict[str, Any] = {
    "feature_dim": 10,
    "image_size": (16, 32),
    "num_masks": 3,
    "width": 8,
    "projection_dim": 5,
    "warmup_epochs": 0,
    "masks_per_step": "all",
}


def modules() -> dict[str, Any]:
    # Without BatchNorm, half of the batch on each process is the whole batch on one.
    torch.manual_seed(7)
    simclr = ADIOSSimCLR(toy.network(normalised=False), **SETTINGS)
    moco = ADIOSMoCoV2(
        toy.network(normalised=False), queue_size=24, momentum=0.9, learning_rate=0.1, **SETTINGS
    )
    return {"simclr": simclr, "moco": moco}


def trainer(**options: Any) -> Trainer:
    return toy.trainer(1, use_distributed_sampler=False, **options)


def work(rank: int, port: int, folder: str) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # Of each batch of 8, the first process takes the first four images.
    own = [i for i in range(24) if i % 8 // 4 == rank]
    for name, module in modules().items():
        loader = DataLoader(Subset(toy.Pairs(24, 16, 32), own), batch_size=4)
        trainer(devices=2, strategy="ddp").fit(module, loader)
        torch.save(module.state_dict(), Path(folder) / f"{name}{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ddp")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(work, args=(port, str(path)), nprocs=2)
    return path


@pytest.mark.parametrize("name", ["simclr", "moco"])
def test_two_processes_are_one_with_the_whole_batch(folder: Path, name: str) -> None:
    module = modules()[name]
    trainer().fit(module, DataLoader(toy.Pairs(24, 16, 32), batch_size=8))
    first, second = (torch.load(folder / f"{name}{rank}.pt") for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first, module.state_dict(), rtol=1e-4, atol=1e-5)
