"""kNN and linear evaluation against votes counted by hand and a linear layer trained by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import lightly_toy as toy
import pytest
import torch
from lightly.utils.benchmarking import KNNClassifier, MetricCallback
from lightly.utils.scheduler import CosineWarmupScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly import (
    MaskedMoCoV2,
    extract_features,
    knn_evaluation,
    linear_evaluation,
    logistic_evaluation,
    occlusion_evaluation,
    reestimate_batch_norm,
)
from salmask_plugin.adapters.lightly.evaluation import finetune_evaluation
from salmask_plugin.adapters.lightly.evaluation import trainer as evaluation_trainer
from salmask_plugin.adapters.lightly.evaluation.features import unchanged
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory, quiet_trainer
from salmask_plugin.encoders.backbone import fingerprint
from salmask_plugin.losses import NegativeQueue


def images(count: int, classes: int, seed: int) -> TensorDataset:
    """Noisy copies of one pattern per class."""
    patterns = torch.randn((classes, 3, 9, 8), generator=torch.Generator().manual_seed(0))
    noise = torch.randn((count, 3, 9, 8), generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(count) % classes
    return TensorDataset(patterns[labels] + 0.8 * noise, labels)


def loaders(classes: int = 6, **options: Any) -> tuple[DataLoader[Any], DataLoader[Any]]:
    train, val = images(60, classes, 1), images(33, classes, 2)
    settings: dict[str, Any] = {"batch_size": 16} | options
    return DataLoader(train, **settings), DataLoader(val, batch_size=32)


def model() -> nn.Module:
    torch.manual_seed(0)
    return toy.network()


def by_hand(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float) -> list[int]:
    """Vote one image at a time."""
    bank, query = nn.functional.normalize(bank, dim=1), nn.functional.normalize(query, dim=1)
    answers = []
    for row in query:
        similarity = [float(row @ other) for other in bank]
        nearest = sorted(range(len(bank)), key=lambda i: -similarity[i])[:k]
        votes: dict[int, float] = {}
        for i in nearest:
            weight = torch.tensor(similarity[i] / temperature).exp().item()
            votes[int(labels[i])] = votes.get(int(labels[i]), 0.0) + weight
        answers.append(max(votes, key=lambda label: votes[label]))
    return answers


def test_knn_counts_the_votes_and_a_last_batch_of_one() -> None:
    network = model()
    train, val = loaders()
    result = knn_evaluation(network, train, val, num_classes=6, k=7, temperature=0.2)
    bank, labels = extract_features(network, train)
    query, targets = extract_features(network, val)
    expected = by_hand(bank, labels, query, 7, 0.2)
    hits = sum(a == int(b) for a, b in zip(expected, targets, strict=True))
    assert result.top1 == pytest.approx(hits / 33)
    assert 0.3 < result.top1 < 1
    assert result.top5 is not None
    assert result.top5 >= result.top1
    assert result.protocol["train_images"] == 60
    # Its answers are those of lightly's classifier, which asks a trainer for them.
    classifier = KNNClassifier(None, 6, 7, 0.2, 0, 1, topk=(1, 5))
    metrics = MetricCallback()
    with quiet_trainer(epochs=1, callbacks=[metrics]) as trainer:
        trainer.validate(
            classifier, [in_memory(bank, labels), in_memory(query, targets)], verbose=False
        )
    lightlys = [values[-1] for values in metrics.val_metrics.values()]
    assert [result.top1, result.top5] == lightlys


@pytest.mark.parametrize("augment", [True, False])
def test_few_classes_have_no_top_five(augment: bool) -> None:
    train, val = loaders(3)
    assert knn_evaluation(model(), train, val, num_classes=3, k=5).top5 is None
    result = linear_evaluation(
        model(), train, val, num_classes=3, feature_dim=10, epochs=1, batch_size=16, augment=augment
    )
    assert len(result.curve) == 1


def test_linear_equals_a_layer_trained_by_hand_and_reports_last_and_best() -> None:
    network = model()
    train, val = loaders(batch_size=60)
    result = linear_evaluation(
        network,
        train,
        val,
        num_classes=6,
        feature_dim=10,
        epochs=4,
        learning_rate=20.0,
        batch_size=60,
        seed=5,
    )
    (x, y), (vx, vy) = extract_features(network, train), extract_features(network, val)
    torch.manual_seed(5)
    head = nn.Linear(10, 6)
    optimizer = torch.optim.SGD(head.parameters(), lr=20.0 * 60 / 256, momentum=0.9)
    schedule = CosineWarmupScheduler(optimizer, warmup_epochs=0, max_epochs=4)
    curve = []
    for _ in range(4):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(x), y).backward()
        optimizer.step()
        schedule.step()
        curve.append(float((head(vx).argmax(1) == vy).float().mean()))
    assert result.curve == pytest.approx(curve)
    assert result.top1 == result.curve[-1]
    assert result.top1_best == max(result.curve) == result.curve[result.best_epoch]
    assert result.protocol["effective_learning_rate"] == pytest.approx(20.0 * 60 / 256)
    assert result.protocol["schedule"] == "cosine per step"


def test_features_computed_once_give_the_same_classifier() -> None:
    results = [
        linear_evaluation(
            model(),
            *loaders(batch_size=60),
            num_classes=6,
            feature_dim=10,
            epochs=3,
            learning_rate=5.0,
            batch_size=60,
            augment=augment,
        )
        for augment in (True, False)
    ]
    assert results[0].curve == pytest.approx(results[1].curve)


def test_milestones_are_mocos_steps() -> None:
    settings: dict[str, Any] = {
        "num_classes": 6,
        "feature_dim": 10,
        "epochs": 3,
        "batch_size": 60,
        "learning_rate": 8.0,
    }
    train, val = loaders(batch_size=60)
    result = linear_evaluation(model(), train, val, milestones=(1,), augment=False, **settings)
    x, y = extract_features(model(), train)
    vx, vy = extract_features(model(), val)
    torch.manual_seed(0)
    head = nn.Linear(10, 6)
    optimizer = torch.optim.SGD(head.parameters(), lr=8.0 * 60 / 256, momentum=0.9)
    curve = []
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 8.0 * 60 / 256 * (1.0 if epoch == 0 else 0.1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(x), y).backward()
        optimizer.step()
        curve.append(float((head(vx).argmax(1) == vy).float().mean()))
    assert result.curve == pytest.approx(curve)


@pytest.mark.parametrize("augment", [True, False])
def test_the_model_and_the_callers_randomness_come_back_as_they_were(augment: bool) -> None:
    network = model()
    network[1].eval()
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(9)
    expected = torch.get_rng_state()
    train, val = loaders()
    linear_evaluation(
        network, train, val, num_classes=6, feature_dim=10, epochs=1, batch_size=16, augment=augment
    )
    assert [module.training for module in network.modules()] == modes
    assert network[0].training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_model_that_changes_is_caught() -> None:
    network = model()

    def train_a_little() -> None:
        with unchanged(network):
            network(torch.randn(4, 3, 9, 8))

    with pytest.raises(RuntimeError, match="changed"):
        train_a_little()


def test_evaluation_filters_and_does_not_mask() -> None:
    module = MaskedMoCoV2(
        model(), feature_dim=10, queue_size=8, masking=toy.masking(view_filter=toy.high_pass())
    )
    train, val = loaders()
    seen: list[Tensor] = []
    module.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    knn_evaluation(module, train, val, num_classes=6, k=5)
    assert torch.equal(seen[0], toy.high_pass()(next(iter(train))[0]))
    seen.clear()
    linear_evaluation(module, train, val, num_classes=6, feature_dim=10, epochs=1, batch_size=16)
    # A look at the first validation batch comes before.
    expected = [toy.high_pass()(next(iter(loader))[0]) for loader in (val, train)]
    assert all(map(torch.equal, seen[:2], expected))
    assert module.training


def test_the_smallest_temperature_still_counts() -> None:
    """Below it every vote was infinite or no number, and of well-known images none was right."""
    bank, labels = torch.eye(6).repeat(7, 1), torch.arange(6).repeat(7)
    loader = in_memory(bank, labels)
    settings: dict[str, Any] = {"num_classes": 6, "k": 42, "temperature": 0.01187}
    assert knn_evaluation(nn.Identity(), loader, loader, **settings).top1 == 1


def test_misuse_is_refused_in_words() -> None:
    train, val = loaders()
    with pytest.raises(ValueError, match=r"k=61 must be in \[1, 60\]"):
        knn_evaluation(model(), train, val, num_classes=6, k=61)
    with pytest.raises(ValueError, match="num_classes=4 allows"):
        knn_evaluation(model(), train, val, num_classes=4, k=5)
    with pytest.raises(ValueError, match="temperature=0"):
        knn_evaluation(model(), train, val, num_classes=6, k=5, temperature=0)
    with pytest.raises(ValueError, match=r"temperature=0.01 must be at least 0.0116: .* infinite"):
        knn_evaluation(model(), train, val, num_classes=6, k=5, temperature=0.01)
    with pytest.raises(ValueError, match="no image"):
        extract_features(model(), [])
    with pytest.raises(ValueError, match="NaN"):
        extract_features(nn.Flatten(), [(torch.full((2, 3), float("nan")), [0, 1])])
    linear: dict[str, Any] = {"num_classes": 6, "feature_dim": 10}
    with pytest.raises(ValueError, match="batch_size=256"):
        linear_evaluation(model(), train, val, **linear)
    with pytest.raises(ValueError, match="epochs=0"):
        linear_evaluation(model(), train, val, epochs=0, **linear)
    for augment in (True, False):
        other: dict[str, Any] = {"batch_size": 16, "augment": augment, "epochs": 2}
        with pytest.raises(ValueError, match="feature_dim=11"):
            linear_evaluation(model(), train, val, num_classes=6, feature_dim=11, **other)
        with pytest.raises(ValueError, match="num_classes=4 allows 0 to 3"):
            linear_evaluation(model(), train, val, num_classes=4, feature_dim=10, **other)
        for milestones in ((1, 2), (-1,)):
            with pytest.raises(ValueError, match=r"milestones=.* must be epochs from 0 to 1"):
                linear_evaluation(model(), train, val, milestones=milestones, **linear, **other)


EVALUATIONS = {
    "knn": partial(knn_evaluation, k=5),
    "logistic": logistic_evaluation,
    "occlusion": occlusion_evaluation,
    "linear": partial(linear_evaluation, feature_dim=10, batch_size=16, epochs=1),
    "finetune": partial(finetune_evaluation, feature_dim=10, batch_size=16, epochs=1),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_loader_of_another_form_is_refused_in_words(name: str) -> None:
    """Two views per image, dicts, and a set that drop_last leaves nothing of."""
    train, val = loaders()
    evaluate: Any = partial(EVALUATIONS[name], model(), num_classes=6)
    two_views = DataLoader(toy.Pairs(32), batch_size=16)
    rows = [{"image": torch.zeros(3, 9, 8), "label": 0}] * 32
    dicts = DataLoader(rows, batch_size=16)  # type: ignore[arg-type]
    empty = DataLoader(images(10, 6, 3), batch_size=16, drop_last=True)
    for given in ((two_views, val), (train, two_views)):
        with pytest.raises(TypeError, match=r"batch\[0\] is a list; .* one view per image"):
            evaluate(*given)
    with pytest.raises(TypeError, match="the batch is a dict with the keys image, label; "):
        evaluate(dicts, val)
    for given in ((empty, val), (train, empty)):
        with pytest.raises(ValueError, match="gave no image; drop_last"):
            evaluate(*given)


class Counted(TensorDataset):
    """Images that know how often one was read."""

    read = 0

    def __getitem__(self, index: int) -> Any:
        Counted.read += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("evaluate", [linear_evaluation, finetune_evaluation])
def test_validation_of_another_form_is_told_before_an_epoch(evaluate: Any) -> None:
    train = DataLoader(Counted(*images(60, 6, 1).tensors), batch_size=16)
    two_views = DataLoader(toy.Pairs(32), batch_size=16)
    other = [(image, label + 6) for image, label in images(12, 6, 2)]
    settings: dict[str, Any] = {"num_classes": 6, "feature_dim": 10, "batch_size": 16}
    Counted.read = 0
    with pytest.raises(TypeError, match="one view per image"):
        evaluate(model(), train, two_views, epochs=2, **settings)
    with pytest.raises(ValueError, match="num_classes=6 allows 0 to 5"):
        evaluate(model(), train, DataLoader(other, batch_size=4), epochs=2, **settings)
    assert Counted.read == 0
    assert len(evaluate(model(), train, loaders()[1], epochs=2, **settings).curve) == 2
    assert Counted.read == 120


def test_statistics_are_not_made_of_two_views() -> None:
    with pytest.raises(TypeError, match=r"batch\[0\] is a list"):
        reestimate_batch_norm(model(), toy.loader())


def test_a_module_may_save_more_than_tensors() -> None:
    """As one with the core's queue does, which saves its place."""

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model()
            self.queue = NegativeQueue(8, 4)

        def forward(self, images: Tensor) -> Tensor:
            features: Tensor = self.encoder(images)
            return features

    train, val = loaders()
    settings: dict[str, Any] = {"num_classes": 6, "k": 5}
    found = knn_evaluation(Whole(), train, val, **settings)
    assert found == knn_evaluation(model(), train, val, **settings)
    assert fingerprint(Whole()) == fingerprint(Whole())


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", ("cpu", 1)), ("cuda", ("cuda", 1)), ("cuda:3", ("cuda", [3])), ("mps", ("mps", 1))],
)
def test_a_trainer_runs_on_the_device_that_was_asked_for(
    device: str, expected: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(evaluation_trainer, "Trainer", given.update)
    with quiet_trainer(epochs=1, device=torch.device(device)):
        pass
    assert (given["accelerator"], given["devices"]) == expected
