"""Ways of training that a method cannot be trained in, said before it starts."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.batch_norm import GroupedBatchNorm, GroupedBatchNormAct

KEPT = (_BatchNorm.forward, nn.SyncBatchNorm.forward, GroupedBatchNorm.forward)
"""What torch's SyncBatchNorm does in the place of such a layer, among the devices."""


def check_module(module: LightningModule) -> None:
    """Refuse what no method can be trained as, where a training begins.

    Raises:
        ValueError: if the whole module is compiled, or ``sync_batchnorm`` would lose an activation;
            in the first step, if its backbone has another number of features than it was told.
    """
    refuse_compiled(module)
    refuse_lost_activations(module)
    expect_features(module.projection_head)


def check_backbone(backbone: Any) -> None:
    """Raise ValueError unless it is a network; its name or its class is none."""
    if not isinstance(backbone, nn.Module):
        raise ValueError(
            f"backbone={backbone!r:.80} must be an nn.Module, images -> features, such as "
            'resnet("resnet18")[0].'
        )


def expect_features(head: Any) -> None:
    """Let what takes a backbone's features say so where they are not as many as it takes.

    Args:
        head: a module with a linear layer, its first.
    """
    if _check_width not in head._forward_pre_hooks.values():
        head.register_forward_pre_hook(_check_width)


def _check_width(head: Any, given: tuple[Tensor, ...]) -> None:
    """Raise ValueError unless the features are as many as the head's first layer takes."""
    wanted = next(part for part in head.modules() if isinstance(part, nn.Linear)).in_features
    if given[0].shape[1] != wanted:
        found = given[0].shape[1]
        raise ValueError(
            f"feature_dim={wanted}, but the backbone's features have {found}: build the module "
            f"with feature_dim={found}."
        )


def refuse_compiled(module: LightningModule) -> None:
    """Raise ValueError if ``torch.compile`` was given the whole module.

    A step draws masks, keeps a queue and logs, which no compiler traces.
    """
    if getattr(module, "_compiler_ctx", None) is not None:
        raise ValueError(
            f"torch.compile({type(module).__name__}) is not supported: a step draws masks. Compile "
            "its networks in place: model.backbone.compile(), and the same for its other parts."
        )


def refuse_lost_activations(module: LightningModule) -> None:
    """Raise ValueError if ``Trainer(sync_batchnorm=True)`` would lose what a layer does besides.

    Lightning lets torch put its SyncBatchNorm in the place of every BatchNorm, of any kind, at the
    start and again plain layers at the end. Neither calls the activation that timm's layers carry.
    """
    if type(getattr(module.trainer.strategy, "_layer_sync", None)) is not TorchSyncBatchNorm:
        return
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm) and type(part).forward not in KEPT:
            kind = part.kind if isinstance(part, GroupedBatchNormAct) else type(part)
            raise ValueError(
                f"trainer.sync_batchnorm=true would lose a part of {kind.__name__} ({name}): torch "
                "puts its SyncBatchNorm there, which normalises and does not activate. Use "
                "trainer.sync_batchnorm=false, where each device normalises its own images, or a "
                "backbone of plain BatchNorm, such as resnet50."
            )


def refuse_last_of_one(trainer: Trainer) -> None:
    """Raise ValueError if an epoch would end in a batch of one image, which has no negatives.

    At the start: the batch itself comes after an epoch's work, before its checkpoint.
    """
    loader: Any = trainer.train_dataloader
    if not isinstance(loader, DataLoader) or loader.drop_last or trainer.world_size > 1:
        return
    if not isinstance(loader.sampler, Sized) or not loader.batch_size:
        return
    images, batches = len(loader.sampler), len(loader)
    steps = trainer.max_steps * trainer.accumulate_grad_batches
    reached = trainer.num_training_batches >= batches and not 0 <= steps < batches
    if images > 1 and images % loader.batch_size == 1 and reached:
        raise ValueError(
            f"batch_size={loader.batch_size} leaves a last batch of one of the {images} images, "
            "which has no negatives: give the loader drop_last=True, or another batch size."
        )


def refuse_split_weights(module: LightningModule, why: str) -> None:
    """Raise ValueError unless the strategy is a single device or DDP, of any kind.

    Args:
        module: with its trainer.
        why: weights have to be whole on every device, a clause.
    """
    strategy = module.trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        raise ValueError(
            f"strategy={type(strategy).__name__} is not supported by {type(module).__name__}: it "
            f"splits weights over devices, and {why}. Use one device, or trainer.strategy=ddp."
        )


def check_momentum_moves(module: LightningModule, momentum: float) -> None:
    """Raise ValueError if a key encoder would not follow, or not as an average.

    With 16-bit weights it stands still: it moves by 1 - momentum of a difference, less than such a
    weight's last bit. Where weights are split it meets a part of them.
    """
    refuse_split_weights(module, "the key encoder follows whole ones")
    precision = str(module.trainer.precision)
    if precision in ("bf16-true", "16-true"):
        raise ValueError(
            f"trainer.precision={precision} keeps weights in 16 bits, where the key encoder's "
            f"steps of 1 - momentum = {1 - momentum:g} of a difference are rounded away and it "
            f"stands still. Use {precision.replace('true', 'mixed')} or 32-true."
        )
