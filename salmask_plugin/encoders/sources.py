"""From a path to the file of weights, and what the files beside it say about the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from salmask_plugin.encoders.architectures import CIFAR_SOLO, RESNETS, small_name
from salmask_plugin.encoders.checkpoint_files import final_checkpoint
from salmask_plugin.encoders.convnets import TORCHVISION
from salmask_plugin.encoders.small_convnet import SMALL_WIDTHS
from salmask_plugin.file_names import path_below
from salmask_plugin.json_files import (
    COUNT,
    FILTER,
    NULL,
    OBJECT,
    TEXT,
    Kind,
    Shape,
    check_shape,
    read_object,
)

CHECKPOINTS, SETTINGS, ARGUMENTS = "checkpoints", "settings.json", "args.json"
EXPORT = "backbone.json"
TIMM_CONFIG = "config.json"
OURS = "salmask"
"""Key of an export's JSON under which the encoder is described."""
Kernel = tuple[int, float]
WIDTHS = Kind(
    "a list of whole numbers from 1",
    lambda value: isinstance(value, list) and all(COUNT.fits(width) for width in value),
)
RUN: Shape = {
    "values?": {
        "masking?": NULL | Kind("an object with a filter or none", lambda value: _masks(value)),
        "backbone?": {"name?": TEXT, "stem?": TEXT, "widths?": WIDTHS},
    }
}
SOLO_LEARN: Shape = {"backbone?": {"name?": TEXT}, "data?": {"dataset?": TEXT}}
BARE = Kind(
    "the name of a file beside it",
    lambda value: (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and value == PurePosixPath(value).name == PureWindowsPath(value).name
    ),
)
DESCRIBED: Shape = {
    "file": BARE,
    "architecture": TEXT,
    "view_filter?": OBJECT | NULL,
    "normalisation?": OBJECT,
}
"""What is read of the files beside the weights."""


def _masks(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("view_filter") or {}, dict)


@dataclass(frozen=True)
class Source:
    """A file of weights.

    Attributes:
        file: its path.
        kind: who wrote it, for people.
        architecture: what the files beside it say, or None.
        kernel: (taps, sigma) of the view filter they name; None: no filter; "": unsaid.
    """

    file: Path
    kind: str
    architecture: str | None = None
    kernel: Kernel | str | None = ""


def find_source(path: str | Path) -> Source:
    """Find the weights of a run folder, an export or a single file.

    Raises:
        FileNotFoundError: if there is no such path, or a folder holds no weights.
        ValueError: if a description beside the weights cannot be read.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"{place} does not exist.")
    if place.is_dir():
        return _of_folder(place)
    for folder in (place.parent, place.parent.parent):
        if (folder / SETTINGS).is_file() and folder / CHECKPOINTS == place.parent:
            return _of_run(folder, place)
    if (place.parent / ARGUMENTS).is_file():
        return _of_solo_learn(place.parent, place)
    for name in (EXPORT, TIMM_CONFIG):
        found = _of_export(place.parent / name, place)
        if found is not None:
            return found
    return Source(place, "a checkpoint")


def _of_folder(folder: Path) -> Source:
    if (folder / SETTINGS).is_file():
        return _of_run(folder, final_checkpoint(folder))
    if (folder / ARGUMENTS).is_file():
        files = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)
        if not files:
            raise FileNotFoundError(f"{folder} holds no checkpoint of solo-learn's.")
        return _of_solo_learn(folder, files[-1])
    for name in (EXPORT, TIMM_CONFIG):
        described = described_in(folder / name)
        if described is not None:
            file = path_below(folder, described["file"], f"{name}: file", follow_links=True)
            found = _of_export(folder / name, file)
            assert found is not None
            return found
    raise FileNotFoundError(
        f"{folder} is none of: a run folder ({SETTINGS}), a folder of solo-learn's ({ARGUMENTS}), "
        f"an export ({EXPORT}, {TIMM_CONFIG}). Name the file of weights itself."
    )


def _of_run(folder: Path, file: Path) -> Source:
    values = read_object(folder / SETTINGS, RUN).get("values", {})
    masking = values.get("masking") or {}
    view_filter = masking.get("view_filter")
    kernel: Kernel | str | None = None
    if view_filter:
        # A filter of another kind cannot be rebuilt from two numbers; the checkpoint names it.
        known = "kernel_size" in view_filter and "sigma" in view_filter
        if known:
            check_shape(view_filter, FILTER, f"{folder / SETTINGS}, masking.view_filter")
        kernel = (view_filter["kernel_size"], view_filter["sigma"]) if known else ""
    backbone = values.get("backbone") or {}
    architecture = None
    target = str(backbone.get("_target_", ""))
    if target.endswith((".timm_convnet", ".torchvision_convnet")):
        check_shape(backbone, {"name": TEXT}, f"{folder / SETTINGS}, backbone")
    if target.endswith(".timm_convnet"):
        architecture = backbone["name"]
    elif target.endswith(".torchvision_convnet"):
        architecture = TORCHVISION + backbone["name"]
    elif backbone.get("name") in RESNETS:
        stem = backbone.get("stem", "standard")
        architecture = backbone["name"] + ("" if stem == "standard" else f"_{stem}")
    elif target.endswith(".small_convnet"):
        architecture = small_name(backbone.get("widths", SMALL_WIDTHS))
    return Source(file, "a run of salmask", architecture, kernel)


def _of_solo_learn(folder: Path, file: Path) -> Source:
    arguments = read_object(folder / ARGUMENTS, SOLO_LEARN)
    # A filter is a buffer of the backbone there, and comes with the weights.
    return Source(file, "solo-learn", solo_learn_architecture(arguments) or None)


def solo_learn_architecture(arguments: Mapping[str, Any]) -> str:
    """Return our name of the encoder of a solo-learn run, its filter aside; "" where unsaid.

    solo-learn gives a ResNet another stem on CIFAR, and the same name.

    Args:
        arguments: as in its ``args.json``.
    """
    name = str((arguments.get("backbone") or {}).get("name", ""))
    data = arguments.get("data") or {}
    base, _, rest = name.partition("_")
    if base not in RESNETS:
        return name
    small = data.get("dataset") in ("cifar10", "cifar100") or rest.startswith("cifar")
    return base + (CIFAR_SOLO if small else "")


def _of_export(description: Path, file: Path) -> Source | None:
    described = described_in(description)
    if described is None or described["file"] != file.name:
        return None
    found = described.get("view_filter")
    kernel = None if found is None else (int(found["kernel_size"]), float(found["sigma"]))
    return Source(file, "an export of salmask", str(described["architecture"]), kernel)


def described_in(path: Path) -> dict[str, Any] | None:
    """What an export says of itself; None where it is none of ours."""
    content = read_object(path) if path.is_file() else {}
    if OURS not in content:
        return None
    check_shape(content, {OURS: DESCRIBED}, str(path))
    described: dict[str, Any] = content[OURS]
    if described.get("view_filter") is not None:
        check_shape(described, {"view_filter": FILTER}, str(path), OURS)
    return described
