"""Features of a model that evaluation must not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.evaluation.batches import NO_IMAGE, class_numbers, images_of
from salmask_plugin.module_modes import kept_modes


@torch.no_grad()
def extract_features(
    model: nn.Module, loader: Iterable[Sequence[Any]], *, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Return features (N, D) float32 and labels (N,) int64, both on the CPU, in loader order.

    The model runs in eval mode without gradient; its modes and its device come back.

    Args:
        model: images -> features. The modules of this package apply their view filter themselves.
        loader: batches (images, labels, ...).
        device: where to run; None is where the model is.

    Raises:
        TypeError: if a batch is of another form, such as one of two views.
        ValueError: if there is no image, a feature is not finite, or a label is no whole number.
    """
    features, labels = [], []
    with unchanged(model):
        target = device_of(model) if device is None else torch.device(device)
        model.to(target).eval()
        for batch in loader:
            features.append(model(images_of(batch).to(target)).flatten(1).float().cpu())
            labels.append(class_numbers(batch[1]))
    return joined(features, labels)


def joined(features: Sequence[Tensor], labels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the batches' features (B, D) and labels (B,) as one matrix and one vector.

    Raises:
        ValueError: if there is no image, or a feature is not finite.
    """
    if not features:
        raise ValueError(NO_IMAGE)
    matrix = torch.cat(list(features))
    bad = int((~matrix.isfinite().all(1)).sum())
    if bad:
        raise ValueError(f"{bad} of {len(matrix)} images have features that are NaN or infinite.")
    return matrix, torch.cat(list(labels))


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Restore modes and device on leaving, and prove that parameters and buffers are the same.

    lightly's linear evaluation leaves its backbone in eval mode, and since Lightning 2.2 a
    fine-tuning that follows would train with frozen BatchNorm.

    Raises:
        RuntimeError: if a parameter or a buffer (BatchNorm statistics) has changed.
    """
    before, device = state_hash(model), device_of(model)
    try:
        with kept_modes(model):
            yield
    finally:
        model.to(device)
    if state_hash(model) != before:
        raise RuntimeError("evaluation has changed the model's parameters or buffers.")


def state_hash(model: nn.Module) -> str:
    """SHA-256 over all parameters and buffers with their names."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            continue  # what a module saves besides, as a queue its place
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's parameters are; the CPU if it has none."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
