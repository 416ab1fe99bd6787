"""Mean-per-class accuracy against a loop over classes."""

import pytest
import torch

from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class


def by_hand(predicted, labels):
    shares = []
    for label in sorted(set(labels)):
        own = [p == label for p, truth in zip(predicted, labels, strict=True) if truth == label]
        shares.append(sum(own) / len(own))
    return sum(shares) / len(shares)


def test_every_class_weighs_the_same_and_absent_ones_nothing(generator):
    labels = torch.tensor([0] * 17 + [2] * 3 + [5])  # classes 1, 3 and 4 have no image
    for _ in range(20):
        predicted = torch.randint(0, 8, (21,), generator=generator)
        expected = by_hand(predicted.tolist(), labels.tolist())
        assert mean_per_class(predicted, labels) == pytest.approx(expected, abs=1e-12)
    assert mean_per_class(torch.zeros(21, dtype=torch.long), labels) == pytest.approx(1 / 3)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="must be"):
        mean_per_class(torch.zeros(3, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="must be"):
        mean_per_class(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
