"""NT-Xent with hard negatives, to be given to a module in place of its own loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather

from salmask_plugin.losses import join_hard_negatives
from salmask_plugin.losses.checks import check_batch, check_loss
from salmask_plugin.losses.rows import nt_xent_rows
from salmask_plugin.precision import autocast_off

Encode = Callable[[], tuple[Tensor, Tensor | None]]


class HardNegativeNTXentLoss(nn.Module):
    """NT-Xent of two views, whose query rows gain their own image's hard negatives.

    Takes the place of ``stable_pretraining.losses.NTXEntLoss`` in
    ``Module(forward=simclr, simclr_loss=...)``, and is equal to it where no hard negatives are
    expected. The callback hands over their images; they are encoded here, inside the host's step
    and its autocast, without gradient. On several processes each contrasts its rows with the views
    of all, as the host's loss does, and with its own images' hard negatives; equal batches.

    Args:
        temperature: tau > 0; the host's default.
        rho: factor on the hard negatives' similarity.
        hard_negative_bias: added to their logits; 0 is the paper.
        positive_in_denominator: False is Eq. 2 as printed.

    Raises:
        ValueError: if the temperature is not positive, or rho or the bias is not finite.

    References:
        Chin et al., WACV 2024, Eq. 2.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        rho: float = 2.0,
        hard_negative_bias: float = 0.0,
        positive_in_denominator: bool = True,
    ) -> None:
        super().__init__()
        check_loss(temperature, rho, hard_negative_bias, positive_in_denominator)
        self.temperature = temperature
        self.rho = rho
        self.hard_negative_bias = hard_negative_bias
        self.positive_in_denominator = positive_in_denominator
        self._next: tuple[Encode, int, float] | None = None

    def expect(self, encode: Encode, *, query_index: int, rho: float) -> None:
        """Let the next call contrast with hard negatives.

        Args:
            encode: gives their projections (N, M, D), and the rows (N,) that they belong to, None
                for all B in their order; called once, without gradient.
            query_index: whose rows gain them: 0 is the first argument of the call, 1 the second.
            rho: of that call.
        """
        self._next = (encode, query_index, rho)

    def take_back(self) -> bool:
        """Forget what the next call was to contrast; say whether there was anything."""
        left, self._next = self._next is not None, None
        return left

    def forward(self, z_i: Tensor, z_j: Tensor) -> Tensor:
        """Return the mean loss over the 2B rows of projections (B, D) each.

        Raises:
            ValueError: if the shapes differ, or there are no rows.
        """
        if z_i.ndim != 2 or z_i.shape != z_j.shape:
            raise ValueError(f"z_i {tuple(z_i.shape)} and z_j {tuple(z_j.shape)} must be (B, D).")
        check_batch(z_i, "z_i")
        count = len(z_i)
        both = torch.cat((z_i, z_j))
        everyone, rank = _gather(both)
        image = torch.arange(len(everyone) // 2, device=both.device)
        images = image.view(-1, count).repeat(1, 2).flatten()
        first = 2 * count * rank
        rows = nt_xent_rows(
            both,
            images[first : first + 2 * count],
            everyone,
            images,
            first=first,
            temperature=self.temperature,
            positive_in_denominator=self.positive_in_denominator,
        )
        if self._next is None:
            return rows.losses.mean()
        (encode, query_index, rho), self._next = self._next, None
        with torch.no_grad():
            hard, owners = encode()
        with autocast_off(both.device):
            losses, positives = (part.view(2, count) for part in (rows.losses, rows.positives))
            joined, _ = join_hard_negatives(
                losses[query_index],
                positives[query_index],
                (z_i, z_j)[query_index],
                hard,
                owners,
                temperature=self.temperature,
                rho=rho,
                bias=self.hard_negative_bias,
            )
            return torch.cat((joined, losses[1 - query_index])).mean()


def _gather(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes in the order of ranks, with their gradient, and this rank."""
    if not distributed.is_available() or not distributed.is_initialized():
        return rows, 0
    return torch.cat(all_gather(rows)), distributed.get_rank()  # type: ignore[no-untyped-call]
