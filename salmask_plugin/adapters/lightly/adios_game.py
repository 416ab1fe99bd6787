"""One batch of ADIOS on Lightning: whose turn it is, what is summed, and what is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from salmask_plugin.adapters.lightly.batch_norm import frozen_running_statistics
from salmask_plugin.adapters.lightly.logs import check_finite
from salmask_plugin.adapters.lightly.online import online_features
from salmask_plugin.adapters.lightly.views import StepMasking
from salmask_plugin.adios.accumulation import Term, accumulate
from salmask_plugin.adios.masking import (
    all_slots,
    mask_areas,
    occlude,
    random_slots,
    select_masks,
)
from salmask_plugin.adios.objective import occluder_regularizer, sparsity_penalty
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.seeding import step_generator

MasksPerStep = Literal["all", "one"]

_FIRST_VIEW = StepMasking(None, query_index=0, seed=0)


class OcclusionGame:
    """The rules both methods share: which masks are played, and each player's terms.

    Not a module: it holds settings and counts batches.

    Args:
        masks_per_step: "all" N masks of every image (ADIOS), or "one", drawn for every image on
            its own (ADIOS-s).
        mean_over_masks: average the contrastive terms over the masks that are played; False sums
            them, as in the released code.
        sparsity: lambda, weight of the penalty on all N masks.
        entropy: alpha_e, weight of the released area term.
        seed: of the drawn masks.

    Attributes:
        batches_seen: training batches so far; draws depend on (seed, rank, batches_seen).

    Raises:
        ValueError: on a value out of range.
    """

    def __init__(
        self,
        *,
        masks_per_step: MasksPerStep,
        mean_over_masks: bool,
        sparsity: float,
        entropy: float,
        seed: int,
    ) -> None:
        if masks_per_step not in get_args(MasksPerStep):
            raise ValueError(
                f"masks_per_step={masks_per_step!r} must be one of {get_args(MasksPerStep)}."
            )
        if not 0 <= sparsity < float("inf"):
            raise ValueError(f"sparsity={sparsity} must be finite and at least 0.")
        if not -float("inf") < entropy < float("inf"):
            raise ValueError(f"entropy={entropy} must be finite.")
        if seed < 0:
            raise ValueError(f"seed={seed} must be at least 0.")
        self.masks_per_step = masks_per_step
        self.mean_over_masks = mean_over_masks
        self.sparsity = sparsity
        self.entropy = entropy
        self.seed = seed
        self.batches_seen = 0

    def generator(self, rank: int, device: torch.device) -> torch.Generator:
        """Return the generator of this batch: its first draw is the encoder's masks."""
        return step_generator(self.seed, rank, self.batches_seen, device)

    def choose(self, masks: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return the choices to play, each (B,) int64."""
        if self.masks_per_step == "all":
            return all_slots(masks)
        return random_slots(masks, generator)

    def encoder_terms(
        self,
        images: Tensor,
        masks: Tensor,
        choices: Sequence[Tensor],
        term: Callable[[Tensor, Tensor], Tensor],
        networks: Sequence[nn.Module],
    ) -> list[Term]:
        """Return the terms that the encoder minimises.

        One masked forward per batch updates running statistics, a different mask each time: N of
        them would drown the clean view's in the statistics that the encoder is evaluated with.

        Args:
            images: (B, C, H, W), the view that is occluded.
            masks: (B, N, H, W), without graph.
            choices: of :meth:`choose`.
            term: (clean projections, occluded images) -> scalar.
            networks: whose statistics are meant.
        """
        turn = self.batches_seen % len(choices)

        def make(index: int, choice: Tensor) -> Term:
            def play(clean: Tensor) -> Tensor:
                with statistics(networks, update=index == turn):
                    return term(clean, occlude(images, select_masks(masks, choice)))

            return play

        weight = self._weight(choices)
        return [_scaled(make(*item), weight) for item in enumerate(choices)]

    def occluder_terms(
        self, images: Tensor, choices: Sequence[Tensor], term: Callable[[Tensor], Tensor]
    ) -> list[Term]:
        """Return the terms that the occluder minimises: minus the encoder's, and the penalty.

        Args:
            images: (B, C, H, W), the view that is occluded.
            choices: of :meth:`choose`.
            term: occluded images -> scalar.
        """

        def make(choice: Tensor) -> Term:
            return lambda masks: term(occlude(images, select_masks(masks, choice)))

        def penalty(masks: Tensor) -> Tensor:
            return -occluder_regularizer(
                mask_areas(masks), sparsity=self.sparsity, entropy=self.entropy
            )

        weight = -self._weight(choices)
        return [*(_scaled(make(choice), weight) for choice in choices), penalty]

    def mean_term(self, total: Tensor, choices: Sequence[Tensor]) -> Tensor:
        """Return the mean over the masks played of terms whose weighted sum is ``total``."""
        return total / (self._weight(choices) * len(choices))

    def _weight(self, choices: Sequence[Tensor]) -> float:
        return 1 / len(choices) if self.mean_over_masks else 1.0


def take_step(
    module: LightningModule, optimizer: Any, shared: Tensor, terms: Iterable[Term], *, batch: int
) -> Tensor:
    """Minimise the sum of the terms by one step of one player, and return that sum, detached.

    Gradients of all terms are accumulated on each process and averaged over the processes once.
    DDP's own reduction is left out: it would run once per term, and would wait for the gradients
    of the player who is not on turn.

    Raises:
        FloatingPointError: if the sum is not finite, before the step; names ``batch``.
    """
    optimizer.zero_grad()
    strategy = module.trainer.strategy
    unreduced = (
        strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else nullcontext()
    )
    with unreduced:
        total = accumulate(shared, terms, module.manual_backward)
    check_finite(total, step=batch)
    average_gradients(optimizer)
    optimizer.step()
    return total


@torch.no_grad()
def average_gradients(optimizer: Optimizer) -> None:
    """Replace the gradients of an optimiser's parameters by their mean over the processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(
        gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(mean.view_as(gradient))


def online_loss(module: Any, batch: Sequence[Any], batch_idx: int) -> Tensor:
    """Loss of the online classifier on clean first views, its accuracy logged; 0 without one."""
    if module.online_classifier is None:
        return torch.zeros((), device=module.device)
    features = online_features(module.backbone, _FIRST_VIEW, batch)
    loss, metrics = module.online_classifier.training_step((features, batch[1]), batch_idx)
    module.log_dict(metrics, sync_dist=True, batch_size=len(features))
    return loss


def refuse_masking(masking: SaliencyMasking | None) -> None:
    """Raise ValueError if there is a masking: one that is silently unused would mislead."""
    if masking is not None:
        raise ValueError(
            "masking must be None for ADIOS, which learns its masks: choose masking=none."
        )


def check_strategy(module: LightningModule) -> None:
    """Raise ValueError where parameters are not whole on every process.

    Raises:
        ValueError: unless the strategy is a single device or DDP, of any kind.
    """
    strategy = module.trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        raise ValueError(
            f"strategy={type(strategy).__name__} is not supported by ADIOS: its two players take "
            "turns on whole parameters. Use one device, or trainer.strategy=ddp."
        )


def log_step(
    module: LightningModule, loss: Tensor, masks: Tensor, choices: Sequence[Tensor]
) -> None:
    """Log one batch.

    ``train_loss`` (mean over the masks played), ``mask_ratio`` (mean area of the masks played),
    ``adios_penalty`` (sum over all N masks, not weighted) and ``adios_area_0`` to ``N - 1``.
    """
    areas = mask_areas(masks.detach())
    played = torch.stack([areas.gather(1, choice[:, None]).mean() for choice in choices])
    metrics = {"mask_ratio": played.mean(), "adios_penalty": sparsity_penalty(areas).sum()}
    for slot, area in enumerate(areas.mean(0)):
        metrics[f"adios_area_{slot}"] = area
    batch = len(masks)
    module.log("train_loss", loss, prog_bar=True, sync_dist=True, batch_size=batch)
    module.log_dict(metrics, sync_dist=True, batch_size=batch)


def _scaled(term: Term, weight: float) -> Term:
    return lambda shared: weight * term(shared)


def statistics(networks: Sequence[nn.Module], *, update: bool) -> AbstractContextManager[None]:
    """Let forwards inside update running statistics, or not."""
    return nullcontext() if update else frozen_running_statistics(*networks)
