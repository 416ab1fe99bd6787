"""A backbone in the formats that others read: safetensors, timm, torchvision, detectron2, ONNX."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from salmask_plugin.encoders.architectures import RESNETS, small_widths, split_name
from salmask_plugin.encoders.backbone import PretrainedBackbone
from salmask_plugin.encoders.convnets import TORCHVISION, image_channels
from salmask_plugin.encoders.description import IMAGENET, Normalisation, describe
from salmask_plugin.encoders.detectron2_names import to_detectron2
from salmask_plugin.encoders.export_folder import whole_folder
from salmask_plugin.encoders.layouts import KERNEL
from salmask_plugin.encoders.onnx_export import write_onnx
from salmask_plugin.encoders.sources import EXPORT, OURS, TIMM_CONFIG


@dataclass(frozen=True)
class Format:
    """One way to write a backbone.

    Attributes:
        write: (backbone, folder, its description, side of the views in pixels) -> file's name.
        holds_filter: whether the file applies the filter, or says it to whoever loads it.
        only: the architectures that its reader can build, in words; None: no such limit.
        usage: how it is read, with FILE, FOLDER and ARCHITECTURE to be filled in.
    """

    write: Callable[[PretrainedBackbone, Path, dict[str, Any], int], str]
    holds_filter: bool
    only: str | None
    usage: str


def export_backbone(
    backbone: PretrainedBackbone,
    folder: Path,
    *,
    format: str,
    view_size: int = 224,
    filter_outside: bool = False,
    normalisation: Normalisation | None = None,
) -> str:
    """Write the backbone into a folder.

    Args:
        backbone: on the CPU, as :func:`load_backbone` gives it.
        folder: made if it is not there.
        format: a key of ``FORMATS``.
        view_size: side of the images: of ONNX's input, and in the description.
        filter_outside: write the bare weights of a filtered encoder in a format that cannot hold
            the filter; whoever reads them must filter the images.
        normalisation: of the images that the encoder was trained on; None: ImageNet's, which RGB
            has.

    Returns:
        The file's name inside the folder.

    Raises:
        ImportError: if the format's library is not installed.
        OSError: if the disk refuses; the folder is then as it was.
        ValueError: if the format cannot hold the filter, the architecture or the channels, or the
            normalisation of other channels than RGB is not known.
    """
    check_format(backbone, format, filter_outside=filter_outside)
    with whole_folder(folder) as part:
        described = describe(backbone, view_size, normalisation)
        return FORMATS[format].write(backbone, part, described, view_size)


def check_format(
    backbone: PretrainedBackbone, format: str, *, filter_outside: bool = False
) -> None:
    """Raise ValueError where :func:`export_backbone` would, before anything is written."""
    if format not in FORMATS:
        raise ValueError(f"format={format!r} must be one of {', '.join(FORMATS)}.")
    chosen = FORMATS[format]
    base, stem = split_name(backbone.architecture)
    if chosen.only is not None and (base not in RESNETS or stem):
        raise ValueError(f"format={format!r} is for {chosen.only}, not {backbone.architecture}.")
    channels = image_channels(backbone.network)
    if chosen.only is not None and channels != len(IMAGENET["mean"]):
        raise ValueError(
            f"format={format!r} is for RGB, not for {channels} channels; use "
            "safetensors, timm or onnx."
        )
    foreign = backbone.architecture.startswith(TORCHVISION)
    if format == "timm" and (stem or foreign or small_widths(backbone.architecture) is not None):
        raise ValueError(
            f"format='timm': timm builds no {backbone.architecture}; use safetensors or onnx."
        )
    if backbone.view_filter is not None and not chosen.holds_filter and not filter_outside:
        raise ValueError(
            f"format={format!r} cannot hold the {backbone.view_filter} that this encoder was "
            "trained behind. Use safetensors or onnx, or ask for the bare weights "
            "(--filter-outside) and filter the normalised images before them."
        )


def _weights(backbone: PretrainedBackbone) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in backbone.network.state_dict().items()}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _save(content: dict[str, Any], path: Path) -> None:
    # Made in memory: torch's own writer of files does not say why a disk refuses.
    file = io.BytesIO()
    torch.save(content, file)
    # A copy: an error of write_bytes would hold the buffer itself while it is freed.
    path.write_bytes(file.getvalue())


def _safetensors(
    backbone: PretrainedBackbone, folder: Path, described: dict[str, Any], view_size: int
) -> str:
    from safetensors.torch import save

    name, state = "backbone.safetensors", _weights(backbone)
    kernel = backbone.view_filter
    if kernel is not None:
        state[KERNEL] = torch.tensor([kernel.kernel_size, kernel.sigma], dtype=torch.float32)
    (folder / name).write_bytes(save(state, metadata={"format": "pt"}))
    _write_json(folder / EXPORT, {OURS: {"file": name, **described}})
    return name


def _timm(
    backbone: PretrainedBackbone, folder: Path, described: dict[str, Any], view_size: int
) -> str:
    import timm
    from safetensors.torch import save

    name = "model.safetensors"
    known: Any = timm.get_pretrained_cfg(backbone.architecture)
    own = {} if known is None else known.to_dict()
    settings = {
        **described["normalisation"],
        "input_size": [image_channels(backbone.network), view_size, view_size],
        "crop_pct": 224 / 256,
        "interpolation": "bilinear",
        "first_conv": own.get("first_conv"),
        "classifier": own.get("classifier"),
        "num_classes": 0,
    }
    (folder / name).write_bytes(save(_weights(backbone), metadata={"format": "pt"}))
    other = image_channels(backbone.network) != len(IMAGENET["mean"])
    own_channels = {"model_args": {"in_chans": image_channels(backbone.network)}} if other else {}
    content = {
        "architecture": backbone.architecture,
        "num_classes": 0,
        "num_features": backbone.feature_dim,
        "pretrained_cfg": settings,
        **own_channels,
        OURS: {"file": name, **described},
    }
    _write_json(folder / TIMM_CONFIG, content)
    return name


def _torchvision(
    backbone: PretrainedBackbone, folder: Path, described: dict[str, Any], view_size: int
) -> str:
    name = f"{backbone.architecture}.pth"
    _save(_weights(backbone), folder / name)
    return name


def _detectron2(
    backbone: PretrainedBackbone, folder: Path, described: dict[str, Any], view_size: int
) -> str:
    name = f"{backbone.architecture}-detectron2.pth"
    content = {
        "model": to_detectron2(_weights(backbone)),
        "__author__": "salmask_plugin",
        "matching_heuristics": True,
    }
    _save(content, folder / name)
    return name


def _onnx(
    backbone: PretrainedBackbone, folder: Path, described: dict[str, Any], view_size: int
) -> str:
    return write_onnx(backbone, folder / "backbone.onnx", described, view_size)


PLAIN_RESNETS = f"{', '.join(RESNETS)} with the standard stem"
FORMATS = {
    "safetensors": Format(
        _safetensors, True, None, 'salmask_plugin.evaluation.load_backbone("FOLDER").filtered()'
    ),
    "timm": Format(
        _timm,
        False,
        None,
        'timm.create_model("local-dir:FOLDER", pretrained=True, num_classes=0)',
    ),
    "torchvision": Format(
        _torchvision,
        False,
        PLAIN_RESNETS,
        "network = torchvision.models.ARCHITECTURE(); network.fc = torch.nn.Identity(); "
        'network.load_state_dict(torch.load("FILE", weights_only=True))',
    ),
    "detectron2": Format(
        _detectron2,
        False,
        PLAIN_RESNETS,
        "MODEL.WEIGHTS FILE MODEL.PIXEL_MEAN [123.675,116.28,103.53] "
        "MODEL.PIXEL_STD [58.395,57.12,57.375] MODEL.RESNETS.STRIDE_IN_1X1 False INPUT.FORMAT RGB",
    ),
    "onnx": Format(
        _onnx,
        True,
        None,
        'onnxruntime.InferenceSession("FILE").run(["features"], {"images": normalised images})',
    ),
}
"""A new format: a function and a line here."""
