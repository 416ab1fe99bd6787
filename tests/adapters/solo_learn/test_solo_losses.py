"""Per-row losses against the core's loss and a loop over rows; forwards without a trace."""

from __future__ import annotations

import math

import pytest
import torch
from oracles.waiting import NoWaiting
from torch import nn
from torch.nn import functional as F

from salmask_plugin import info_nce
from salmask_plugin.adapters.solo_learn.losses import moco_rows, nt_xent_rows, with_hard_negatives
from salmask_plugin.adapters.solo_learn.settings import MaskingSettings
from salmask_plugin.running_statistics import frozen_running_statistics

SETTINGS = MaskingSettings(recipe="test", rho=1.7, hard_negative_bias=0.3)


@pytest.fixture
def embeddings(generator):
    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return draw


@pytest.mark.parametrize("positive", [True, False])
def test_moco_rows_are_the_cores_loss(embeddings, positive):
    q, k, t = embeddings(5, 7), embeddings(5, 7), embeddings(5, 2, 7)
    queue = F.normalize(embeddings(7, 11), dim=0)
    rows = moco_rows(q, k, queue, temperature=0.3, positive_in_denominator=positive)
    joined = with_hard_negatives(rows, q, t, temperature=0.3, settings=SETTINGS)
    core = {"temperature": 0.3, "positive_in_denominator": positive}
    torch.testing.assert_close(rows.losses.mean(), info_nce(q, k, queue.T, **core))
    torch.testing.assert_close(
        joined.losses.mean(),
        info_nce(q, k, queue.T, t, rho=1.7, hard_negative_bias=0.3, **core),
    )


def test_images_without_hard_negatives_of_their_own(embeddings):
    """B = 5 queries, K = 11 keys, N = 3 owners: the core's loss, whose test is in loops."""
    q, k, t = embeddings(5, 7), embeddings(5, 7), embeddings(3, 2, 7)
    queue, owners = F.normalize(embeddings(7, 11), dim=0), torch.tensor([4, 0, 2])
    rows = moco_rows(q, k, queue, temperature=0.3)
    joined = with_hard_negatives(rows, q, t, owners, temperature=0.3, settings=SETTINGS)
    core = {"temperature": 0.3, "rho": 1.7, "hard_negative_bias": 0.3, "owners": owners}
    torch.testing.assert_close(joined.losses.mean(), info_nce(q, k, queue.T, t, **core))
    assert torch.equal(joined.losses[[1, 3]], rows.losses[[1, 3]])
    assert joined.hard.shape == (3, 2)
    shares = 1 - (rows.losses - joined.losses).exp()
    torch.testing.assert_close(joined.hard_share, shares[owners])


def test_the_hard_negatives_share_of_the_softmax(embeddings):
    q, k, t = embeddings(4, 6), embeddings(4, 6), embeddings(4, 3, 6)
    queue = F.normalize(embeddings(6, 9), dim=0)
    rows = moco_rows(q, k, queue, temperature=0.5)
    joined = with_hard_negatives(rows, q, t, temperature=0.5, settings=SETTINGS)
    unit = [F.normalize(x, dim=-1) for x in (q, k, t)]
    for i in range(4):
        others = [unit[0][i] @ unit[1][i] / 0.5, *(unit[0][i] @ queue / 0.5)]
        own = [1.7 * unit[0][i] @ unit[2][i, m] / 0.5 + 0.3 for m in range(3)]
        share = sum(map(math.exp, own)) / sum(map(math.exp, [*own, *others]))
        assert float(joined.hard_share[i]) == pytest.approx(share, rel=1e-4)
    names = set(joined.statistics())
    assert names == {"similarity_positive", "similarity_hard", "hard_negative_share"}


