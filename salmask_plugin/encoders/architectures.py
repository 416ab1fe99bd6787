"""Networks without a classifier, by name, and the name of the network that a state dict fits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

import torch
import torchvision
from torch import Tensor, nn

from salmask_plugin.encoders.convnets import TORCHVISION, timm_convnet, torchvision_convnet
from salmask_plugin.encoders.small_convnet import SMALL_WIDTHS, SmallConvNet, widths_of

RESNETS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048}
"""torchvision's ResNets and the dimension of their features."""
SMALL = "small"
"""Name of the small encoder; other widths are named as in small_16_32_64_128."""
CIFAR, CIFAR_POOL, CIFAR_SOLO = "_cifar", "_cifar_pool", "_cifar_solo"
CIFAR_LIGHTLY = "_cifar_lightly"
STEMS = {
    "": "7x7 convolution, stride 2, max-pooling",
    CIFAR: "3x3 convolution, padding 1, no max-pooling: this package's",
    CIFAR_POOL: "3x3 convolution, padding 1, max-pooling: for views of about 64 px",
    CIFAR_SOLO: "3x3 convolution, padding 2, no max-pooling: solo-learn's on CIFAR",
    CIFAR_LIGHTLY: "3x3 convolution, padding 1, neither max-pooling nor the first ReLU: lightly's "
    "ResNetGenerator cut into nn.Sequential, as its examples and benchmarks on CIFAR do",
}
"""Suffixes of a ResNet's name. All but the first have weights of the same shapes."""
_DEPTHS = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
}


def build_network(architecture: str) -> tuple[nn.Module, int]:
    """Return a network without its classifier, images -> (B, D), and D. Shifts no random state.

    Args:
        architecture: a key of ``RESNETS`` with a suffix of ``STEMS``, ``small``, a network of
            torchvision as in "torchvision/convnext_tiny", or a model of timm.

    Raises:
        ImportError: if the name is none of ours and timm is not installed.
        ValueError: if timm does not know it either.
    """
    widths = small_widths(architecture)
    if widths is not None:
        with torch.random.fork_rng(devices=[]):
            return SmallConvNet(widths), widths[-1]
    base, stem = split_name(architecture)
    with torch.random.fork_rng(devices=[]):
        if architecture.startswith(TORCHVISION):
            return torchvision_convnet(architecture.removeprefix(TORCHVISION))
        if base not in RESNETS:
            return _timm(architecture)
        network = torchvision.models.get_model(base, weights=None)
    network.fc = nn.Identity()
    if stem:
        padding = 2 if stem == CIFAR_SOLO else 1
        with torch.random.fork_rng(devices=[]):
            network.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=padding, bias=False)
    if stem not in ("", CIFAR_POOL):
        network.maxpool = nn.Identity()
    if stem == CIFAR_LIGHTLY:
        network.relu = nn.Identity()  # the stem's; each block has its own
    return network, RESNETS[base]


def split_name(architecture: str) -> tuple[str, str]:
    """Return (network, suffix of its stem): "resnet18_cifar" is ("resnet18", "_cifar")."""
    base, separator, rest = architecture.partition("_")
    stem = separator + rest
    return (base, stem) if base in RESNETS and stem in STEMS else (architecture, "")


def small_name(widths: Sequence[int]) -> str:
    """Return the architecture's name of a small encoder of these widths."""
    return SMALL if tuple(widths) == SMALL_WIDTHS else "_".join(map(str, (SMALL, *widths)))


def small_widths(architecture: str) -> tuple[int, ...] | None:
    """Return the widths that a small encoder's name tells; None for another name."""
    if architecture == SMALL:
        return SMALL_WIDTHS
    found = re.fullmatch(SMALL + r"((?:_\d+){4})", architecture)
    return None if found is None else tuple(map(int, found[1].split("_")[1:]))


def check_widths(architecture: str, state: Mapping[str, Tensor], origin: str) -> None:
    """Refuse to build a small encoder of other widths than the weights'.

    Widths are but numbers in a text, which may ask for any amount of memory.

    Args:
        architecture: any name.
        state: tensors by name.
        origin: of them, for the error.

    Raises:
        ValueError: if the widths differ.
    """
    widths, found = small_widths(architecture), widths_of(state)
    if widths not in (None, SMALL_WIDTHS, found):
        held = "no small encoder" if found is None else f"a {small_name(found)}"
        raise ValueError(f"{origin} holds {held}, not {architecture!r}.")


def infer_architecture(state: Mapping[str, Tensor], *, small_stem: str | None) -> str:
    """Return the name of the torchvision ResNet, or small encoder, whose weights these are.

    Args:
        state: tensors by torchvision's names, classifier or not.
        small_stem: the suffix that a 3x3 convolution means; None where its padding is not known.

    Raises:
        ValueError: if it is no such ResNet, or its stem cannot be told.
    """
    widths = widths_of(state)
    if widths is not None:
        return small_name(widths)
    blocks = [_blocks(state, stage) for stage in (1, 2, 3, 4)]
    bottleneck = "layer1.0.conv3.weight" in state
    base = _DEPTHS.get((tuple(blocks), bottleneck))  # type: ignore[arg-type]
    stem = state.get("conv1.weight")
    first = state.get("layer1.0.conv1.weight")
    if base is None or stem is None or first is None or first.shape[:1] != (64,):
        raise ValueError(
            f"the weights are those of none of {', '.join(RESNETS)} (first names: "
            f"{', '.join(list(state)[:3])}); say architecture=..., a ResNet or a model of timm."
        )
    form = (*stem.shape[:1], *stem.shape[2:])
    if form == (64, 7, 7):
        return base
    if form != (64, 3, 3):
        raise ValueError(
            f"conv1.weight has shape {tuple(stem.shape)}; (64, C, 7, 7) or (64, C, 3, 3) is known."
        )
    if small_stem is None:
        choices = "; ".join(f"{base}{key} ({text})" for key, text in STEMS.items() if key)
        raise ValueError(
            f"the weights are a {base} with a 3x3 stem, whose padding no weight tells; say "
            f"architecture=..., one of: {choices}."
        )
    return base + small_stem


def _blocks(state: Mapping[str, Tensor], stage: int) -> int:
    pattern = re.compile(rf"layer{stage}\.(\d+)\.")
    return len({found[1] for name in state if (found := pattern.match(name))})


def _timm(name: str) -> tuple[nn.Module, int]:
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"architecture={name!r} is none of ours ({', '.join(RESNETS)}, with the suffixes "
            f"{', '.join(filter(None, STEMS))}), and timm is not installed: "
            "pip install '.[embedded]' in its clone."
        ) from error
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*RESNETS, *timm.list_models()], n=3)
        raise ValueError(
            f"architecture={name!r} is neither one of {', '.join(RESNETS)} (with the suffixes "
            f"{', '.join(filter(None, STEMS))}) nor a model of timm; near: {near}."
        )
    return timm_convnet(name)
