"""The learning rate of the linear classifier is chosen on training images alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly.evaluation import linear_evaluation
from salmask_plugin.adapters.lightly.evaluation.selection import (
    choose_learning_rate,
    held_out_places,
)

CLASSES = 5
SETTINGS: dict[str, Any] = {
    "num_classes": CLASSES,
    "feature_dim": 7,
    "epochs": 3,
    "batch_size": 16,
    "augment": False,
}


def images(count: int, seed: int, *, shuffled_labels: bool = False) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = torch.randn(CLASSES, 7, generator=torch.Generator().manual_seed(1))
    pictures = centres[labels] + 0.4 * torch.randn(count, 7, generator=generator)
    if shuffled_labels:
        labels = labels.roll(1)
    return TensorDataset(pictures, labels)


def run(train: TensorDataset, val: TensorDataset, **changes: Any) -> Any:
    loaders = DataLoader(train, batch_size=16), DataLoader(val, batch_size=16)
    return linear_evaluation(nn.Identity(), *loaders, **{**SETTINGS, **changes})


def test_every_class_gives_its_share_and_the_same_images_each_time() -> None:
    labels = torch.tensor([0] * 30 + [3] * 14 + [4] * 2)
    judged = held_out_places(labels, 0.1)
    assert [int(judged[labels == label].sum()) for label in (0, 3, 4)] == [3, 1, 1]
    assert torch.equal(judged, held_out_places(labels, 0.1))
    assert not judged[:3].all()


def test_the_best_on_held_out_images_is_taken_and_ties_go_to_the_first() -> None:
    features, labels = images(60, 0).tensors
    seen: list[tuple[int, int, set[int]]] = []
    accuracies = {0.1: (0.9, 0.2), 1.0: (0.1, 0.6), 2.0: (0.6, 0.6), 3.0: (0.5, 0.3)}

    def fit(train: DataLoader[Any], val: DataLoader[Any], *, learning_rate: float) -> Any:
        classes = {int(label) for _, y in val for label in y}
        seen.append((len(train.dataset), len(val.dataset), classes))  # type: ignore[arg-type]
        return accuracies[learning_rate]

    rate = choose_learning_rate(
        fit, features, labels, tuple(accuracies), batch_size=16, held_out=0.25
    )
    assert rate == 1.0
    assert seen == [(45, 15, set(range(CLASSES)))] * 4


def test_validation_images_have_no_say() -> None:
    train = images(80, 0)
    rates = (1e-4, 1.0)
    honest = run(train, images(40, 2), learning_rates=rates)
    # On wrong labels a rate that learns nothing is the better one.
    wrong = images(40, 2, shuffled_labels=True)
    misled = run(train, wrong, learning_rates=rates)
    assert run(train, wrong, learning_rate=1e-4).top1 > run(train, wrong, learning_rate=1.0).top1
    assert honest.learning_rate == misled.learning_rate == 1.0
    assert "learning_rate" in honest.protocol
    assert honest.protocol["learning_rate"] == "best of 0.0001, 1 on 0.1 of the training images"


def test_the_chosen_rate_trains_on_all_training_images() -> None:
    train, val = images(80, 0), images(40, 2)
    chosen = run(train, val, learning_rates=(1e-4, 1.0))
    assert chosen.curve == run(train, val, learning_rate=1.0).curve
    assert run(train, val, learning_rate=1.0).learning_rate == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": (1.0,), "augment": True}, "learning_rates needs augment=False"),
        ({"learning_rates": (1.0, -1.0)}, r"learning_rates=.*-1.0.* each above 0"),
        ({"learning_rates": (1.0,), "held_out": 1.0}, "held_out=1.0 must be above 0 and below 1"),
        ({"learning_rates": (1.0,), "held_out": 0.99}, "held_out=0.99 leaves class 0 without"),
    ],
)
def test_misuse_is_refused_in_words(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(images(20, 0), images(20, 1), **changes)


def test_labels_need_not_start_at_zero() -> None:
    labels: Tensor = torch.tensor([7, 7, 7, 9, 9, 9])
    judged = held_out_places(labels, 0.3)
    assert int(judged.sum()) == 2


def test_a_candidate_that_diverges_is_not_chosen_and_stops_nothing() -> None:
    found = run(images(60, 2), images(30, 3), learning_rates=[5e39, 0.3])
    assert found.learning_rate == 0.3
