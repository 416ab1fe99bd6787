"""A ResNet's tensors under detectron2's names, as MoCo's detection recipe needs them, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

FIRST = "stem.conv1.weight"
"""The name by which detectron2's layout is known."""


def to_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's names; BatchNorm's counters, which detectron2 lacks, are left out.

    References:
        The layout of MoCo's detection/convert-pretrain-to-detectron2.py,
        https://github.com/facebookresearch/moco/tree/7397dfe.
    """
    return {
        _renamed(name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def from_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`to_detectron2`."""
    return {_restored(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    name = re.sub(r"\bbn(\d)\.", r"conv\1.norm.", name)
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    stage = re.match(r"layer(\d)\.", name)
    if stage is None:
        return f"stem.{name}"
    return f"res{int(stage[1]) + 1}.{name[stage.end() :]}"


def _restored(name: str) -> str:
    name = re.sub(r"\bconv(\d)\.norm\.", r"bn\1.", name)
    name = name.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
    stage = re.match(r"res(\d)\.", name)
    if stage is None:
        return name.removeprefix("stem.")
    return f"layer{int(stage[1]) - 1}.{name[stage.end() :]}"
