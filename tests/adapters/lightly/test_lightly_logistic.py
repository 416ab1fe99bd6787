"""The logistic probe: held against its own optimality, a closed form and a search by hand."""

import math

import pytest
import torch

from salmask_plugin.adapters.lightly.evaluation.held_out import held_out_places
from salmask_plugin.adapters.lightly.evaluation.logistic_regression import (
    choose_logistic,
    fit_logistic,
    top1,
)


def clusters(per_class, dims=5, classes=3, spread=1.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(per_class)
    middles = 2 * torch.randn(classes, dims, generator=generator)
    noise = spread * torch.randn(len(labels), dims, generator=generator)
    return 7 + 3 * (middles[labels] + noise), labels


def test_the_gradient_vanishes_where_it_stops():
    """Of the objective written out in double precision, by autograd."""
    features, labels = clusters(40)
    probe = fit_logistic(features, labels, num_classes=3, weight_decay=0.01)
    x = (features.double() - features.double().mean(0)) / features.double().std(0, correction=0)
    weight = probe.weight.double().requires_grad_()
    bias = probe.bias.double().requires_grad_()
    logits = x @ weight.T + bias
    chosen = logits[torch.arange(len(labels)), labels]
    loss = (logits.exp().sum(1).log() - chosen).mean() + 0.005 * (weight**2).sum()
    loss.backward()
    assert weight.grad.abs().max() < 1e-4
    assert bias.grad.abs().max() < 1e-4


def test_two_classes_at_two_places_have_the_solution_of_the_formula():
    """x = -1 and 1: with w the difference of the weights, w * decay / 2 = sigmoid(-w)."""
    features = torch.tensor([[-1.0], [1.0]]).repeat(4, 1)
    labels = torch.tensor([0, 1]).repeat(4)
    decay = 0.1
    probe = fit_logistic(features, labels, num_classes=2, weight_decay=decay)
    low, high = 0.0, 50.0
    for _ in range(100):
        w = (low + high) / 2
        # Each class has half of the difference: the penalty is decay / 2 * 2 * (w / 2)^2.
        slope = decay * w / 2 - 1 / (1 + math.exp(w))
        low, high = (w, high) if slope < 0 else (low, w)
    found = (probe.weight[1] - probe.weight[0]).item()
    assert found == pytest.approx(w, abs=1e-3)


def test_scales_and_offsets_of_features_do_not_matter():
    features, labels = clusters(30)
    other = features * torch.tensor([1e-3, 10.0, 1.0, 500.0, 2.0]) - 40
    plain = fit_logistic(features, labels, num_classes=3, weight_decay=0.01)
    moved = fit_logistic(other, labels, num_classes=3, weight_decay=0.01)
    torch.testing.assert_close(moved(other), plain(features), atol=5e-2, rtol=1e-2)


def test_a_feature_that_never_varies_is_left_out():
    features, labels = clusters(30)
    constant = torch.cat([features, torch.full((len(features), 1), 3.0)], 1)
    probe = fit_logistic(constant, labels, num_classes=3, weight_decay=0.01)
    constant[:, -1] = 1e6
    assert probe(constant).isfinite().all()
    expected = fit_logistic(features, labels, num_classes=3, weight_decay=0.01)(features)
    torch.testing.assert_close(probe(constant), expected, atol=1e-3, rtol=1e-3)


def test_the_weight_decay_is_chosen_on_held_out_images():
    features, labels = clusters(20, dims=30, spread=4.0)
    candidates = (1e-5, 1e-2, 1.0, 100.0)
    judged = held_out_places(labels, 0.25)
    scores = []
    for decay in candidates:
        probe = fit_logistic(features[~judged], labels[~judged], num_classes=3, weight_decay=decay)
        right = sum(
            int(probe(row[None]).argmax()) == int(label)
            for row, label in zip(features[judged], labels[judged], strict=True)
        )
        scores.append(right)
    assert len(set(scores)) > 1
    found = choose_logistic(
        features, labels, num_classes=3, weight_decays=candidates, held_out=0.25
    )
    assert found.weight_decay == candidates[scores.index(max(scores))]
    whole = fit_logistic(features, labels, num_classes=3, weight_decay=found.weight_decay)
    assert torch.equal(found.weight, whole.weight)


@pytest.mark.parametrize("decay", [-1e-3, float("nan"), float("inf")])
def test_impossible_weight_decays_are_refused(decay):
    features, labels = clusters(4)
    with pytest.raises(ValueError, match="weight_decay"):
        fit_logistic(features, labels, num_classes=3, weight_decay=decay)


@pytest.mark.parametrize("decays", [(), (0.1, 1e308), (10**400,), (0.1, "x"), (-1.0,)])
def test_candidates_are_needed_and_in_range(decays):
    features, labels = clusters(4)
    with pytest.raises(ValueError, match=r"weight_decays=.*at least 0 and at most 1e\+06"):
        choose_logistic(features, labels, num_classes=3, weight_decays=decays)


def test_top1_counts():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, -2.0], [0.0, 0.0, 5.0], [9.0, 1.0, 1.0]])
    assert top1(logits, torch.tensor([1, 0, 1, 0])) == 0.75
