"""The plain queue: order, place in a state dict, and the loss of lightly's bank without lightly."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from torch.nn import functional as F

from salmask_plugin import InfoNCELoss
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss
from salmask_plugin.losses import NegativeQueue


def test_the_newest_keys_stay_and_a_batch_may_cross_the_end(generator):
    queue = NegativeQueue(7, 4, generator)
    wanted = deque(queue.keys.clone(), maxlen=7)
    for count in (3, 3, 3, 7, 1):
        keys = torch.randn(count, 4, generator=generator)
        queue.enqueue(keys)
        wanted.extend(F.normalize(keys, dim=1))
    # A ring: the same rows, in the order of their places.
    ring = torch.stack(list(wanted))
    assert torch.equal(queue.keys.sort(0).values, ring.sort(0).values)
    assert torch.equal(queue.keys[2], ring[-1])


def test_a_loaded_queue_goes_on_at_its_place(generator):
    first, second = NegativeQueue(5, 4, generator), NegativeQueue(5, 4)
    first.enqueue(torch.randn(3, 4, generator=generator))
    second.load_state_dict(first.state_dict())
    keys = torch.randn(3, 4, generator=generator)
    for queue in (first, second):
        queue.enqueue(keys)
    assert torch.equal(first.keys, second.keys)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("hard", [0, 1, 2])
def test_the_loss_is_that_of_lightlys_bank(generator, positive, hard):
    settings = {"temperature": 0.2, "rho": 1.5, "hard_negative_bias": -0.5}
    settings["positive_in_denominator"] = positive
    with torch.random.fork_rng():
        host = HardNegativeNTXentLoss(memory_bank_size=(12, 6), **settings)
    core, queue = InfoNCELoss(**settings), NegativeQueue(12, 6)
    queue.keys.copy_(host.memory_bank.bank)
    for _ in range(5):  # three batches fill the queue
        query, key = torch.randn(2, 4, 6, generator=generator)
        negatives = torch.randn(4, hard, 6, generator=generator) if hard else None
        queries = [query.clone().requires_grad_() for _ in range(2)]
        ours = core(queries[0], key, queue.keys, negatives)
        queue.enqueue(key)
        theirs = host(queries[1], key, negatives)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        ours.backward()
        theirs.backward()
        torch.testing.assert_close(queries[0].grad, queries[1].grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "keys", "message"),
    [
        ((0, 4), None, "size=0 must be at least 1"),
        ((4, 0), None, "dim=0 must be at least 1"),
        ((4, 3), (5, 3), "at most 4 rows"),
        ((4, 3), (2, 2), r"must be \(B, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(size, keys, message):
    with pytest.raises(ValueError, match=message):
        NegativeQueue(*size).enqueue(torch.ones(keys))
