"""Per-row contrastive losses in solo-learn's layouts, in float32, ready for hard negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.adapters.solo_learn.settings import MaskingSettings
from salmask_plugin.losses import add_hard_negatives, hard_similarity
from salmask_plugin.precision import in_float


@dataclass(frozen=True)
class Rows:
    """One loss per row, and the cosine with its positive.

    Attributes:
        losses: (B,).
        positives: (B,); with several positives, tau log sum exp(cosine / tau).
        hard: (B, M) cosines with the row's own hard negatives, None before they joined.
        hard_share: (B,) softmax share of the hard negatives, None before they joined.
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


def moco_rows(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    *,
    temperature: float,
    positive_in_denominator: bool = True,
) -> Rows:
    """MoCo's loss per row; its mean is that of ``salmask_plugin.info_nce``.

    Args:
        query: (B, D).
        key: (B, D).
        queue: (D, K) unit columns, as solo-learn keeps them.
        temperature: tau > 0.
        positive_in_denominator: False is Eq. 2 of the paper as printed.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key = (F.normalize(in_float(x), dim=-1) for x in (query, key))
        positives = (query * key).sum(1)
        logits = query @ in_float(queue) / temperature
        if positive_in_denominator:
            logits = torch.cat((positives[:, None] / temperature, logits), dim=1)
        return Rows(logits.logsumexp(1) - positives / temperature, positives)


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
    with torch.autocast(z.device.type, enabled=False):
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


def with_hard_negatives(
    rows: Rows,
    query: Tensor,
    hard_negatives: Tensor,
    *,
    temperature: float,
    settings: MaskingSettings,
) -> Rows:
    """Let each row's own hard negatives join its denominator.

    Args:
        rows: of the queries, all of them.
        query: (B, D).
        hard_negatives: (B, M, D), row i of image i.
        temperature: that of the rows.
        settings: rho and bias.
    """
    with torch.autocast(query.device.type, enabled=False):
        hard = hard_similarity(query, hard_negatives)
        losses = add_hard_negatives(
            rows.losses,
            rows.positives,
            hard,
            temperature=temperature,
            rho=settings.rho,
            bias=settings.hard_negative_bias,
        )
        share = 1 - torch.exp(rows.losses.detach() - losses.detach())
    return Rows(losses, rows.positives, hard, share)
