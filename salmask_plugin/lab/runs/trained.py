"""A run's module with the weights of one of its checkpoints, where evaluations run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn

from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.build import build_module
from salmask_plugin.lab.runs.node import as_mistakes, check_takes_views
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.localizers.weights import read_content
from salmask_plugin.masking import SaliencyMasking


def device_for(settings: Settings) -> torch.device:
    """Return where evaluations run."""
    cuda = torch.cuda.is_available() and settings.trainer["accelerator"] != "cpu"
    return torch.device("cuda" if cuda else "cpu")


def load_module(
    settings: Settings,
    splits: ImageSplits,
    masking: SaliencyMasking | None,
    checkpoint: Path,
) -> pl.LightningModule:
    """Return the run's module with the checkpoint's weights, in eval mode on its device.

    Raises:
        UserError: if a weight is missing or left over, or the encoder cannot take the run's views.
        ValueError: if the checkpoint is damaged.
    """
    content = read_content(checkpoint)
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise UserError(f"{checkpoint} is no checkpoint of a run: it has no state_dict.")
    module = build_module(settings, splits, masking)
    with as_mistakes(f"{checkpoint} does not fit the run's settings"):
        module.load_state_dict(state)
    module = module.to(device_for(settings)).eval()
    assert isinstance(module.backbone, nn.Module)
    check_takes_views(module.backbone, settings.view_size)
    return module
