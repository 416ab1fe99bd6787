"""What a loss with hard negatives refuses: settings out of range, and rows that are none."""

from __future__ import annotations

from torch import Tensor

from salmask_plugin.checks import check_flag, number


def check_loss(
    temperature: float, rho: float, hard_negative_bias: float, positive_in_denominator: bool
) -> None:
    """Raise ValueError where a setting of a loss with hard negatives is out of range."""
    number(temperature, "temperature", above=0)
    check_flag(positive_in_denominator, "positive_in_denominator")
    number(rho, "rho")
    number(hard_negative_bias, "hard_negative_bias")


def check_embeddings(rows: Tensor, argument: str) -> None:
    """Raise ValueError unless they are a floating-point tensor."""
    if isinstance(rows, Tensor) and rows.is_floating_point():
        return
    found = rows.dtype if isinstance(rows, Tensor) else f"a {type(rows).__name__}"
    raise ValueError(f"{argument} are {found}; embeddings are a floating-point tensor.")


def check_owners(owners: Tensor | None, hard_negatives: Tensor | None) -> None:
    """Raise ValueError on owners of nothing, or owners that are no tensor."""
    if owners is None:
        return
    if not isinstance(owners, Tensor):
        raise ValueError(f"owners={owners!r:.80} must be an int64 tensor (N,).")
    if hard_negatives is None:
        raise ValueError("owners say whose each of the hard_negatives is; there are none.")


def check_batch(rows: Tensor, argument: str) -> None:
    """Raise ValueError on no rows, whose mean loss is no number."""
    if len(rows) == 0:
        raise ValueError(f"{argument} {tuple(rows.shape)} has no rows: an empty batch has no loss.")
