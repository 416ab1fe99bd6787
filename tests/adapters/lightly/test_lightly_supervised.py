"""SupervisedClassifier against the same training as a plain loop."""

from typing import Any

import lightly_toy as toy
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from salmask_plugin.adapters.lightly import SupervisedClassifier


class Labelled(Dataset[Any]):
    """One fixed random view per index, of a class each."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        return torch.randn((3, 16, 12), generator=generator), index % 3


def loader() -> DataLoader[Any]:
    return DataLoader(Labelled(), batch_size=5)


def model(**options: Any) -> SupervisedClassifier:
    torch.manual_seed(7)
    settings: dict[str, Any] = {"feature_dim": 10, "num_classes": 3} | options
    return SupervisedClassifier(toy.network(), **settings)


def test_a_run_is_the_plain_loop() -> None:
    """Four epochs with the rate at 0.2, 0.2, 0.02 and 0.02."""
    module = model(learning_rate=0.2, weight_decay=0.01, decay_every=2)
    toy.trainer(4).fit(module, loader())

    torch.manual_seed(7)
    network, head = toy.network(), nn.Linear(10, 3)
    weights = [*network.parameters(), *head.parameters()]
    velocity = [torch.zeros_like(weight) for weight in weights]
    for epoch in range(4):
        rate = 0.2 if epoch < 2 else 0.02
        for images, labels in loader():
            log_shares = F.log_softmax(head(network(images)), dim=1)
            loss = -log_shares[torch.arange(len(labels)), labels].mean()
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                    speed.mul_(0.9).add_(gradient + 0.01 * weight)
                    weight.sub_(rate * speed)
    torch.testing.assert_close(module.backbone.state_dict(), network.state_dict())
    torch.testing.assert_close(module.classifier.state_dict(), head.state_dict())


def test_forward_is_features_and_classify_is_logits() -> None:
    module = model().eval()
    images = torch.randn(4, 3, 16, 12)
    features = module(images)
    assert features.shape == (4, 10)
    expected = features @ module.classifier.weight.T + module.classifier.bias
    torch.testing.assert_close(module.classify(images), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masking": toy.masking()}, "takes no masking: give masking=none"),
        ({"num_classes": 1}, "num_classes=1 must be at least 2"),
        ({"decay_every": 0}, "decay_every=0 must be at least 1"),
        ({"learning_rate": 0.0}, r"learning_rate=0\.0 must be above 0"),
        ({"weight_decay": -1.0}, r"weight_decay=-1\.0"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model(**options)
