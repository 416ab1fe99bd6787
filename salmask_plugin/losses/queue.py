"""A queue of keys as negatives, for a loop without a host."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from salmask_plugin.checks import whole_number
from salmask_plugin.losses.checks import check_embeddings


class NegativeQueue(nn.Module):
    """The newest K keys of earlier batches: MoCo's negatives.

    Read ``keys`` for the loss, then :meth:`enqueue`: so a batch's own keys are never among its
    negatives. The host never waits for the device. Keys and place are part of ``state_dict``, and
    ``to(device)`` moves the queue.

    Args:
        size: K >= 1.
        dim: D >= 1, of the projections.
        generator: of the first keys, which are random directions; None is torch's global one.

    Attributes:
        keys: (K, D) unit rows.

    Raises:
        ValueError: if size or dim is no whole number from 1, or generator none of torch.
    """

    keys: Tensor

    def __init__(self, size: int, dim: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        size, dim = whole_number(size, "size"), whole_number(dim, "dim")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise ValueError(f"generator={generator!r:.80} must be a torch.Generator or None.")
        first = torch.randn(size, dim, generator=generator)
        self.register_buffer("keys", F.normalize(first, dim=1))
        self._place = 0

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Write the keys over the oldest; with several processes, the gathered keys of all.

        Args:
            keys: (B, D) with B <= K; normalised here.

        Raises:
            ValueError: if they are no floating-point tensor, or the shape does not fit.
        """
        size, dim = self.keys.shape
        check_embeddings(keys, "keys")
        if keys.ndim != 2 or keys.shape[1] != dim or len(keys) > size:
            raise ValueError(
                f"keys {tuple(keys.shape)} must be (B, {dim}) with at most {size} rows."
            )
        places = (torch.arange(len(keys), device=self.keys.device) + self._place) % size
        self.keys[places] = F.normalize(keys.detach(), dim=1).to(self.keys)
        self._place = (self._place + len(keys)) % size

    def get_extra_state(self) -> dict[str, Any]:
        """The row that the next key goes to."""
        return {"place": self._place}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on at the saved row."""
        self._place = int(state["place"])
