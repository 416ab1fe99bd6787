import pytest
import torch
from torch.nn import functional as F

from salmask_plugin import info_nce
from salmask_plugin.losses import add_hard_negatives

B, D, K, M = 3, 4, 6, 2


@pytest.mark.parametrize("positive_in_denominator", [True, False])
def test_gradcheck(generator, positive_in_denominator):
    inputs = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((B, D), (B, D), (K, D), (B, M, D))
    ]

    def loss(*x):
        return info_nce(*x, positive_in_denominator=positive_in_denominator)

    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize(("temperature", "rho"), [(0.2, 2.0), (0.5, 0.7)])
def test_gradient_of_a_hard_similarity_is_rho_over_tau_times_its_share(generator, temperature, rho):
    losses, positives = (torch.rand(B, generator=generator, dtype=torch.float64) for _ in "ab")
    hard = torch.randn((B, M), generator=generator, dtype=torch.float64, requires_grad=True)
    after = add_hard_negatives(losses, positives, hard, temperature=temperature, rho=rho)
    after.sum().backward()
    # The row's denominator relative to its positive is exp(loss).
    own = (rho * hard.detach() / temperature - positives[:, None] / temperature).exp()
    share = own / (losses.exp()[:, None] + own.sum(1, keepdim=True))
    assert torch.allclose(hard.grad, rho / temperature * share)
    assert torch.allclose(share.sum(1), 1 - (losses - after.detach()).exp())


def test_gradient_wrt_the_query_is_the_softmax_weighted_sum(generator):
    """By hand: (1/tau) (sum_j p_j n_j + rho p_t t - (1 - p_k) k), projected off the query."""
    query, key, negatives, hard = (
        F.normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1)
        for shape in ((1, D), (1, D), (K, D), (1, D))
    )
    query.requires_grad_()
    info_nce(query, key, negatives, hard).backward()
    q = query.detach()[0]
    logits = torch.cat((key @ q, negatives @ q, 2 * hard @ q)) / 0.2
    p = logits.softmax(0)
    pull = (p[0] - 1) * key[0] + p[1:-1] @ negatives + 2 * p[-1] * hard[0]
    expected = (pull - (pull @ q) * q) / 0.2
    assert torch.allclose(query.grad[0], expected)


def test_detached_hard_negatives_get_no_gradient_and_the_query_still_does(generator):
    query = torch.randn((B, D), generator=generator, requires_grad=True)
    encoder = torch.nn.Linear(D, D)
    with torch.no_grad():
        hard = encoder(torch.randn((B, D), generator=generator))
    info_nce(query, query.detach(), torch.zeros(0, D), hard).backward()
    assert encoder.weight.grad is None
    assert query.grad.isfinite().all()
    assert query.grad.abs().sum() > 0


def test_empty_queue_without_the_positive_keeps_gradients_finite(generator):
    query, key, hard = (
        torch.randn((B, D), generator=generator, requires_grad=True) for _ in range(3)
    )
    info_nce(query, key, torch.zeros(0, D), hard, positive_in_denominator=False).backward()
    assert all(x.grad.isfinite().all() for x in (query, key, hard))
