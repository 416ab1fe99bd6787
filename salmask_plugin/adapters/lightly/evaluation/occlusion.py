"""Accuracy on pictures that are partly hidden, of classifiers fitted on whole ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.evaluation.batches import (
    check_labels,
    class_numbers,
    images_of,
)
from salmask_plugin.adapters.lightly.evaluation.features import (
    device_of,
    extract_features,
    joined,
    unchanged,
)
from salmask_plugin.adapters.lightly.evaluation.hidden_cells import (
    BLACK,
    FILLS,
    Fill,
    ForegroundOf,
    Place,
    allowed_cells,
    cell_scores,
    cover,
    fillings_from,
    hidden_cells,
    pictures_in,
)
from salmask_plugin.adapters.lightly.evaluation.knn import check_knn, ranked_classes
from salmask_plugin.adapters.lightly.evaluation.logistic_regression import (
    WEIGHT_DECAYS,
    LogisticProbe,
    choose_logistic,
)
from salmask_plugin.adapters.lightly.evaluation.occlusion_conditions import (
    CLASSIFIERS,
    Classifier,
    Condition,
    check_conditions,
)


@dataclass(frozen=True)
class OcclusionResult:
    """Accuracies in [0, 1] on the validation images.

    Attributes:
        clean: classifier ("linear", "knn") -> top-1 on whole pictures.
        hidden: classifier -> (place, fill, share) -> top-1.
        guesses: classifier -> (place, fill, share), None for whole -> (N,) its answers, in order.
        hidden_share: (place, share) -> share of the picture that was hidden, mean over pictures.
        weight_decay: of the linear probe, chosen on held-out training images.
        protocol: the settings, as plain values.
    """

    clean: dict[str, float]
    hidden: dict[str, dict[Condition, float]]
    guesses: dict[str, dict[Condition | None, Tensor]] = field(compare=False, repr=False)
    hidden_share: dict[tuple[Place, float], float]
    weight_decay: float
    protocol: dict[str, Any]


def occlusion_evaluation(
    model: nn.Module,
    train_loader: Iterable[Sequence[Any]] | tuple[Tensor, Tensor],
    val_loader: Iterable[Sequence[Any]],
    *,
    num_classes: int,
    shares: Sequence[float] = (0.15, 0.3, 0.5),
    fills: Sequence[Fill] = FILLS,
    places: Sequence[Place] = ("anywhere",),
    grid: tuple[int, int] = (7, 7),
    foreground_of: ForegroundOf = None,
    black: Sequence[float] = BLACK,
    classifiers: Sequence[Classifier] = CLASSIFIERS,
    k: int = 20,
    temperature: float = 0.1,
    weight_decays: Sequence[float] = WEIGHT_DECAYS,
    held_out: float = 0.1,
    probe: LogisticProbe | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> OcclusionResult:
    """Fit a linear probe and kNN on whole training pictures; read them on partly hidden ones.

    What is hidden and shown depends on the seed alone: the same for every encoder. The paper does
    not measure this. Hiding parts is older: Hide-and-Seek, Cutout, Patch Mixing.

    Args:
        model: normalised images -> features; a filter is applied by the model itself.
        train_loader: batches (images, labels, ...), ImageNet-normalised, not augmented; or their
            features (N, D) and labels (N,).
        val_loader: the same of the validation images, in a fixed order. A ``DataLoader`` over a set
            in its own order is read once, any other one up to three times.
        num_classes: number of classes.
        shares: of the cells of the place that are hidden, each in (0, 1].
        fills: what is shown instead, see :class:`hidden_cells.Fillings`.
        places: "anywhere", or on the "object" or the "background" alone.
        grid: (h, w) cells.
        foreground_of: for those places, see :data:`hidden_cells.ForegroundOf`.
        black: what black is in each channel after normalisation.
        classifiers: "linear", "knn" or both.
        k: neighbours of kNN.
        temperature: of kNN's votes.
        weight_decays: candidates of the linear probe, see ``choose_logistic``.
        held_out: share of the training images they are judged on.
        probe: the linear probe, fitted before by ``choose_logistic`` on these images in this way.
        seed: of everything that is hidden and shown.
        device: where features are computed; None is where the model is.

    Raises:
        ValueError: for an argument out of range, or a place that needs ``foreground_of``.

    References:
        Singh and Lee, "Hide-and-Seek", ICCV 2017, https://arxiv.org/abs/1704.04232; DeVries and
        Taylor, "Cutout", https://arxiv.org/abs/1708.04552; "Hardwiring ViT patch selectivity into
        CNNs using Patch Mixing", https://arxiv.org/abs/2306.17848; Purushwalkam and Gupta,
        "Demystifying contrastive self-supervised learning", https://arxiv.org/abs/2007.13916.
    """
    check_conditions(shares, fills, places, classifiers, located=foreground_of is not None)
    train = train_loader
    if not isinstance(train, tuple):
        train = extract_features(model, train, device=device)
    check_labels(train[1], num_classes=num_classes)
    if "knn" in classifiers:
        check_knn(k, temperature, images=len(train[1]))
    probe = probe or choose_logistic(
        *train, num_classes=num_classes, weight_decays=weight_decays, held_out=held_out
    )
    bank = F.normalize(train[0], dim=1).T

    conditions = [(place, fill, share) for place in places for fill in fills for share in shares]
    val, features, hidden_share = _features(
        model, val_loader, conditions, grid, foreground_of, black=black, seed=seed, device=device
    )
    check_labels(val[1], num_classes=num_classes)

    def said(features: Tensor) -> dict[str, Tensor]:
        found = {}
        if "linear" in classifiers:
            found["linear"] = probe(features).argmax(1)
        if "knn" in classifiers:
            ranked = ranked_classes(
                features, bank, train[1], num_classes=num_classes, k=k, temperature=temperature
            )
            found["knn"] = ranked[:, 0]
        return found

    found = {key: said(matrix) for key, matrix in [(None, val[0]), *features.items()]}
    guesses = {name: {key: values[name] for key, values in found.items()} for name in found[None]}
    protocol = {
        "linear": "logistic regression on standardised features, L-BFGS",
        "weight_decay": f"best of {', '.join(f'{value:g}' for value in weight_decays)} on "
        f"{held_out:g} of the training images",
        "knn": f"k={k}, temperature={temperature}",
        "grid": f"{grid[0]} x {grid[1]}",
        "seed": seed,
        "train_images": len(train[1]),
        "val_images": len(val[1]),
    }
    accuracies = {
        name: {key: (guess == val[1]).float().mean().item() for key, guess in by_condition.items()}
        for name, by_condition in guesses.items()
    }
    return OcclusionResult(
        {name: values[None] for name, values in accuracies.items()},
        {
            name: {key: value for key, value in values.items() if key is not None}
            for name, values in accuracies.items()
        },
        guesses,
        hidden_share,
        probe.weight_decay,
        protocol,
    )


@torch.no_grad()
def _features(
    model: nn.Module,
    loader: Iterable[Sequence[Any]],
    conditions: Sequence[Condition],
    grid: tuple[int, int],
    foreground_of: ForegroundOf,
    *,
    black: Sequence[float],
    seed: int,
    device: torch.device | str | None,
) -> tuple[tuple[Tensor, Tensor], dict[Condition, Tensor], dict[tuple[Place, float], float]]:
    """Features (N, D) and labels of the whole validation images, features under every condition."""
    whole: list[Tensor] = []
    labels: list[Tensor] = []
    found: dict[Condition, list[Tensor]] = {condition: [] for condition in conditions}
    hidden: dict[tuple[Place, float], list[Tensor]] = {}
    count = pictures_in(loader)
    if not count:
        joined(whole, labels)  # says that there is none
    scores = cell_scores(count, grid, seed)
    fillings = fillings_from(loader, count, seed, black)
    with unchanged(model):
        target = device_of(model) if device is None else torch.device(device)
        model.to(target).eval()
        start = 0
        for batch in loader:
            images = images_of(batch).to(target)
            labels.append(class_numbers(batch[1]))
            whole.append(model(images).flatten(1).float().cpu())
            places = torch.arange(start, start + len(images))
            start += len(images)
            pools = allowed_cells(images, batch, grid, foreground_of)
            contents = {
                fill: fillings(fill, images, labels[-1], places)
                for fill in dict.fromkeys(fill for _, fill, _ in conditions)
            }
            for place, fill, share in conditions:
                cells = hidden_cells(scores[places], share, pools[place])
                covered = cover(images, contents[fill], cells)
                found[place, fill, share].append(model(covered).flatten(1).float().cpu())
                if fill == conditions[0][1]:
                    hidden.setdefault((place, share), []).append(cells.flatten(1).float().mean(1))
    means = {key: torch.cat(parts).mean().item() for key, parts in hidden.items()}
    covered_ones = {condition: torch.cat(parts) for condition, parts in found.items()}
    return joined(whole, labels), covered_ones, means
