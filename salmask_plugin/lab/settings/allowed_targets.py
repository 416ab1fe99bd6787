"""Which ``_target_``s a configuration may build: a `_target_` is code execution."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from salmask_plugin.lab.errors import UserError

Trust = bool | frozenset[str]
"""True: anything may be built. Else what the command line allows by name (``--allow NAME``)."""
ALLOWED = frozenset(
    {
        "lightly.transforms.MoCoV2Transform",
        "lightly.transforms.SimCLRTransform",
        "pytorch_lightning.Trainer",
        "salmask_plugin.BackgroundMask",
        "salmask_plugin.BandsLocalizer",
        "salmask_plugin.BlockMask",
        "salmask_plugin.BlurFill",
        "salmask_plugin.CenterLocalizer",
        "salmask_plugin.FillMixture",
        "salmask_plugin.FocalMask",
        "salmask_plugin.GivenLocalizer",
        "salmask_plugin.GuidedCrops",
        "salmask_plugin.GridMask",
        "salmask_plugin.HighPassFilter",
        "salmask_plugin.MaskFunctionLocalizer",
        "salmask_plugin.MaskMixture",
        "salmask_plugin.Masking",
        "salmask_plugin.MatchedMask",
        "salmask_plugin.MeanFill",
        "salmask_plugin.MomentumLocalizer",
        "salmask_plugin.NegativeEncoding",
        "salmask_plugin.NoiseFill",
        "salmask_plugin.OtherImageFill",
        "salmask_plugin.PermutedLocalizer",
        "salmask_plugin.SCDALocalizer",
        "salmask_plugin.SaliencyMasking",
        "salmask_plugin.SystematicMask",
        "salmask_plugin.TileFill",
        "salmask_plugin.TopMask",
        "salmask_plugin.UniformLocalizer",
        "salmask_plugin.UnseenFill",
        "salmask_plugin.adapters.lightly.ADIOSMoCoV2",
        "salmask_plugin.adapters.lightly.ADIOSSimCLR",
        "salmask_plugin.adapters.lightly.MaskedMoCoV2",
        "salmask_plugin.adapters.lightly.MaskedSimCLR",
        "salmask_plugin.adapters.lightly.SaliencyWarmUp",
        "salmask_plugin.adapters.lightly.SupervisedClassifier",
        "salmask_plugin.adapters.lightly.resnet",
        "salmask_plugin.data.caltech101",
        "salmask_plugin.data.cifar10",
        "salmask_plugin.data.cifar100",
        "salmask_plugin.data.coco",
        "salmask_plugin.data.coco_instances",
        "salmask_plugin.data.flowers102",
        "salmask_plugin.data.generated",
        "salmask_plugin.data.generated_objects",
        "salmask_plugin.data.generated_instances",
        "salmask_plugin.data.generated_sequences",
        "salmask_plugin.data.image_folder",
        "salmask_plugin.data.kitti",
        "salmask_plugin.data.linear_train_transform",
        "salmask_plugin.data.picture_folder",
        "salmask_plugin.data.stl10",
        "salmask_plugin.data.tiny_imagenet",
        "salmask_plugin.data.voc",
        "salmask_plugin.data.voc_crops",
        "salmask_plugin.encoders.small_convnet",
        "salmask_plugin.encoders.timm_convnet",
        "salmask_plugin.encoders.torchvision_convnet",
        "salmask_plugin.evaluation.depth.DepthSchedule",
        "salmask_plugin.evaluation.depth.DepthTest",
        "salmask_plugin.evaluation.depth.Monodepth",
        "salmask_plugin.evaluation.detection.C4Detector",
        "salmask_plugin.evaluation.detection.Schedule",
        "salmask_plugin.localizers.cached.open_cache",
        "salmask_plugin.localizers.pretrained.coco_fasterrcnn_resnet50",
        "salmask_plugin.localizers.pretrained.efficientnet_lite0",
        "salmask_plugin.localizers.pretrained.random_resnet50",
        "salmask_plugin.localizers.pretrained.timm_network",
        "salmask_plugin.localizers.pretrained.torchvision_resnet50",
        "salmask_plugin.released.FirstNegative",
        "salmask_plugin.released.RowSortedLocalizer",
    }
)
"""What our configurations name. A new YAML leaf adds its ``_target_`` here."""
FETCHING = ("download", "pretrained")
"""Arguments that have something fetched from the network."""
UNASKED = {"salmask_plugin.localizers.pretrained.timm_network": "pretrained"}
"""Objects of the list that fetch something by default -> the argument that says no."""
WITHOUT_A_FILE = {
    "salmask_plugin.localizers.pretrained.coco_fasterrcnn_resnet50": "weights_file",
    "salmask_plugin.localizers.pretrained.torchvision_resnet50": "weights_file",
}
"""Objects of the list that fetch their weights -> the argument that names a file instead."""
UNBUILT = "localizer"
"""A setting of every run, the paper's localizer by default: what uses it holds a copy."""
_ADDRESS = re.compile(r"^[A-Za-z][\w+.-]+:|://")
"""A URL, or a source of timm's such as ``hf-hub:``; no Windows path, whose drive is one letter."""


