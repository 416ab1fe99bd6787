"""InfoNCE with hard negatives: a pure function, a module, and the per-row term other losses add."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmask_plugin.losses.checks import check_batch, check_embeddings, check_loss, check_owners
from salmask_plugin.precision import autocast_off, in_float


def info_nce(
    query: Tensor,
    key: Tensor,
    negatives: Tensor,
    hard_negatives: Tensor | None = None,
    *,
    temperature: float = 0.2,
    rho: float = 2.0,
    positive_in_denominator: bool = True,
    hard_negative_bias: float = 0.0,
    owners: Tensor | None = None,
) -> Tensor:
    """Contrast each query with its key, a queue, and its own image's hard negatives.

    With q, k, n, t the L2-normalised embeddings, the row of query i has the logits q_i k_i / tau,
    q_i n_j / tau for every j, and rho q_i t_im / tau + bias for its own m. Everything is computed
    in float32 (float64 stays) under any autocast.

    Args:
        query: (B, D).
        key: (B, D), the positives; detach them where the method does.
        negatives: (K, D), the queue; K may be 0 if there are hard negatives.
        hard_negatives: (B, D) or (B, M, D): row i belongs to image i.
        temperature: tau > 0.
        rho: factor on the hard negatives' similarity inside the exponential; at 2 they see half
            the temperature. Where q.t < 0 a larger rho lowers their weight.
        positive_in_denominator: False is Eq. 2 as printed, which leaves the positive out.
        hard_negative_bias: added to the hard negatives' logits; 0 is the paper. Their share of the
            softmax grows as the queue shrinks; log(K / 65536) keeps it at the paper's.
        owners: (N,) int64, where N < B images have hard negatives of their own, (N, M, D): whose
            they are. The other rows have the queue alone; see :func:`join_hard_negatives`.

    Returns:
        The mean loss, a scalar.

    Raises:
        ValueError: on what are no floating-point tensors, shapes that do not fit, an empty batch,
            no negatives of any kind, or settings that are not finite.

    References:
        Chin et al., WACV 2024, Eq. 2; rho and the positive's place after the code of Ge et al.,
        NeurIPS 2021, https://github.com/SongweiGe/Contrastive-Learning-with-Non-Semantic-Negatives/tree/5fbdc4d.
    """
    check_loss(temperature, rho, hard_negative_bias, positive_in_denominator)
    for argument, rows in (("query", query), ("key", key), ("negatives", negatives)):
        check_embeddings(rows, argument)
    if key.shape != query.shape or negatives.ndim != 2 or negatives.shape[1] != query.shape[1]:
        raise ValueError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and negatives "
            f"{tuple(negatives.shape)} must be (B, D), (B, D) and (K, D)."
        )
    check_batch(query, "query")
    check_owners(owners, hard_negatives)
    if hard_negatives is not None:
        check_embeddings(hard_negatives, "hard_negatives")
    if len(negatives) == 0 and (hard_negatives is None or 0 in hard_negatives.shape[:-1]):
        raise ValueError("negatives is empty and there are no hard_negatives: nothing to contrast.")
    if len(negatives) == 0 and owners is not None and len(owners) < len(query):
        raise ValueError(
            f"negatives is empty, and owners name {len(owners)} of {len(query)} rows: the others "
            "have nothing to be contrasted with."
        )
    with autocast_off(query.device):
        query, key, negatives = (F.normalize(in_float(x), dim=-1) for x in (query, key, negatives))
        positives = (query * key).sum(1)
        logits = query @ negatives.T / temperature
        if positive_in_denominator:
            logits = torch.cat((positives[:, None] / temperature, logits), dim=1)
        losses = logits.logsumexp(1) - positives / temperature
        if hard_negatives is not None:
            losses, _ = join_hard_negatives(
                losses,
                positives,
                query,
                hard_negatives,
                owners,
                temperature=temperature,
                rho=rho,
                bias=hard_negative_bias,
            )
    return losses.mean()


def join_hard_negatives(
    losses: Tensor,
    positives: Tensor,
    query: Tensor,
    hard_negatives: Tensor,
    owners: Tensor | None = None,
    *,
    temperature: float,
    rho: float = 2.0,
    bias: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Let the rows that have hard negatives take their own into the denominator.

    Args:
        losses: (B,) per-row losses without hard negatives.
        positives: (B,) cosine of each row with its positive.
        query: (B, D) embeddings of the rows.
        hard_negatives: (N, D) or (N, M, D).
        owners: (N,) int64, the row that each belongs to, none twice; rows without stay as they are,
            bit for bit. None: N = B, row i holds those of image i.
        temperature: the temperature the losses were computed with.
        rho: factor on the similarity.
        bias: added to the hard negatives' logits.

    Returns:
        (B,) losses, and (N, M) cosines of the owners with their own.

    Raises:
        ValueError: if the hard negatives are not one row per owner.
    """
    settings = {"temperature": temperature, "rho": rho, "bias": bias}
    if owners is None:
        hard = hard_similarity(query, hard_negatives)
        return add_hard_negatives(losses, positives, hard, **settings), hard
    check_owners(owners, hard_negatives)
    if owners.ndim != 1 or owners.dtype != torch.int64 or len(owners) != len(hard_negatives):
        raise ValueError(
            f"owners are {owners.dtype} {tuple(owners.shape)} for hard_negatives "
            f"{tuple(hard_negatives.shape)}: int64 (N,) says whose each of the N is."
        )
    hard = hard_similarity(query[owners], hard_negatives)
    joined = add_hard_negatives(losses[owners], positives[owners], hard, **settings)
    return losses.index_copy(0, owners, joined), hard


