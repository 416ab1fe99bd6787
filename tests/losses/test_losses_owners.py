"""Hard negatives for some images alone: B queries, K keys in the queue, N owners, all different."""

import pytest
import torch
from oracles.contrast import info_nce_by_hand

from salmask_plugin import InfoNCELoss, info_nce
from salmask_plugin.losses import join_hard_negatives

B, K, N, M, D = 6, 11, 4, 2, 7
OWNERS = torch.tensor([4, 0, 3, 1])
SETTINGS = {"temperature": 0.3, "rho": 1.5}


@pytest.fixture
def embeddings(generator):
    shapes = ((B, D), (B, D), (K, D), (N, M, D))
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def own_of(hard, owners=OWNERS):
    """Per image a list of its own hard negatives, empty where it has none."""
    own = [[] for _ in range(B)]
    for place, owner in enumerate(owners.tolist()):
        own[owner] = hard[place].tolist()
    return own


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("bias", [0.0, -0.7])
def test_images_without_their_own_have_the_queue_alone(embeddings, positive, bias):
    query, key, queue, hard = embeddings
    settings = {**SETTINGS, "positive_in_denominator": positive}
    expected = info_nce_by_hand(
        query.tolist(), key.tolist(), queue.tolist(), own_of(hard), **settings, bias=bias
    )
    found = info_nce(*embeddings, owners=OWNERS, hard_negative_bias=bias, **settings)
    assert found.item() == pytest.approx(expected)
    module = InfoNCELoss(**settings, hard_negative_bias=bias)
    assert torch.equal(module(*embeddings, OWNERS), found)


def test_rows_without_their_own_are_untouched_and_carry_their_gradient(embeddings):
    query, key, _, hard = embeddings
    query.requires_grad_()
    positives = torch.nn.functional.cosine_similarity(query, key)
    losses = 2 - positives
    joined, cosines = join_hard_negatives(losses, positives, query, hard, OWNERS, temperature=0.2)
    assert cosines.shape == (N, M)
    rest = [row for row in range(B) if row not in OWNERS.tolist()]
    assert torch.equal(joined[rest], losses[rest])
    assert (joined[OWNERS] > losses[OWNERS]).all()
    (plain,) = torch.autograd.grad(losses.sum(), query, retain_graph=True)
    (found,) = torch.autograd.grad(joined.sum(), query)
    assert torch.equal(found[rest], plain[rest])


def test_all_owners_in_order_are_no_owners(embeddings, generator):
    query, key, queue, _ = embeddings
    hard = torch.randn(B, M, D, generator=generator, dtype=torch.float64)
    everyone = info_nce(query, key, queue, hard, owners=torch.arange(B))
    torch.testing.assert_close(everyone, info_nce(query, key, queue, hard), rtol=1e-12, atol=0)


@pytest.mark.parametrize("owners", [OWNERS[:3], OWNERS[None], OWNERS.float(), OWNERS > 1])
def test_owners_that_do_not_fit(embeddings, owners):
    with pytest.raises(ValueError, match=r"int64 \(N,\) says whose each of the N is"):
        info_nce(*embeddings, owners=owners)


def test_fewer_hard_negatives_without_owners_stay_an_error(embeddings):
    with pytest.raises(ValueError, match="row i holds the hard negatives of image i"):
        info_nce(*embeddings)
