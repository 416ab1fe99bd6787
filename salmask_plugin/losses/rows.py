"""Contrastive losses per row, in float32, ready for hard negatives; for any host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.precision import autocast_off, in_float


@dataclass(frozen=True)
class Rows:
    """One loss per row, and the cosine with its positive.

    Attributes:
        losses: (B,).
        positives: (B,); with several positives, tau log sum exp(cosine / tau).
        hard: (N, M) cosines of the N rows that have hard negatives with their own, None before
            they joined.
        hard_share: (N,) their softmax share of the hard negatives, None before they joined.
    """

    losses: Tensor
    positives: Tensor
    hard: Tensor | None = None
    hard_share: Tensor | None = None

    def head(self, count: int) -> Rows:
        """Return the first ``count`` rows, before hard negatives joined."""
        return Rows(self.losses[:count], self.positives[:count])

    def statistics(self) -> dict[str, list[Tensor]]:
        """What a run logs: lists, so that two directions can be joined."""
        values = {"similarity_positive": [self.positives.detach().mean()]}
        if self.hard is not None and self.hard_share is not None:
            values["similarity_hard"] = [self.hard.detach().mean()]
            values["hard_negative_share"] = [self.hard_share.mean()]
        return values


def nt_xent_rows(
    z: Tensor,
    indexes: Tensor,
    all_z: Tensor,
    all_indexes: Tensor,
    *,
    first: int,
    temperature: float,
    positive_in_denominator: bool = True,
) -> Rows:
    """SimCLR's loss per row, positives being the other views of the same image.

    Args:
        z: (R, D) embeddings of all views on this process.
        indexes: (R,) the image each row shows.
        all_z: (N, D) those of all processes.
        all_indexes: (N,).
        first: where this process' rows begin in ``all_z``.
        temperature: tau > 0.
        positive_in_denominator: False is Eq. 2 of the paper as printed.
    """
    with autocast_off(z.device):
        z, all_z = (F.normalize(in_float(x), dim=-1) for x in (z, all_z))
        logits = z @ all_z.T / temperature
        rows = torch.arange(len(z), device=z.device)
        itself = torch.zeros_like(logits, dtype=torch.bool)
        itself[rows, rows + first] = True
        same = indexes[:, None] == all_indexes[None, :]
        lowest = float("-inf")
        positive = logits.masked_fill(~same | itself, lowest).logsumexp(1)
        excluded = itself if positive_in_denominator else same
        return Rows(
            logits.masked_fill(excluded, lowest).logsumexp(1) - positive, temperature * positive
        )
