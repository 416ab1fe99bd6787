"""ADIOS in solo-learn against ADIOS in lightly, and two processes against one."""

from __future__ import annotations

import copy
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from solo_toy import build_method, make_batch, recipe
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader

pytestmark = [pytest.mark.solo, pytest.mark.filterwarnings("ignore")]

METHODS = ["salmask_adios_simclr", "salmask_adios_mocov2plus"]
RATE = 0.1


def network(normalised: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.BatchNorm2d(6) if normalised else nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(6, 512, 3, stride=2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def solo_method(
    solo: Path, images: Path, method: str, name: str, *, normalised: bool = True
) -> Any:
    """At the constant rate ``RATE`` of plain SGD, whatever solo-learn scales it by."""
    overrides = {
        "optimizer.name": "sgd",
        "optimizer.lr": RATE * 256 / 6,
        "optimizer.classifier_lr": RATE,
        "optimizer.weight_decay": 1e-4,
        "optimizer.kwargs": {},
        "scheduler.name": "none",
    }
    node = recipe(name, num_masks=3, width=8, mask_warmup_epochs=0)
    options = {"proj_hidden_dim": 9, "proj_output_dim": 5}
    model = build_method(solo, images, method, node, overrides=overrides, **options)
    torch.manual_seed(1)
    model.backbone = network(normalised)
    if hasattr(model, "momentum_backbone"):
        model.momentum_backbone = copy.deepcopy(model.backbone).requires_grad_(False)
    del model.log, model.log_dict
    return model


def fit(trainer: type, module: Any, loader: DataLoader[Any], **options: Any) -> None:
    silent = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    trainer(**(silent | options)).fit(module, loader)


@pytest.mark.parametrize("name", ["adios", "adios_s"])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_that_of_lightlys_host(solo: Path, images: Path, method: str, name: str) -> None:
    """The same weights, views, queue and draws: the same weights and queue after one batch."""
    import lightning.pytorch
    import pytorch_lightning

    from salmask_plugin.adapters.lightly import ADIOSMoCoV2, ADIOSSimCLR

    ours = solo_method(solo, images, method, name)
    seed, settings = int(ours.cfg.seed), ours.salmask
    shared: dict[str, Any] = {
        "feature_dim": 512,
        "image_size": 48,
        "seed": seed,
        "masks_per_step": settings.masks_per_step,
        "num_masks": 3,
        "width": 8,
        "projection_dim": 5,
        "temperature": ours.temperature,
        "learning_rate": RATE,
        "weight_decay": 1e-4,
        "optimizer": "sgd",
        "warmup_epochs": 0,
    }
    if method == "salmask_adios_simclr":
        module: Any = ADIOSSimCLR(copy.deepcopy(ours.backbone), projection_hidden_dim=9, **shared)
    else:
        module = ADIOSMoCoV2(
            copy.deepcopy(ours.backbone), queue_size=24, split_batch_size=None, **shared
        )
        # lightly's head has the features' width; solo-learn's is narrower here.
        module.projection_head = copy.deepcopy(ours.projector)
        module.key_projection_head = copy.deepcopy(ours.momentum_projector)
        module.queue.bank.copy_(ours.queue[0].T)
    module.projection_head = copy.deepcopy(ours.projector)
    module.occluder.load_state_dict(ours.occluder.state_dict())

    batch = make_batch()
    fit(lightning.pytorch.Trainer, ours, DataLoader([batch], batch_size=None))
    fit(pytorch_lightning.Trainer, module, DataLoader([(batch[1], batch[2])], batch_size=None))
    before = solo_method(solo, images, method, name)
    for own, theirs in (
        ("backbone", "backbone"),
        ("projector", "projection_head"),
        ("occluder", "occluder"),
    ):
        found = getattr(ours, own).state_dict()
        torch.testing.assert_close(
            found, getattr(module, theirs).state_dict(), rtol=1e-4, atol=1e-6
        )
        start = getattr(before, own).state_dict()
        assert any(not torch.allclose(found[key], start[key], rtol=1e-3) for key in found), own
    if method == "salmask_adios_mocov2plus":
        torch.testing.assert_close(ours.queue[0].T, module.queue.bank, rtol=1e-4, atol=1e-6)


def whole_batches() -> list[Any]:
    return [make_batch(seed) for seed in range(3)]


def half(batch: list[Any], rank: int) -> list[Any]:
    own = slice(3 * rank, 3 * rank + 3)
    indexes, views, targets = batch
    return [indexes[own], [view[own] for view in views], targets[own]]


def work(rank: int, port: int, home: str, images: str, folder: str) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sys.path.insert(0, home)
    import solo.methods  # noqa: F401
    from lightning.pytorch import Trainer
    from lightning.pytorch.strategies import DDPStrategy

    from salmask_plugin.adapters.solo_learn import register

    register()
    for method in METHODS:
        module = solo_method(Path(home), Path(images), method, "adios", normalised=False)
        own = DataLoader([half(batch, rank) for batch in whole_batches()], batch_size=None)
        # As main_pretrain.py makes it for strategy=ddp.
        fit(Trainer, module, own, devices=2, strategy=DDPStrategy(find_unused_parameters=False))
        torch.save(module.state_dict(), Path(folder) / f"{method}{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(solo: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ddp")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(work, args=(port, str(solo), str(images), str(path)), nprocs=2)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_one_with_the_whole_batch(
    folder: Path, solo: Path, images: Path, method: str
) -> None:
    """Without BatchNorm, half of the batch on each process is the whole batch on one."""
    from lightning.pytorch import Trainer

    module = solo_method(solo, images, method, "adios", normalised=False)
    fit(Trainer, module, DataLoader(whole_batches(), batch_size=None))
    first, second = (torch.load(folder / f"{method}{rank}.pt") for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first, module.state_dict(), rtol=1e-4, atol=1e-5)
