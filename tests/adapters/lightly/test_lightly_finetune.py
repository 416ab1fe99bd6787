"""Fine-tuning, per-class accuracy and the head's first weights, against what torch does alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin.adapters.lightly import extract_features, knn_evaluation, linear_evaluation
from salmask_plugin.adapters.lightly.evaluation import finetune_evaluation
from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class
from salmask_plugin.adapters.lightly.evaluation.finetune import TrainingFinetuneClassifier
from salmask_plugin.encoders import fingerprint
from salmask_plugin.lab.data import ImageSplits, labelled_share

COUNTS = (17, 9, 5)  # images per class: unequal, so that the two accuracies differ
D = 4


def images(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    return torch.randn(31, 3, 6, 5, generator=generator) + 0.3 * labels[:, None, None, None], labels


def loaders(batch_size: int = 8) -> tuple[DataLoader[Any], DataLoader[Any]]:
    train, val = (TensorDataset(*images(seed)) for seed in (1, 2))
    return DataLoader(train, batch_size=batch_size), DataLoader(val, batch_size=7)


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, D, 3, bias=False), nn.BatchNorm2d(D), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten()).eval()


def test_fine_tuning_trains_a_copy_in_training_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[nn.Module] = []
    modes: list[bool] = []
    step = TrainingFinetuneClassifier.training_step

    def watched(self: Any, batch: Any, batch_idx: int) -> Any:
        trained[:] = [self.model]
        modes.append(all(module.training for module in self.model.modules()))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingFinetuneClassifier, "training_step", watched)
    model = network()
    before = fingerprint(model)
    random = torch.get_rng_state()
    result = finetune_evaluation(
        model, *loaders(), num_classes=3, feature_dim=D, epochs=2, batch_size=8, learning_rate=0.5
    )
    assert torch.equal(random, torch.get_rng_state())
    assert fingerprint(model) == before
    assert not model.training
    # Two epochs of 31 images in batches of 8; the second follows a validation in eval mode.
    assert modes == [True] * 8
    for name, value in trained[0].state_dict().items():
        assert not torch.equal(value, model.state_dict()[name]), f"{name} was not trained"
    assert len(result.curve) == 2
    assert result.top1 == result.curve[-1]


def test_one_step_is_sgd_with_nesterov_on_every_layer() -> None:
    """Two full batches, the cosine's first and last rate: torch's own steps, written out."""
    train, val = loaders(batch_size=31)
    seen: list[dict[str, Tensor]] = []
    model = network()

    class Spy(TrainingFinetuneClassifier):
        def on_train_end(self) -> None:
            seen.append({k: v.clone() for k, v in self.model.state_dict().items()})

    import salmask_plugin.adapters.lightly.evaluation.finetune as module

    original = module.TrainingFinetuneClassifier
    module.TrainingFinetuneClassifier = Spy  # type: ignore[misc]
    try:
        finetune_evaluation(
            model,
            train,
            val,
            num_classes=3,
            feature_dim=D,
            epochs=2,
            batch_size=31,
            learning_rate=2.0,
            nesterov=True,
            seed=5,
        )
    finally:
        module.TrainingFinetuneClassifier = original  # type: ignore[misc]
    own = network().train()
    torch.manual_seed(5)
    head = nn.Linear(D, 3)
    optimizer = torch.optim.SGD(
        [*own.parameters(), *head.parameters()], lr=2.0 * 31 / 256, momentum=0.9, nesterov=True
    )
    batch, labels = images(1)
    for factor in (1.0, 0.001):  # lightly's cosine ends at a thousandth
        optimizer.param_groups[0]["lr"] = 2.0 * 31 / 256 * factor
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(own(batch)), labels).backward()
        optimizer.step()
    for name, value in own.state_dict().items():
        torch.testing.assert_close(seen[0][name], value, msg=name)


def test_mean_per_class_of_all_three_is_that_of_their_answers() -> None:
    model = network()
    train, val = loaders()
    knn = knn_evaluation(model, train, val, num_classes=3, k=5)
    linear = linear_evaluation(
        model, train, val, num_classes=3, feature_dim=D, epochs=2, batch_size=8, augment=False
    )
    tuned = finetune_evaluation(
        model, train, val, num_classes=3, feature_dim=D, epochs=1, batch_size=8
    )
    bank, truth = extract_features(model, train)
    features, labels = extract_features(model, val)
    near = nn.functional.normalize(features, dim=1) @ nn.functional.normalize(bank, dim=1).T
    weights, places = near.topk(5)
    votes = torch.zeros(31, 3).scatter_add_(1, truth[places], (weights / 0.1).exp())
    answers = votes.argmax(1)
    assert knn.mean_per_class == pytest.approx(mean_per_class(answers, labels))
    assert knn.top1 == pytest.approx(float((answers == labels).float().mean()))
    for result in (linear, tuned):
        # Which counts of right answers explain both? The two averages must come from the same ones.
        explained = [
            (a, b, c)
            for a in range(18)
            for b in range(10)
            for c in range(6)
            if abs((a + b + c) / 31 - result.top1) < 1e-6
            and abs((a / 17 + b / 9 + c / 5) / 3 - result.mean_per_class) < 1e-6
        ]
        assert explained


def test_the_heads_first_weights_are_moco_s_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightly.utils.benchmarking import LinearClassifier

    seen: dict[float | None, nn.Linear] = {}

    def fit(std: float | None) -> str | None:
        def begun(self: Any) -> None:
            self.model.eval()
            head = nn.Linear(D, 3)
            head.load_state_dict(self.classification_head.state_dict())
            seen.setdefault(std, head)

        monkeypatch.setattr(LinearClassifier, "on_train_epoch_start", begun)
        train, val = loaders()
        result = linear_evaluation(
            network(),
            train,
            val,
            num_classes=3,
            feature_dim=D,
            epochs=1,
            batch_size=8,
            augment=False,
            head_std=std,
        )
        return result.protocol.get("head")

    assert fit(None) is None
    assert fit(0.01) == "N(0, 0.01^2), bias 0"
    assert (seen[0.01].bias == 0).all()
    assert 0 < seen[0.01].weight.abs().max() < 0.05
    assert (seen[None].bias != 0).all()


class Images:
    def __init__(self, labels: list[int]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        return index, self.labels[index]


def test_a_share_of_labels_is_balanced_nested_and_nobodys_seed() -> None:
    train = Images([0] * 100 + [1] * 60 + [2] * 1)
    splits = ImageSplits(train, Images([0]), ("a", "b", "c"), "x")
    shares = [labelled_share(splits, share).train for share in (0.001, 0.1, 0.5)]
    counts = [[list(part.labels).count(label) for label in range(3)] for part in shares]
    # round(16.1) = 16 in turns, the third class having one image; 80 for a half.
    assert counts == [[1, 1, 1], [8, 7, 1], [40, 39, 1]] or counts == [
        [1, 1, 1],
        [7, 8, 1],
        [39, 40, 1],
    ]
    chosen = [set(part.indices) for part in shares]
    assert chosen[0] < chosen[1] < chosen[2]
    assert labelled_share(splits, 1.0) is splits
    assert labelled_share(splits, 0.1).train.indices == shares[1].indices
    with pytest.raises(ValueError, match=r"label_share=1\.5 must be above 0"):
        labelled_share(splits, 1.5)
    lacking = ImageSplits(Images([0, 0, 2]), Images([0]), ("a", "b", "c"), "x")
    with pytest.raises(ValueError, match="no training image of 1 classes, such as 'b'"):
        labelled_share(lacking, 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 4}, "must be the train_loader's 8"),
        ({"epochs": 0}, "epochs=0"),
        ({"learning_rate": 0.0}, "learning_rate=0"),
    ],
)
def test_bad_settings_of_fine_tuning(settings: dict[str, Any], message: str) -> None:
    given = {"batch_size": 8, "epochs": 1} | settings
    with pytest.raises(ValueError, match=message):
        finetune_evaluation(network(), *loaders(), num_classes=3, feature_dim=D, **given)


def test_a_last_batch_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="a last batch of one of the 31 images"):
        finetune_evaluation(
            network(), *loaders(10), num_classes=3, feature_dim=D, epochs=1, batch_size=10
        )


@pytest.mark.parametrize("run", [linear_evaluation, finetune_evaluation])
def test_a_training_that_diverges_has_no_accuracy(run: Any) -> None:
    """Weights that are no numbers still give a top-1, that of the first class."""
    asked: dict[str, Any] = {"num_classes": 3, "feature_dim": D, "epochs": 3, "batch_size": 8}
    with pytest.raises(FloatingPointError, match=r"learning_rate=1e\+40 .*smaller"):
        run(network(), *loaders(), **asked, learning_rate=1e40)
    assert run(network(), *loaders(), **asked, learning_rate=1e-3).top1 >= 0