@pytest.mark.parametrize("positive", [True, False])
def test_nt_xent_rows_by_hand_on_the_second_of_two_processes(embeddings, positive):
    """Two views and one small crop of 4 images here, 4 other images on the first process."""
    z, elsewhere = embeddings(12, 5), embeddings(12, 5)
    indexes = torch.tensor([10, 11, 12, 13] * 3)
    everything, numbers = torch.cat((elsewhere, z)), torch.cat((indexes - 4, indexes))
    rows = nt_xent_rows(
        z,
        indexes,
        everything,
        numbers,
        first=12,
        temperature=0.4,
        positive_in_denominator=positive,
    )
    unit = F.normalize(everything, dim=1)
    for i in range(12):
        same = other = 0.0
        for j in range(24):
            term = math.exp(float(unit[12 + i] @ unit[j]) / 0.4)
            if j != 12 + i and numbers[j] == indexes[i]:
                same += term
            elif j != 12 + i:
                other += term
        expected = -math.log(same / (other + (same if positive else 0.0)))
        assert float(rows.losses[i]) == pytest.approx(expected, rel=1e-4)


def test_hard_negatives_join_exactly_with_several_positives(embeddings):
    """The row's denominator gains exp(rho q.t / tau + bias), whatever its positives are."""
    z, t = embeddings(9, 5), embeddings(3, 1, 5)
    indexes = torch.arange(3).repeat(3)
    rows = nt_xent_rows(z, indexes, z, indexes, first=0, temperature=0.4).head(3)
    joined = with_hard_negatives(rows, z[:3], t, temperature=0.4, settings=SETTINGS)
    unit, hard = F.normalize(z, dim=1), F.normalize(t[:, 0], dim=1)
    for i in range(3):
        terms = [math.exp(float(unit[i] @ unit[j]) / 0.4) for j in range(9)]
        same = terms[(i + 3) % 9] + terms[(i + 6) % 9]
        extra = math.exp(1.7 * float(unit[i] @ hard[i]) / 0.4 + 0.3)
        expected = -math.log(same / (sum(terms) - terms[i] + extra))
        assert float(joined.losses[i]) == pytest.approx(expected, rel=1e-4)


def test_half_precision_embeddings_are_contrasted_in_float32(embeddings):
    q, k = embeddings(4, 6).bfloat16(), embeddings(4, 6).bfloat16()
    queue = F.normalize(embeddings(6, 9), dim=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = moco_rows(q, k, queue, temperature=0.2)
        joined = with_hard_negatives(rows, q, k[:, None], temperature=0.2, settings=SETTINGS)
        z = nt_xent_rows(q, torch.arange(4) // 2, q, torch.arange(4) // 2, first=0, temperature=0.2)
    assert rows.losses.dtype == joined.losses.dtype == z.losses.dtype == torch.float32
    torch.testing.assert_close(
        rows.losses, moco_rows(q.float(), k.float(), queue, temperature=0.2).losses
    )


def test_statistics_stay_and_come_back(embeddings):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    network(embeddings(5, 3, 8, 6))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = embeddings(5, 3, 8, 6) + 4
    with frozen_running_statistics(network):
        output = network(images)
    for name, value in before.items():
        assert torch.equal(value, network.state_dict()[name]), name
    # Normalised by the batch all the same, not by the running statistics.
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    network(images)
    assert int(network[1].num_batches_tracked) == 2


@pytest.mark.parametrize("positive", [True, False])
def test_no_loss_waits_for_the_device(embeddings, positive):
    options = {"temperature": 0.3, "positive_in_denominator": positive}
    q, k, t = (embeddings(5, 7).requires_grad_() for _ in range(3))
    images = torch.arange(5).repeat(2)
    with NoWaiting():
        moco = moco_rows(q, k, F.normalize(embeddings(7, 11), dim=0), **options)
        both = torch.cat((q, k))
        simclr = nt_xent_rows(both, images, both, images, first=0, **options)
        for rows in (moco, simclr.head(5)):
            joined = with_hard_negatives(rows, q, t, temperature=0.3, settings=SETTINGS)
            joined.losses.mean().backward(retain_graph=True)
            assert joined.statistics()
