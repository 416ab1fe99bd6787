"""lightly's memory bank, saved in checkpoints and written without asking the device where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.models.utils import concat_all_gather
from lightly.utils import dist
from torch import Tensor


class KeyQueue(MemoryBankModule):
    """A memory bank whose place of writing is known to the host.

    lightly reads ``bank_ptr`` from the device in every step, which makes the host wait for all the
    work before it. Here the host counts along, and ``bank_ptr`` is only its copy for checkpoints;
    it is read when a state dict is loaded. Values, order and the draw of the first keys are
    lightly's.

    The bank moves to the device of the keys, once; lightly copies it there in every step.

    Bank and pointer are part of ``state_dict``. In lightly they are not, and a resumed run starts
    from random negatives.

    Args:
        size: (K, D), or 0 for no bank.
        gather_distributed: enqueue the keys of all processes.

    Attributes:
        place: row of the bank that the next key goes to.
        hold: keep keys back until :meth:`release`, so that batches which share an optimizer step
            are not each other's negatives.
    """

    bank: Tensor
    bank_ptr: Tensor

    def __init__(self, size: int | Sequence[int], gather_distributed: bool = False) -> None:
        super().__init__(size, gather_distributed=gather_distributed)
        self.place = 0
        self.hold = False
        self._held: list[Tensor] = []
        if self.size[0] > 0:
            for name in ("bank", "bank_ptr"):
                self.register_buffer(name, getattr(self, name), persistent=True)
        self.register_load_state_dict_post_hook(_read_place)

    def forward(
        self, output: Tensor, labels: Tensor | None = None, update: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``output`` and the bank (D, K) as it was before, then enqueue ``output``.

        Args:
            output: (B, D) keys.
            labels: unused, as in lightly.
            update: whether to enqueue; the oldest keys go, and keys that do not fit at the bank's
                end are dropped.

        Raises:
            ValueError: if the bank was made for keys of another width.
        """
        if self.size[0] == 0:
            return output, None
        if output.shape[1:] != self.bank.shape[1:]:
            raise ValueError(
                f"projections have {tuple(output.shape[1:])} values and the memory bank's keys "
                f"{tuple(self.bank.shape[1:])}: build the loss with "
                f"memory_bank_size=({self.size[0]}, {output.shape[1]})."
            )
        self._follow(output.device)
        bank = self.bank.clone().detach().transpose(0, -1)
        if update and self.hold:
            self._held.append(output.detach())
        elif update:
            self.enqueue(output)
        return output, bank

    def release(self) -> None:
        """Enqueue what was held, as the keys of one batch."""
        if self._held:
            self.enqueue(torch.cat(self._held))
            self._held = []

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Write keys (B, D) over the oldest."""
        if self.gather_distributed and dist.world_size() > 1:
            keys = concat_all_gather(keys)
        self._follow(keys.device)
        end = min(self.place + len(keys), self.size[0])
        self.bank[self.place : end] = keys[: end - self.place].detach()
        self.place = 0 if end == self.size[0] else end
        self.bank_ptr.fill_(self.place)

    def _follow(self, device: torch.device) -> None:
        """Move to where the keys are: in a loop of one's own a loss is easily left on the CPU."""
        if self.bank.device != device:
            self.bank, self.bank_ptr = self.bank.to(device), self.bank_ptr.to(device)


def _read_place(queue: Any, incompatible_keys: Any) -> None:
    """Take over the pointer of a loaded state dict."""
    if queue.size[0] > 0:
        queue.place = int(queue.bank_ptr)
