"""What a loader gives to an evaluation, looked at where it comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor
from torch.utils.data import DataLoader

NO_IMAGE = "the loader gave no image; drop_last drops a set smaller than one batch."


def images_of(batch: Any) -> Any:
    """Return the images of a batch (images, labels, ...): a tensor, or what moves like one.

    Raises:
        TypeError: if it is of another form, such as that of a training loader with two views.
    """
    if isinstance(batch, list | tuple) and len(batch) > 0:
        images, name = batch[0], "batch[0]"
        if hasattr(images, "to") and not isinstance(images, Mapping):
            return images
    else:
        images, name = batch, "the batch"
    keys = f" with the keys {', '.join(map(str, images))}" if isinstance(images, Mapping) else ""
    raise TypeError(
        f"{name} is a {type(images).__name__}{keys}; an evaluation takes batches (images, labels) "
        "of one view per image: use a loader without the two-view transform."
    )


def class_numbers(labels: Any) -> Tensor:
    """Return a batch's labels (B,) as int64 on the CPU.

    Raises:
        ValueError: if they are no whole numbers: a share of 0.6 would become class 0.
    """
    given = torch.as_tensor(labels)
    if given.is_floating_point() or given.is_complex() or given.ndim != 1:
        raise ValueError(
            f"labels are {given.dtype} {tuple(given.shape)}; classes are whole numbers, (B,)."
        )
    return given.long().cpu()


def check_labels(*labels: Tensor, num_classes: int) -> None:
    """Raise ValueError unless all labels are classes, of which there are at least two."""
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes} must be at least 2.")
    low, high = (int(bound) for bound in torch.cat(labels).aminmax())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"labels run from {low} to {high}; num_classes={num_classes} allows 0 to "
            f"{num_classes - 1}."
        )


def check_not_empty(*loaders: DataLoader[Any]) -> None:
    """Raise ValueError if a loader that knows its length gives no batch."""
    for loader in loaders:
        try:
            length = len(loader)
        except TypeError:  # over a stream
            continue
        if length == 0:
            raise ValueError(NO_IMAGE)


class CheckBatches(Callback):
    """Look at the batches of a classifier's first epoch before it does, validation's first of all.

    Args:
        num_classes: that labels may name.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at a training batch."""
        self._check(trainer, batch)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Look at a validation batch."""
        self._check(trainer, batch)

    def _check(self, trainer: Any, batch: Any) -> None:
        """Refuse another form, or labels that are no classes."""
        if trainer.current_epoch == 0:
            images_of(batch)
            check_labels(torch.as_tensor(batch[1]), num_classes=self.num_classes)