def hard_similarity(query: Tensor, hard_negatives: Tensor) -> Tensor:
    """Cosine of each query (B, D) with its own hard negatives, (B, D) or (B, M, D): (B, M).

    Raises:
        ValueError: if the hard negatives are not one row per query.
    """
    check_embeddings(hard_negatives, "hard_negatives")
    own = hard_negatives[:, None] if hard_negatives.ndim == 2 else hard_negatives
    if own.ndim != 3 or (own.shape[0], own.shape[2]) != tuple(query.shape):
        raise ValueError(
            f"hard_negatives {tuple(hard_negatives.shape)} must be (B, D) or (B, M, D) for queries "
            f"(B, D) = {tuple(query.shape)}: row i holds the hard negatives of image i."
        )
    with autocast_off(query.device):
        query = F.normalize(in_float(query), dim=-1)
        own = F.normalize(in_float(own), dim=-1)
        return torch.einsum("bd,bmd->bm", query, own)


def add_hard_negatives(
    losses: Tensor,
    positives: Tensor,
    hard: Tensor,
    *,
    temperature: float,
    rho: float = 2.0,
    bias: float = 0.0,
) -> Tensor:
    """Add hard negatives to the denominator of finished per-row losses.

    A row's cross-entropy is logsumexp(logits) - positive / tau, so adding logits e_m gives exactly
    logaddexp(loss, logsumexp(e) - positive / tau). This serves any host's loss, whatever its rows.

    Args:
        losses: (B,) per-row losses.
        positives: (B,) cosine of each row with its positive.
        hard: (B, M) cosine of each row with its own hard negatives.
        temperature: the temperature the losses were computed with.
        rho: factor on ``hard``.
        bias: added to the hard negatives' logits.

    Returns:
        (B,) losses. The softmax share of the hard negatives is 1 - exp(losses before - after).
    """
    extra = (rho * hard / temperature + bias).logsumexp(1)
    return torch.logaddexp(losses, extra - positives / temperature)


class InfoNCELoss(nn.Module):
    """:func:`info_nce` with its settings stored. Arguments as there."""

    def __init__(
        self,
        temperature: float = 0.2,
        rho: float = 2.0,
        positive_in_denominator: bool = True,
        hard_negative_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_loss(temperature, rho, hard_negative_bias, positive_in_denominator)
        self.temperature = temperature
        self.rho = rho
        self.positive_in_denominator = positive_in_denominator
        self.hard_negative_bias = hard_negative_bias

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        negatives: Tensor,
        hard_negatives: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss; shapes as in :func:`info_nce`."""
        return info_nce(
            query,
            key,
            negatives,
            hard_negatives,
            temperature=self.temperature,
            rho=self.rho,
            positive_in_denominator=self.positive_in_denominator,
            hard_negative_bias=self.hard_negative_bias,
            owners=owners,
        )
