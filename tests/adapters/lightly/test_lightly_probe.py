"""What the linear probe and kNN are made of: first weights, order of images, and whose answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightly.utils.benchmarking import LinearClassifier
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly.evaluation import knn_evaluation, linear_evaluation
from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class

CLASSES, D, COUNT = 4, 300, 40


def sets(seed: int = 0) -> tuple[TensorDataset, TensorDataset]:
    """Noisy features, more of some classes than of others; feature 0 of a row is its number."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for count in (COUNT, 30):
        labels = (torch.arange(count) ** 2) % 7 % CLASSES
        features = torch.randn(count, D, generator=generator)
        features[:, 1 : 1 + CLASSES] += 1.5 * nn.functional.one_hot(labels, CLASSES)
        features[:, 0] = torch.arange(count) / 1000
        found.append(TensorDataset(features, labels))
    return found[0], found[1]


class Watch:
    """The classifier at the start of each epoch, and the images of each of its steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.first: dict[str, Tensor] = {}
        self.order: list[list[int]] = []
        self.classifier: Any = None
        step = LinearClassifier.training_step

        def begun(classifier: Any) -> None:
            classifier.model.eval()
            self.classifier = classifier
            head = classifier.classification_head
            self.first = self.first or {k: v.clone() for k, v in head.state_dict().items()}
            self.order.append([])

        def stepped(classifier: Any, batch: Any, batch_idx: int) -> Any:
            self.order[-1] += (batch[0][:, 0] * 1000).round().int().tolist()
            return step(classifier, batch, batch_idx)

        monkeypatch.setattr(LinearClassifier, "on_train_epoch_start", begun)
        monkeypatch.setattr(LinearClassifier, "training_step", stepped)


def probe(**changes: Any) -> Any:
    settings: dict[str, Any] = {
        "num_classes": CLASSES,
        "feature_dim": D,
        "epochs": 3,
        "batch_size": 8,
        "augment": False,
        "learning_rate": 1.0,
    }
    train, val = (DataLoader(part, batch_size=8) for part in sets())
    return linear_evaluation(nn.Identity(), train, val, **(settings | changes))


def test_every_epoch_sees_every_image_once_in_an_order_of_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = []
    for seed in (3, 3, 4):
        with monkeypatch.context() as patch:
            watch = Watch(patch)
            probe(seed=seed)
            orders.append(watch.order)
    assert all(sorted(epoch) == list(range(COUNT)) for run in orders for epoch in run)
    assert len({tuple(epoch) for epoch in orders[0]}) == 3
    assert list(range(COUNT)) not in orders[0]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("std", [0.01, 0.3])
def test_the_heads_first_weights_have_the_deviation_that_is_said(
    monkeypatch: pytest.MonkeyPatch, std: float
) -> None:
    watch = Watch(monkeypatch)
    probe(epochs=1, head_std=std)
    assert watch.first["weight"].shape == (CLASSES, D)
    assert float(watch.first["weight"].std()) == pytest.approx(std, rel=0.1)
    assert abs(float(watch.first["weight"].mean())) < std / 8
    assert not watch.first["bias"].any()


def test_the_accuracies_are_those_of_the_last_epochs_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(monkeypatch)
    result = probe(milestones=(2,), head_std=0.01)
    features, labels = sets()[1].tensors
    answers = watch.classifier.classification_head(features).argmax(1)
    assert result.top1 == pytest.approx(float((answers == labels).float().mean()))
    assert result.mean_per_class == pytest.approx(mean_per_class(answers, labels))
    assert result.mean_per_class != pytest.approx(result.top1)
    assert len(set(result.curve)) > 1, "an epoch like another could not be told apart"


@pytest.mark.parametrize(("k", "temperature"), [(15, 0.02), (15, 10.0), (3, 10.0)])
def test_neighbours_and_temperature_are_those_that_are_given(k: int, temperature: float) -> None:
    train, val = sets()
    loaders = [DataLoader(part, batch_size=8) for part in (train, val)]
    found = knn_evaluation(
        nn.Identity(), *loaders, num_classes=CLASSES, k=k, temperature=temperature
    )

    def answered(k: int, temperature: float) -> Tensor:
        bank, queries = (nn.functional.normalize(part.tensors[0], dim=1) for part in (train, val))
        votes = torch.zeros(len(queries), CLASSES)
        for row, similarities in enumerate(queries @ bank.T):
            for place in similarities.argsort(descending=True)[:k].tolist():
                votes[row, train.tensors[1][place]] += (similarities[place] / temperature).exp()
        return votes.argmax(1)

    labels = val.tensors[1]
    answers = answered(k, temperature)
    assert found.top1 == pytest.approx(float((answers == labels).float().mean()))
    assert found.mean_per_class == pytest.approx(mean_per_class(answers, labels))
    # Told apart from the defaults of others.
    assert mean_per_class(answered(15, 0.1), labels) != pytest.approx(found.mean_per_class)
