"""How the images of an encoder are normalised, by what lies beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.encoders.convnets import image_channels
from salmask_plugin.encoders.sources import EXPORT, TIMM_CONFIG, described_in
from salmask_plugin.json_files import OBJECT
from salmask_plugin.lab.data.channels import RGB, Channels
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import some_settings


def channels_of_encoder(source: Path, own: Path | None, backbone: PretrainedBackbone) -> Channels:
    """Return the channels that an encoder's images have, and what they are normalised by.

    Args:
        source: a run's folder, a checkpoint or an export.
        own: the finished run that it is of, or None.
        backbone: the encoder.

    Raises:
        UserError: if it takes other channels than three, and nothing says what they are.
    """
    count = image_channels(backbone.network)
    if count == RGB.count:
        return RGB
    said = _of_run(own) if own is not None else _of_export(source)
    try:
        found = Channels(tuple(said["mean"]), tuple(said["std"]))
    except (KeyError, TypeError, ValueError):
        found = None
    if found is None or found.count != count:
        raise UserError(
            f"{source} takes {count} channels, and nothing beside it says by what "
            "they are normalised; name the run's folder, or an export of it."
        )
    return found


def _of_run(own: Path) -> dict[str, Any]:
    """Read, not built: any ``_target_`` may stand there."""
    data: dict[str, Any] = some_settings(own, {"data": OBJECT})["data"]
    return data


def _of_export(source: Path) -> dict[str, Any]:
    folder = source if source.is_dir() else source.parent
    for name in (EXPORT, TIMM_CONFIG):
        described = described_in(folder / name)
        if described is not None:
            return described.get("normalisation", {})
    return {}
