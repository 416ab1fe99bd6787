"""Linear evaluation by lightly's LinearClassifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.evaluation.batches import check_labels
from salmask_plugin.adapters.lightly.evaluation.diverged import RefuseDiverged
from salmask_plugin.adapters.lightly.evaluation.features import (
    device_of,
    extract_features,
    unchanged,
)
from salmask_plugin.adapters.lightly.evaluation.fitting import fit_classifier
from salmask_plugin.adapters.lightly.evaluation.per_class import PerClassAccuracy
from salmask_plugin.adapters.lightly.evaluation.selection import choose_learning_rate
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory
from salmask_plugin.checks import number, numbers, whole_number


@dataclass(frozen=True)
class LinearResult:
    """Accuracies in [0, 1] on the validation images.

    Attributes:
        top1: top-1 after the last epoch.
        top1_best: top-1 of the best epoch. Chosen on the validation images, as most tables do.
        best_epoch: that epoch, counted from 0.
        mean_per_class: after the last epoch: every class weighs the same.
        curve: top-1 after each epoch.
        learning_rate: for a batch of 256: the one given, or the one chosen.
        protocol: the settings, as plain values.
    """

    top1: float
    top1_best: float
    best_epoch: int
    mean_per_class: float
    curve: tuple[float, ...]
    learning_rate: float
    protocol: dict[str, Any]


def linear_evaluation(
    model: nn.Module,
    train_loader: DataLoader[Any],
    val_loader: DataLoader[Any],
    *,
    num_classes: int,
    feature_dim: int,
    epochs: int = 100,
    learning_rate: float = 1.0,
    learning_rates: Sequence[float] = (),
    held_out: float = 0.1,
    batch_size: int = 256,
    milestones: Sequence[int] = (),
    augment: bool = True,
    head_std: float | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> LinearResult:
    """Train a linear classifier on the frozen model's features.

    SGD, momentum 0.9, no weight decay; rate ``learning_rate * batch_size / 256``. The defaults are
    the paper's for SimCLR; its MoCo rows use
    ``learning_rate=30, milestones=(60, 80), head_std=0.01``.

    Args:
        model: images -> (B, feature_dim) features.
        train_loader: batches (images, labels, ...), augmented and shuffled.
        val_loader: batches (images, labels, ...), not augmented.
        num_classes: number of classes.
        feature_dim: D of the features.
        epochs: of the classifier.
        learning_rate: for a batch of 256.
        learning_rates: candidates, of which the best on ``held_out`` training images takes the
            place of ``learning_rate``; the validation images are then read once. Needs
            ``augment=False``. Empty: no choice.
        held_out: share of every class of the training images that the choice is made on.
        batch_size: of the classifier's training.
        milestones: epochs at which the rate drops tenfold, each below ``epochs``. Empty is
            lightly's cosine per step.
        augment: False computes the features of both loaders once and trains on those: much faster,
            and for a ``train_loader`` that does not augment.
        head_std: weights of the head are drawn from N(0, head_std^2), its bias is 0, as in MoCo's
            protocol; None is lightly's initialisation, torch's own.
        seed: of the head's initialisation and, without ``augment``, of the order of the images.
            The caller's random state is restored.
        device: where to run; None is where the model is.
        progress: show progress bars.

    Raises:
        TypeError: if a batch is of another form, such as one of two views.
        ValueError: if a number is out of range, a label or ``feature_dim`` does not fit, or a
            loader gives no batch; with ``augment``, if ``batch_size`` is not the loader's; without,
            if a class has too few images to hold one out.
        RuntimeError: if the frozen model has changed.
        FloatingPointError: if the training diverges.
    """
    check_linear(
        epochs=epochs,
        learning_rate=learning_rate,
        learning_rates=learning_rates,
        batch_size=batch_size,
        milestones=milestones,
        augment=augment,
        head_std=head_std,
    )
    if augment and train_loader.batch_size != batch_size:
        raise ValueError(
            f"batch_size={batch_size} must be the train_loader's {train_loader.batch_size}: "
            "the learning rate is scaled by it."
        )
    target = device_of(model) if device is None else torch.device(device)
    frozen: nn.Module = model
    train, val = train_loader, val_loader
    devices = [target] if target.type == "cuda" else []
    with unchanged(model), torch.random.fork_rng(devices=devices):
        if not augment:
            features = [extract_features(model, x, device=target) for x in (train, val)]
            check_labels(*(labels for _, labels in features), num_classes=num_classes)
            check_features(features[0][0].shape[1], feature_dim)
            frozen = nn.Identity()
            train = in_memory(*features[0], batch_size=batch_size, shuffle=True)
            val = in_memory(*features[1])
        fit = partial(
            fit_classifier,
            frozen,
            feature_dim=feature_dim,
            num_classes=num_classes,
            epochs=epochs,
            batch_size=batch_size,
            milestones=milestones,
            head_std=head_std,
            seed=seed,
            device=target,
            progress=progress,
        )
        if learning_rates:
            learning_rate = choose_learning_rate(
                fit, *features[0], learning_rates, batch_size=batch_size, held_out=held_out
            )
        per_class = PerClassAccuracy()
        callbacks = [per_class, RefuseDiverged(learning_rate)]
        curve = fit(train, val, learning_rate=learning_rate, callbacks=callbacks)
    best = max(range(len(curve)), key=curve.__getitem__)
    protocol = {
        "classifier": "lightly.utils.benchmarking.LinearClassifier",
        "epochs": epochs,
        "batch_size": batch_size,
        **_rate_protocol(learning_rate, learning_rates, held_out, batch_size),
        "schedule": f"x0.1 at epochs {list(milestones)}" if milestones else "cosine per step",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "augment": augment,
        **({} if head_std is None else {"head": f"N(0, {head_std:g}^2), bias 0"}),
        "seed": seed,
    }
    return LinearResult(
        curve[-1], curve[best], best, per_class.curve[-1], curve, learning_rate, protocol
    )


def check_linear(
    *,
    epochs: int = 100,
    learning_rate: float = 1.0,
    learning_rates: Sequence[float] = (),
    batch_size: int = 1,
    milestones: Sequence[int] = (),
    augment: bool = False,
    head_std: float | None = None,
) -> None:
    """Raise ValueError for a number out of range, or candidates beside augmented images."""
    whole_number(epochs, "epochs")
    whole_number(batch_size, "batch_size")
    number(learning_rate, "learning_rate", above=0)
    if learning_rates:
        numbers(learning_rates, "learning_rates", above=0)
    if not all(0 <= milestone < epochs for milestone in milestones):
        raise ValueError(
            f"milestones={list(milestones)} must be epochs from 0 to {epochs - 1}, for epochs="
            f"{epochs} have no others: the rate would not drop there. [] is the cosine."
        )
    if head_std is not None:
        number(head_std, "head_std", at_least=0)
    if learning_rates and augment:
        raise ValueError("learning_rates needs augment=False: candidates train on fixed features.")


def _rate_protocol(
    rate: float, candidates: Sequence[float], held_out: float, batch_size: int
) -> dict[str, Any]:
    """A chosen rate is a result, not part of the protocol: rows may differ in it."""
    if not candidates:
        return {"learning_rate": rate, "effective_learning_rate": rate * batch_size / 256}
    listed = ", ".join(f"{candidate:g}" for candidate in candidates)
    return {"learning_rate": f"best of {listed} on {held_out:g} of the training images"}


def check_features(found: int, feature_dim: int) -> None:
    """Raise ValueError unless the features have the announced dimension."""
    if found != feature_dim:
        raise ValueError(f"feature_dim={feature_dim}, but the model's features have {found}.")
