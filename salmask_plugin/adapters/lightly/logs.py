"""What is logged in every step, and the two warnings that follow from it."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from salmask_plugin.adapters.lightly.finite import FiniteWatch, mean_over_processes
from salmask_plugin.adapters.lightly.foreground_bins import ForegroundBins
from salmask_plugin.adapters.lightly.loss import LossStatistics
from salmask_plugin.localizers import UniformLocalizer
from salmask_plugin.masking import SaliencyMasking, foreground_tolerance
from salmask_plugin.masks import foreground
from salmask_plugin.types import MaskedViews

PAPER_QUEUE = 65536
"""Negatives per query in the paper's MoCo, where the hard negative's share is near 0.1."""


class StepLog:
    """Log the numbers that tell whether masking and hard negatives do what they should.

    ``train_loss``, ``mask_ratio`` (share of pixels masked in the masked views),
    ``foreground_share`` (share of the grid that counts as object), ``similarity_positive`` (q.k),
    ``similarity_hard`` (q.t) and ``hard_negative_share`` (softmax probability of the hard
    negatives), each where it exists. All are device scalars, averaged over the processes in one
    collective; the host reads them where the logger does anyway.

    The epoch's histogram of ``foreground_share`` over images is logged beside them
    (:class:`ForegroundBins`).

    Warns once when the hard negatives dominate the softmax, and once when the foreground is nearly
    everything or nothing, so that saliency has no say. Stops a run whose loss is not finite.

    Args:
        masking: of the run, or None.

    Attributes:
        finite: watches the loss; the module checks it before checkpoints.
    """

    def __init__(self, masking: SaliencyMasking | None) -> None:
        self._tolerance = foreground_tolerance(masking)
        # A uniform map is all foreground on purpose.
        self._judge_foreground = masking is not None and not isinstance(
            masking.localizer, UniformLocalizer
        )
        self._bins = ForegroundBins()
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}  # a warm-up's first steps lack some values
        self._steps = 0
        self._warned: set[str] = set()
        self.finite = FiniteWatch()

    def step(
        self,
        module: LightningModule,
        views: MaskedViews,
        statistics: LossStatistics | None = None,
        *,
        loss: Tensor | None = None,
        step: int = 0,
        negatives: int = 0,
    ) -> None:
        """Log one training step of ``module``.

        Args:
            module: whose step it is.
            views: what the encoders saw.
            statistics: of the loss.
            loss: of this process; None where the module logs its own.
            step: training batches before this one.
            negatives: other images that each query sees.

        Raises:
            FloatingPointError: every ``log_every_n_steps`` steps and in the last of an epoch, if
                the loss of any step so far was not finite.
        """
        metrics = {} if loss is None else {"train_loss": loss.detach().float()}
        metrics |= step_metrics(views, statistics, tolerance=self._tolerance)
        if metrics:
            means = mean_over_processes(torch.stack(list(metrics.values())))
            metrics = dict(zip(metrics, means.unbind(), strict=True))
        if loss is not None:
            self.finite.add(metrics["train_loss"], step=step)
        for name, value in metrics.items():
            shown = name == "train_loss"
            module.log(name, value, prog_bar=shown, batch_size=len(views.query))
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        if self._judge_foreground and views.saliency is not None:
            self._bins.add(foreground(torch.cat(views.saliency), self._tolerance))
        self._steps += 1
        trainer: Any = module.trainer
        if self._steps >= trainer.log_every_n_steps or trainer.is_last_batch:
            self.finite.check()
            self._judge(negatives)
            self._bins.log(module)

    def _judge(self, negatives: int) -> None:
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts, self._steps = {}, {}, 0
        share = means.get("hard_negative_share", 0.0)
        if share > 0.5 and self._once("share"):
            rank_zero_warn(
                f"The hard negatives dominate: they hold {share:.2f} of the softmax beside "
                f"{negatives} negatives (the paper's queue has {PAPER_QUEUE}). "
                f"hard_negative_bias={math.log(max(negatives, 1) / PAPER_QUEUE):.2f} "
                f"(log({negatives}/{PAPER_QUEUE})) brings them near the paper's share."
            )
        objects = means.get("foreground_share", 0.5)
        if self._judge_foreground and not 0.03 <= objects <= 0.95 and self._once("foreground"):
            rank_zero_warn(
                f"The foreground covers {objects:.3f} of the grid on average, so saliency hardly "
                "decides what is masked: look at `salmask preview`, and check the localizer, its "
                "input size and normalisation. True masks and fixed centres need samplers with "
                "tolerance=0."
            )

    def _once(self, name: str) -> bool:
        first = name not in self._warned
        self._warned.add(name)
        return first


def step_metrics(
    views: MaskedViews, statistics: LossStatistics | None, *, tolerance: float
) -> dict[str, Tensor]:
    """Return the scalars that exist in this step, by their logged names."""
    metrics: dict[str, Tensor] = {}
    masks = [mask for mask in (views.query_mask, views.key_mask) if mask is not None]
    if masks:
        metrics["mask_ratio"] = torch.stack([mask.float().mean() for mask in masks]).mean()
    if views.saliency is not None:
        objects = foreground(torch.cat(views.saliency), tolerance)
        metrics["foreground_share"] = objects.float().mean()
    if statistics is not None:
        metrics["similarity_positive"] = statistics.similarity_positive
        if statistics.similarity_hard is not None and statistics.hard_negative_share is not None:
            metrics["similarity_hard"] = statistics.similarity_hard
            metrics["hard_negative_share"] = statistics.hard_negative_share
    return metrics