def check_targets(node: Any, *, trust: Trust = False, foreign: bool = False) -> None:
    """Raise UserError for the first thing in ``node`` that a configuration may not hold.

    A ``_target_`` is judged by its name, exactly as written; nothing is imported. Below one, names
    are identifiers: some libraries write them into source code. An interpolation that is still
    there is refused as well: resolved when the object is built, it could make a ``_target_`` out of
    a text.

    Args:
        node: the settings, plain containers, every interpolation resolved.
        trust: what the user allows.
        foreign: whether it may come from somebody else; then nothing may be fetched.
    """
    if trust is True:
        return
    allowed = trust or frozenset()
    _check(node, "", ALLOWED | allowed, inside=False)
    if foreign:
        for word in fetched_by_run(node):
            if word not in allowed:
                raise UserError(
                    f"the settings hold {word!r}, which fetches something from the network; a run "
                    f"folder does not decide that. If it is yours, add --allow {word}."
                )


def allowing(names: Iterable[str]) -> list[str]:
    """Return the flags of the command line that allow these names."""
    return [f"--allow={name}" for name in names]


def flags_for_children(trust: Trust) -> list[str]:
    """Return the flags that give another command the trust that this one was given."""
    return ["--trust"] if trust is True else allowing(sorted(trust or ()))


def fetched_by_run(settings: Mapping[str, Any]) -> list[str]:
    """Return what has something fetched when the parts of a run with these settings are built."""
    return fetches({key: value for key, value in settings.items() if key != UNBUILT})


def fetches(node: Any) -> list[str]:
    """Return what has something fetched: names of arguments that are set, of objects, addresses."""
    return list(dict.fromkeys(_fetches(node, inside=False)))


def _check(node: Any, path: str, names: frozenset[str], *, inside: bool) -> None:
    if isinstance(node, dict):
        if "_target_" in node:
            inside = True
            target = node["_target_"]
            if not isinstance(target, str) or target not in names:
                raise _refusal(target, path or "the top level")
            if "_args_" in node and target in ALLOWED:
                # By their names alone are arguments judged.
                raise UserError(
                    f"_args_ at {path or 'the top level'}: the arguments of {target} are given by "
                    "their names."
                )
        for key, value in node.items():
            _check_text(key, path)
            if inside and isinstance(key, str) and not key.isidentifier():
                raise UserError(f"the name {key!r} at {path} must be an identifier.")
            _check(value, f"{path}.{key}".lstrip("."), names, inside=inside)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check(value, f"{path}[{index}]", names, inside=inside)
    else:
        _check_text(node, path)


def _check_text(value: Any, path: str) -> None:
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{value!r} at {path} is an interpolation inside a text: not allowed.")


def _fetches(node: Any, *, inside: bool) -> Iterator[str]:
    if isinstance(node, dict):
        inside = inside or "_target_" in node
        target = str(node.get("_target_"))
        if target in WITHOUT_A_FILE and not node.get(WITHOUT_A_FILE[target]):
            yield target
        unasked = UNASKED.get(target)
        asked = {**node, unasked: node.get(unasked, True)} if unasked else node
        yield from (key for key in FETCHING if inside and asked.get(key))
        for value in node.values():
            yield from _fetches(value, inside=inside)
    elif isinstance(node, list):
        for value in node:
            yield from _fetches(value, inside=inside)
    elif inside and isinstance(node, str) and _ADDRESS.search(node):
        yield node


def _refusal(target: Any, path: str) -> UserError:
    refused = (
        f"_target_ {target!r:.100} at {path} is not allowed: a configuration builds what ours "
    )
    if not isinstance(target, str):
        return UserError(f"{refused}name, and this is no name.")
    return UserError(
        f"{refused}name. For a class of yours, or of a library, in your own configuration add "
        f"--allow {target:.100} (this name alone) or --trust (anything)."
    )
