"""What the two players of ADIOS minimise and maximise, as functions of tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.checks import number
from salmask_plugin.losses import info_nce
from salmask_plugin.precision import autocast_off, in_float

SMALLEST_EPS = 1e-12
"""1 / eps^2, the penalty's steepest slope, is finite in float32 down to here and far below."""


def sparsity_penalty(areas: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Penalise masks that cover nearly nothing or nearly everything: 1 / (sin(pi a) + eps).

    1 at half the image, 1.41 at a quarter, 2 at a sixth, 6.4 at 0.05, 31.8 at 0.01. At areas 0 and
    1 it is 1 / eps, with a finite gradient (3e12 at the default) that points away from them.
    Computed in float32 (float64 stays) under any autocast. The sine is taken of min(a, 1 - a): in
    float32 sin(pi) is below zero, and a full mask would be rewarded with 1e7 instead of punished.

    Args:
        areas: (B, N) in [0, 1], the share of the image each mask covers.
        eps: at least 1e-12. The released 1e-10 is zero in half precision, where the penalty of an
            empty mask was infinite.

    Returns:
        (N,), the mean over the batch.

    Raises:
        ValueError: if eps is too small.

    References:
        Shi et al., ICML 2022, section 3 (https://arxiv.org/abs/2201.13100).
    """
    number(eps, "eps", at_least=SMALLEST_EPS)
    with autocast_off(areas.device):
        areas = in_float(areas)
        return (1 / (torch.sin(math.pi * torch.minimum(areas, 1 - areas)) + eps)).mean(0)


def area_entropy(areas: Tensor) -> Tensor:
    """Return the negative entropy of softmax(areas) over the masks, summed over the batch.

    The released term, kept as it is: it is summed, not averaged, and the occluder maximises it, so
    that a positive weight drives the areas of an image apart. It is 0-weighted in all released
    ImageNet-100 settings.

    Args:
        areas: (B, N).

    Returns:
        A scalar in [-B log N, 0].
    """
    with autocast_off(areas.device):
        logits = in_float(areas).log_softmax(1)
        return (logits.exp() * logits).sum()


def occluder_regularizer(
    areas: Tensor, *, sparsity: float, entropy: float = 0.0, eps: float = 1e-6
) -> Tensor:
    """Return what the occluder maximises beside the contrastive terms, a scalar.

    -sparsity * sum_n penalty_n + entropy * area_entropy: over all N masks, for ADIOS-s too.

    Args:
        areas: (B, N).
        sparsity: lambda of the paper.
        entropy: alpha_e, weight of :func:`area_entropy`.
        eps: of :func:`sparsity_penalty`.
    """
    value = -sparsity * sparsity_penalty(areas, eps=eps).sum()
    return value + entropy * area_entropy(areas) if entropy else value


def nt_xent(out0: Tensor, out1: Tensor, *, temperature: float = 0.2) -> Tensor:
    """Symmetric NT-Xent over 2B rows: the term L(z1, z2) of SimCLR-ADIOS.

    The positive is in the denominator, a row's own similarity is not. In float32 (float64 stays)
    under any autocast. For one process; over several, lightly's ``NTXentLoss`` gathers.

    Args:
        out0: (B, D) projections of the clean view.
        out1: (B, D) projections of the occluded view.
        temperature: tau > 0.

    Returns:
        The mean over the 2B rows.

    Raises:
        ValueError: on shapes that do not fit, a batch of 1, or temperature <= 0.
    """
    number(temperature, "temperature", above=0)
    if out0.ndim != 2 or out0.shape != out1.shape or len(out0) < 2:
        raise ValueError(
            f"out0 {tuple(out0.shape)} and out1 {tuple(out1.shape)} must both be (B, D), B >= 2."
        )
    batch = len(out0)
    with autocast_off(out0.device):
        rows = F.normalize(torch.cat((in_float(out0), in_float(out1))), dim=1)
        own = torch.eye(2 * batch, dtype=torch.bool, device=rows.device)
        logits = (rows @ rows.T / temperature).masked_fill(own, -float("inf"))
        positives = torch.arange(2 * batch, device=rows.device).roll(batch)
        return F.cross_entropy(logits, positives)


def moco_term(
    clean_query: Tensor,
    clean_key: Tensor,
    masked_query: Tensor,
    masked_key: Tensor,
    negatives: Tensor,
    *,
    temperature: float = 0.2,
) -> Tensor:
    """Return the term L of MoCo-v2-ADIOS: both views pass both encoders.

    The mean of InfoNCE(f_q(x1), f_k(x2 masked)) and InfoNCE(f_q(x2 masked), f_k(x1)). It is this
    project's port: there is no reference implementation of ADIOS on MoCo. It mirrors ADIOS on BYOL,
    whose two directions it averages, so that a batch weighs as much as in MoCo's own loss.

    Args:
        clean_query: (B, D), f_q(x1).
        clean_key: (B, D), f_k(x1), without gradient.
        masked_query: (B, D), f_q(x2 masked).
        masked_key: (B, D), f_k(x2 masked), without gradient.
        negatives: (K, D), the queue.
        temperature: tau.

    References:
        Chin et al., WACV 2024, section A.2: masked and unmasked views go through query and key.
    """
    forward = info_nce(clean_query, masked_key, negatives, temperature=temperature) / 2
    return forward + moco_occluder_term(masked_query, clean_key, negatives, temperature=temperature)


def moco_occluder_term(
    masked_query: Tensor, clean_key: Tensor, negatives: Tensor, *, temperature: float = 0.2
) -> Tensor:
    """Return the part of :func:`moco_term` that depends on the masks through a gradient.

    Keys carry none, so the other direction is a constant on the occluder's turn.
    """
    return info_nce(masked_query, clean_key, negatives, temperature=temperature) / 2
