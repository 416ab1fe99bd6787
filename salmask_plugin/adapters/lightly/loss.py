"""NT-Xent with hard negatives: lightly's loss, its bank or batch, and one more term per query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightly.loss import NTXentLoss
from lightly.utils import dist
from torch import Tensor, nn
from torch.nn import functional as F

from salmask_plugin.losses import add_hard_negatives, hard_similarity
from salmask_plugin.losses.info_nce import check_temperature
from salmask_plugin.precision import in_float


@dataclass(frozen=True)
class LossStatistics:
    """What the last loss was made of: detached scalars on the loss's device, read when logged.

    Attributes:
        similarity_positive: mean cosine of query and key (q.k).
        similarity_hard: mean cosine of query and its own hard negatives (q.t), None without them.
        hard_negative_share: mean softmax probability of the hard negatives, None without them.
    """

    similarity_positive: Tensor
    similarity_hard: Tensor | None = None
    hard_negative_share: Tensor | None = None


class HardNegativeNTXentLoss(NTXentLoss):
    """Contrast each row of ``out0`` with its own image's hard negatives as well.

    Without hard negatives this is lightly's ``NTXentLoss`` bit for bit in float32; under autocast
    the logits are float32 here, where lightly's are half precision. With hard negatives, the rows
    of ``out0`` gain the logits rho q.t / tau + bias; the rows of ``out1`` (only there without a
    memory bank) stay as they are. Hard negatives are never gathered from other processes and never
    enter the memory bank.

    The bank and its pointer are part of ``state_dict`` (in lightly they are not, and a resumed run
    starts from random negatives). It is read before it is written, so a batch's own keys are never
    among its negatives. A symmetric loss keeps that only if both directions go through one call:
    ``criterion(cat((q0, q1)), cat((k1, k0)), cat((t1, t0)))`` is their mean; two calls would show
    the second the keys of the first.

    Args:
        temperature: tau > 0.
        memory_bank_size: (K, D), or 0 for negatives from the batch. Keys that do not fit at the
            bank's end are dropped: choose K as a multiple of the (global) batch.
        gather_distributed: use the batches of all processes; required with a bank on several.
        rho: factor on the hard negatives' similarity inside the exponential.
        hard_negative_bias: added to the hard negatives' logits; 0 is the paper. log(K / 65536)
            keeps their share of the softmax with K negatives near that of the paper's queue.

    Attributes:
        statistics: :class:`LossStatistics` of the last call, None before it.

    Raises:
        ValueError: if the temperature is not positive, or rho or the bias is not finite.
        TypeError: if this lightly has no ``cross_entropy`` to build on (lightly 2).

    References:
        Chin et al., WACV 2024, Eq. 2, with the positive in the denominator as in the released code,
        https://github.com/joycenerd/Saliency-Guided-Masking-for-ConvNets/tree/c6e62b8.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
        rho: float = 2.0,
        hard_negative_bias: float = 0.0,
    ) -> None:
        check_temperature(temperature)
        for name, value in (("rho", rho), ("hard_negative_bias", hard_negative_bias)):
            if not -float("inf") < value < float("inf"):
                raise ValueError(f"{name}={value} must be finite.")
        super().__init__(
            temperature=temperature,
            memory_bank_size=memory_bank_size,
            gather_distributed=gather_distributed,
        )
        if not isinstance(getattr(self, "cross_entropy", None), nn.CrossEntropyLoss):
            raise TypeError(
                "lightly's NTXentLoss has no CrossEntropyLoss named cross_entropy; "
                "HardNegativeNTXentLoss needs lightly>=1.6,<2."
            )
        self.rho = rho
        self.hard_negative_bias = hard_negative_bias
        self.statistics: LossStatistics | None = None
        self.has_bank = self.memory_bank.size[0] > 0
        if self.has_bank:
            for name in ("bank", "bank_ptr"):
                buffer = getattr(self.memory_bank, name)
                self.memory_bank.register_buffer(name, buffer, persistent=True)

    def forward(self, out0: Tensor, out1: Tensor, hard_negatives: Tensor | None = None) -> Tensor:
        """Return the mean loss over all rows, a scalar.

        Args:
            out0: (B, D) projections of the queries.
            out1: (B, D) projections of the keys; enqueued if there is a bank and ``out0`` requires
                gradient.
            hard_negatives: (B, D) or (B, M, D): row i belongs to image i. Detach them where the
                method does.

        Raises:
            ValueError: on shapes that do not fit, or a bank that is not gathered on several
                processes.
        """
        if out0.ndim != 2 or out0.shape != out1.shape:
            raise ValueError(
                f"out0 {tuple(out0.shape)} and out1 {tuple(out1.shape)} must both be (B, D)."
            )
        if self.has_bank and not self.gather_distributed and dist.world_size() > 1:
            raise ValueError(
                f"gather_distributed=False with a memory bank on {dist.world_size()} processes: "
                "DistributedDataParallel overwrites every bank with that of rank 0. "
                "It must be True."
            )
        # A half-precision einsum rounds a cosine of 0.99 by 0.0005, then divides by tau.
        with torch.autocast(out0.device.type, enabled=False):
            out0, out1 = in_float(out0), in_float(out1)
            positives = (F.normalize(out0, dim=1) * F.normalize(out1, dim=1)).sum(1)
            if hard_negatives is None:
                self.statistics = LossStatistics(positives.detach().mean())
                loss: Tensor = super().forward(out0, out1)
                return loss
            hard = hard_similarity(out0, hard_negatives)
            queries, keys = self._rows(out0, out1)
            losses = add_hard_negatives(
                queries,
                positives,
                hard,
                temperature=self.temperature,
                rho=self.rho,
                bias=self.hard_negative_bias,
            )
            share = 1 - (queries - losses).detach().exp()
            self.statistics = LossStatistics(
                positives.detach().mean(), hard.detach().mean(), share.mean()
            )
            return torch.cat((losses, keys)).mean()

    def _rows(self, out0: Tensor, out1: Tensor) -> tuple[Tensor, Tensor]:
        """Stock loss per row: (B,) of the queries, and (B,) of the keys or, with a bank, (0,)."""
        self.cross_entropy.reduction = "none"
        try:
            losses: Tensor = super().forward(out0, out1)
        finally:
            self.cross_entropy.reduction = "mean"
        batch = len(out0)
        expected = (batch,) if self.has_bank else (2 * batch,)
        if losses.shape != expected:
            raise TypeError(
                f"lightly's NTXentLoss returned rows {tuple(losses.shape)} where {expected} was "
                "expected; HardNegativeNTXentLoss needs lightly>=1.6,<2."
            )
        return losses[:batch], losses[batch:]
