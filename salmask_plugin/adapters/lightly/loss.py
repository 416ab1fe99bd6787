"""NT-Xent with hard negatives: lightly's loss, its bank or batch, and one more term per query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightly.loss import NTXentLoss
from lightly.utils import dist
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.adapters.lightly.queue import KeyQueue
from salmask_plugin.losses import join_hard_negatives
from salmask_plugin.losses.checks import check_batch, check_loss, check_owners
from salmask_plugin.precision import autocast_off, in_float


@dataclass(frozen=True)
class LossStatistics:
    """What the last loss was made of: detached scalars on the loss's device, read when logged.

    Attributes:
        similarity_positive: mean cosine of query and key (q.k).
        similarity_hard: mean cosine of query and its own hard negatives (q.t), None without them.
        hard_negative_share: mean share of the hard negatives in the denominator, None without them.
            Both are over the rows that have hard negatives.
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
    enter the memory bank. The host never waits for the device.

    The bank and its pointer are part of ``state_dict``; see :class:`KeyQueue`. It is read before it
    is written, so a batch's own keys are never among its negatives. A symmetric loss keeps that
    only if both directions go through one call:
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
        positive_in_denominator: False is Eq. 2 as printed, which leaves the positive out, in the
            rows of ``out1`` too.

    Attributes:
        statistics: :class:`LossStatistics` of the last call, None before it.

    Raises:
        ValueError: if the temperature is not positive, or rho or the bias is not finite.

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
        positive_in_denominator: bool = True,
    ) -> None:
        check_loss(temperature, rho, hard_negative_bias, positive_in_denominator)
        # Without a bank there: its first keys would be drawn twice.
        super().__init__(temperature=temperature, gather_distributed=gather_distributed)
        self.memory_bank = KeyQueue(memory_bank_size, gather_distributed=gather_distributed)
        self.rho = rho
        self.hard_negative_bias = hard_negative_bias
        self.positive_in_denominator = positive_in_denominator
        self.statistics: LossStatistics | None = None
        self.has_bank = self.memory_bank.size[0] > 0

    def forward(
        self,
        out0: Tensor,
        out1: Tensor,
        hard_negatives: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss over all rows, a scalar.

        Args:
            out0: (B, D) projections of the queries.
            out1: (B, D) projections of the keys; enqueued if there is a bank and ``out0`` requires
                gradient.
            hard_negatives: (B, D) or (B, M, D): row i belongs to image i. Detach them where the
                method does.
            owners: (N,) int64, where only N images have hard negatives, (N, M, D): whose they are.

        Raises:
            ValueError: on shapes that do not fit, an empty batch, or a bank that is not gathered on
                several processes.
        """
        if out0.ndim != 2 or out0.shape != out1.shape:
            raise ValueError(
                f"out0 {tuple(out0.shape)} and out1 {tuple(out1.shape)} must both be (B, D)."
            )
        check_batch(out0, "out0")
        check_owners(owners, hard_negatives)
        if self.has_bank and not self.gather_distributed and dist.world_size() > 1:
            raise ValueError(
                f"gather_distributed=False with a memory bank on {dist.world_size()} processes: "
                "DistributedDataParallel overwrites every bank with that of rank 0. "
                "It must be True."
            )
        # A half-precision einsum rounds a cosine of 0.99 by 0.0005, then divides by tau.
        with autocast_off(out0.device):
            query, key = (F.normalize(in_float(out), dim=1) for out in (out0, out1))
            positives = (query * key).sum(1)
            similarity = positives.detach().mean()
            logits, labels = self._logits(query, key)
            if hard_negatives is None:
                self.statistics = LossStatistics(similarity)
                return self._losses(logits, labels, reduction="mean")
            losses = self._losses(logits, labels, reduction="none")
            stock, keys = losses[: len(query)], losses[len(query) :]
            joined, hard = join_hard_negatives(
                stock,
                positives,
                in_float(out0),
                hard_negatives,
                owners,
                temperature=self.temperature,
                rho=self.rho,
                bias=self.hard_negative_bias,
            )
            share = 1 - (stock - joined).detach().exp()
            share = share if owners is None else share[owners]
            self.statistics = LossStatistics(similarity, hard.detach().mean(), share.mean())
            return torch.cat((joined, keys)).mean()

    def _logits(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of unit vectors, and the column of each row's positive; the bank takes the keys.

        With a bank (B, 1 + K), the positive first; else (2B, 2N - 1) in a global batch of N: the
        other view's N images, then the own view's without the row itself. lightly's layout.
        """
        _, bank = self.memory_bank(key, update=query.requires_grad)
        if bank is not None:
            positives = torch.einsum("nc,nc->n", query, key)[:, None]
            logits = torch.cat((positives, torch.einsum("nc,ck->nk", query, bank)), dim=1)
            return logits / self.temperature, logits.new_zeros(len(query), dtype=torch.long)
        queries, keys, first = query, key, 0
        if self.gather_distributed and dist.world_size() > 1:
            queries, keys = (torch.cat(dist.gather(own), 0) for own in (query, key))
            first = dist.rank() * len(query)
        labels = torch.arange(len(query), device=query.device) + first
        # Multiplied in lightly's order, in which gradients are then summed.
        pairs = ((query, queries), (query, keys), (key, queries), (key, keys))
        own0, other0, other1, own1 = (torch.einsum("nc,mc->nm", *pair) for pair in pairs)
        rows = (other0, drop_column(own0, labels)), (other1, drop_column(own1, labels))
        logits = torch.cat([torch.cat(row, dim=1) for row in rows])
        return logits / self.temperature, labels.repeat(2)

    def _losses(self, logits: Tensor, labels: Tensor, *, reduction: str) -> Tensor:
        """Loss without hard negatives, per row (``reduction="none"``) or their mean."""
        if self.positive_in_denominator:
            return F.cross_entropy(logits, labels, reduction=reduction)
        if logits.shape[1] == 1:
            raise ValueError(
                "positive_in_denominator=False on a batch of 1 without a memory bank: the "
                "denominator is empty. Use more images."
            )
        positives = logits.gather(1, labels[:, None])[:, 0]
        others = logits[:, 1:] if self.has_bank else drop_column(logits, labels)
        losses = others.logsumexp(1) - positives
        return losses if reduction == "none" else losses.mean()


def drop_column(rows: Tensor, columns: Tensor) -> Tensor:
    """Return ``rows`` (N, M) without one entry each, at ``columns`` (N,): (N, M - 1).

    By computed places: a boolean index would make the host count on the device.
    """
    kept = torch.arange(rows.shape[1] - 1, device=rows.device)
    return rows.gather(1, kept + (kept >= columns[:, None]))
