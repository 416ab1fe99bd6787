"""Where a file keeps its encoder: the names of each host's checkpoints, and their neighbours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan

from torch import Tensor

from salmask_plugin.encoders.architectures import CIFAR_LIGHTLY, CIFAR_SOLO
from salmask_plugin.encoders.detectron2_names import FIRST, from_detectron2
from salmask_plugin.json_files import FILTER
from salmask_plugin.localizers.weights import is_whole

KERNEL = "highpass_kernel"
"""Buffer of a backbone that filters its input: (taps per axis, sigma in pixels)."""


@dataclass(frozen=True)
class Layout:
    """One way to name an encoder's tensors.

    Attributes:
        name: for people.
        prefix: of the encoder's names.
        beside: beginnings of names of which one must be there too; empty: none need be.
        peculiar: beginnings of names that must all be there, and that nobody else has together.
        small_stem: suffix of a ResNet with a 3x3 stem in this layout; None: cannot be told.
    """

    name: str
    prefix: str
    beside: tuple[str, ...] = ()
    peculiar: tuple[str, ...] = ()
    small_stem: str | None = None


LAYOUTS = (
    Layout("MoCo's official code", "encoder_q."),
    Layout(
        "solo-learn",
        "backbone.",
        peculiar=("momentum_backbone.", "classifier."),
        small_stem=CIFAR_SOLO,
    ),
    Layout("lightly", "backbone.", ("projection_head.", "backbone_momentum.")),
    Layout("a module with a backbone", "backbone."),
    Layout(
        "an older solo-learn",
        "encoder.",
        peculiar=("momentum_encoder.", "classifier."),
        small_stem=CIFAR_SOLO,
    ),
    Layout("a module with an encoder", "encoder.", ("projector.", "classifier.")),
    Layout("detectron2", "", (FIRST,)),
    Layout("plain", ""),
)
"""Tried in this order. Momentum encoders, heads, queues and classifiers are left out.

A projector or a classifier beside a backbone is anyone's, and lightly brings no uncut network with
a 3x3 stem of its own: there the padding of such a stem is asked for."""
_WRAPPERS = ("module.", "_orig_mod.")
_SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_GENERATED = {"0": "conv1", "1": "bn1", "2": "layer1", "3": "layer2", "4": "layer3", "5": "layer4"}


@dataclass(frozen=True)
class Encoder:
    """An encoder's tensors out of a checkpoint.

    Attributes:
        state: by torchvision's or timm's names, without torchvision's classifier ``fc``.
        layout: the name of the layout they were found in.
        small_stem: see :class:`Layout`.
        kernel: (taps, sigma) of the filter that the weights bring along, or None.
    """

    state: dict[str, Tensor]
    layout: str
    small_stem: str | None
    kernel: tuple[int, float] | None


def find_encoder(tensors: Mapping[str, Tensor]) -> Encoder:
    """Return the online encoder among a checkpoint's tensors."""
    named = {_unwrapped(name): value for name, value in tensors.items()}
    layout = next(entry for entry in LAYOUTS if _fits(entry, named))
    state = {
        name.removeprefix(layout.prefix): value
        for name, value in named.items()
        if name.startswith(layout.prefix)
    }
    kernel = state.pop(KERNEL, None)
    if FIRST in state:
        state = from_detectron2(state)
    state, cut_up = _torchvision_names(state)
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    return Encoder(
        state,
        layout.name,
        CIFAR_LIGHTLY if cut_up else layout.small_stem,
        None if kernel is None else _filter_of(kernel),
    )


def _filter_of(kernel: Tensor) -> tuple[int, float]:
    whole = kernel.shape == (2,) and is_whole(kernel) and not kernel.is_complex()
    taps, sigma = kernel.tolist() if whole else (nan, nan)
    fits = FILTER["kernel_size"].fits, FILTER["sigma"].fits
    if not (isfinite(taps) and fits[0](int(taps)) and fits[1](sigma)):
        raise ValueError(f"{KERNEL} of the checkpoint is no filter's (taps, sigma).")
    return int(taps), sigma


def _fits(layout: Layout, named: Mapping[str, Tensor]) -> bool:
    needed: list[tuple[str, ...]] = [(layout.prefix,), *((name,) for name in layout.peculiar)]
    needed += [layout.beside] if layout.beside else []
    return all(any(name.startswith(starts) for name in named) for starts in needed)


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name.replace("._orig_mod.", ".")


def _torchvision_names(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Undo ``nn.Sequential(*resnet.children())``; say whether it was lightly's own small ResNet."""
    heads = {name.partition(".")[0] for name in state}
    numbered = bool(heads) and all(head.isdigit() for head in heads)
    generated = numbered and any(name.startswith("2.") for name in state)
    names = _GENERATED if generated else _SEQUENTIAL if numbered else {}
    renamed = {}
    for name, value in state.items():
        head, dot, rest = name.partition(".")
        name = names.get(head, head) + dot + rest
        renamed[re.sub(r"\.shortcut\.(?=[01]\.)", ".downsample.", name)] = value
    return renamed, generated
