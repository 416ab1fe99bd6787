"""A sum of N terms with the memory of one, and parameters held still while the other plays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from salmask_plugin.precision import in_float

Term = Callable[[Tensor], Tensor]


def accumulate(
    shared: Tensor,
    terms: Iterable[Term],
    backward: Callable[[Tensor], None] = torch.autograd.backward,
) -> Tensor:
    """Back-propagate the sum of ``terms``, one term at a time, through what they share.

    Each term's graph is freed before the next is built; the gradients that arrive at ``shared``
    are added up and go on through its own graph once. Parameters end with exactly the gradient of
    the sum, for one forward of what is shared and the memory of one term.

    Args:
        shared: what all terms are functions of. Without a graph, it is left at the terms.
        terms: each takes a stand-in of ``shared`` (float32, float64 stays) and returns a scalar.
        backward: how a term is back-propagated; a host's own, so that its loss scaling applies.
            The scale must not change between the terms.

    Returns:
        The detached sum of the terms.
    """
    leaf = in_float(shared.detach()).clone().requires_grad_(shared.requires_grad)
    total = leaf.new_zeros(())
    for term in terms:
        loss = term(leaf)
        backward(loss)
        total = total + loss.detach()
    if leaf.grad is not None:
        # A host's backward would scale a second time what its terms have scaled already.
        torch.autograd.backward(shared, leaf.grad.to(shared.dtype))
    return total


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Take no gradient for the modules' parameters inside; the flags are restored after.

    Gradients still pass through them to their input. Frozen parameters are also not cached by
    autocast, whose half-precision copies would otherwise be stale after the first player's step.
    """
    parameters = [parameter for module in modules for parameter in module.parameters()]
    flags = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)
