"""Per-row contrastive losses in solo-learn's layouts, in float32, ready for hard negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.adapters.solo_learn.settings import MaskingSettings
from salmask_plugin.losses import join_hard_negatives
from salmask_plugin.losses.rows import Rows, nt_xent_rows
from salmask_plugin.precision import in_float

__all__ = ["Rows", "moco_rows", "nt_xent_rows", "with_hard_negatives"]


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


def with_hard_negatives(
    rows: Rows,
    query: Tensor,
    hard_negatives: Tensor,
    owners: Tensor | None = None,
    *,
    temperature: float,
    settings: MaskingSettings,
) -> Rows:
    """Let each row's own hard negatives join its denominator.

    Args:
        rows: of the queries, all of them.
        query: (B, D).
        hard_negatives: (N, M, D).
        owners: (N,) int64, the rows that they belong to; None: N = B, row i of image i.
        temperature: that of the rows.
        settings: rho and bias.
    """
    with torch.autocast(query.device.type, enabled=False):
        losses, hard = join_hard_negatives(
            rows.losses,
            rows.positives,
            query,
            hard_negatives,
            owners,
            temperature=temperature,
            rho=settings.rho,
            bias=settings.hard_negative_bias,
        )
        share = 1 - torch.exp(rows.losses.detach() - losses.detach())
        share = share if owners is None else share[owners]
    return Rows(losses, rows.positives, hard, share)
