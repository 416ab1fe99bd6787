"""Any ConvNet of timm or torchvision as an encoder: without its classifier, its width measured."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn

from salmask_plugin.checks import whole_number
from salmask_plugin.localizers.weights import is_whole
from salmask_plugin.module_modes import kept_modes

TORCHVISION = "torchvision/"
"""Beginning of the names of torchvision's networks; timm has some of the same name."""
HEADS = ("fc", "classifier", "head")
"""Beginnings of the names of a network's classifier."""
SIDES = (64, 224)
"""Pixels of the probe; the larger one for networks that shrink the smaller one to nothing."""


def timm_convnet(name: str, *, in_channels: int = 3) -> tuple[nn.Module, int]:
    """Return a randomly initialised network of timm without its classifier, and its feature_dim.

    Args:
        name: as timm has it, such as "convnext_tiny".
        in_channels: of the views.

    Raises:
        ImportError: if timm is not installed.
        ValueError: for an unknown name, or a network whose output is no vector per image.
    """
    whole_number(in_channels, "in_channels")
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"name={name!r}: timm is not installed: pip install timm.") from error
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ValueError(f"name={name!r} is no model of timm; near: {near}.")
    network: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=0, in_chans=in_channels
    )
    return network, feature_dim(network, f"timm's {name}", in_channels)


def torchvision_convnet(name: str, *, in_channels: int = 3) -> tuple[nn.Module, int]:
    """Return a randomly initialised network of torchvision without its classifier's last layer.

    Args:
        name: as torchvision has it, such as "convnext_tiny" or "efficientnet_b0".
        in_channels: of the views.

    Returns:
        The network, images -> (B, D), and D.

    Raises:
        ValueError: for an unknown name, a network that ends in no linear layer, or one whose output
            is no vector per image.
    """
    whole_number(in_channels, "in_channels")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise ValueError(f"name={name!r} is no classifier of torchvision; near: {near}.")
    network: nn.Module = torchvision.models.get_model(name, weights=None)
    layers = [key for key, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers or not layers[-1].startswith(HEADS):
        raise ValueError(f"torchvision's {name} ends in no linear classifier that is left out.")
    network.set_submodule(layers[-1], nn.Identity())
    take_channels(network, in_channels)
    return network, feature_dim(network, f"torchvision's {name}", in_channels)


def heads_of(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that a network of timm or torchvision was built without."""
    named = (getattr(network, "pretrained_cfg", None) or {}).get("classifier") or ()
    left_out = (
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Identity) and name.startswith(HEADS)
    )
    return (*((named,) if isinstance(named, str) else named), *left_out)


def feature_dim(network: nn.Module, name: str, in_channels: int = 3) -> int:
    """Return the width of a network's features, by a forward of one blank image in eval mode.

    Nothing changes: no statistics, no random state, and each module's mode comes back.

    Args:
        network: images -> features.
        name: of it, for errors.
        in_channels: of the image.

    Raises:
        ValueError: if the output is no tensor (B, D) or (B, D, 1, 1), such as a dict, a list or a
            map.
    """
    with kept_modes(network), torch.random.fork_rng(devices=[]), torch.no_grad():
        output = _probed(network.eval(), name, in_channels)
    if not isinstance(output, Tensor):
        raise ValueError(
            f"{name} returns a {type(output).__name__}; an encoder returns one tensor of features "
            "(B, D)."
        )
    if output.ndim < 2 or output[0].numel() != output.shape[1]:
        raise ValueError(
            f"{name} returns {tuple(output.shape)} for one image; features (B, D) are needed, so "
            "pool a map first."
        )
    return int(output.shape[1])


def take_channels(network: nn.Module, in_channels: int) -> None:
    """Exchange a network's first convolution for one that takes other channels, freshly drawn.

    Raises:
        ValueError: if its first convolution does not see the images.
    """
    if in_channels == 3:
        return
    name, first = first_convolution(network)
    if first.in_channels != 3 or first.groups != 1:
        raise ValueError(f"{name} takes {first.in_channels} channels: it does not see the images.")
    other = nn.Conv2d(
        in_channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        first.dilation,  # type: ignore[arg-type]
        bias=first.bias is not None,
        padding_mode=first.padding_mode,
    )
    nn.init.kaiming_normal_(other.weight, mode="fan_out", nonlinearity="relu")
    other.train(first.training)
    network.set_submodule(name, other)


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return (name, layer) of the first convolution in the order of registration.

    Raises:
        ValueError: if there is none.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise ValueError(f"{type(network).__name__} has no convolution.")


def channels_of(state: Mapping[str, Tensor], network: nn.Module) -> int:
    """Return how many channels the images of these weights have, by the first convolution.

    Args:
        state: of a network like ``network``.
        network: for images of 3 channels; 3 is also the answer where the weights do not fit it,
            or are not whole: a shape alone may ask for any amount of memory.
    """
    name, first = first_convolution(network)
    weight = state.get(f"{name}.weight")
    if weight is None or weight.ndim != 4 or (first.in_channels, first.groups) != (3, 1):
        return 3
    outside = (0, 2, 3)
    fits = all(weight.shape[side] == first.weight.shape[side] for side in outside)
    return int(weight.shape[1]) if fits and weight.numel() and is_whole(weight) else 3


def image_channels(network: nn.Module) -> int:
    """Return how many channels a network's images have, by its first convolution."""
    return first_convolution(network)[1].in_channels


def own_network(given: object) -> tuple[nn.Module, int]:
    """Return a user's network and its feature dimension.

    Raises:
        ValueError: if it is not the pair of them.
    """
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"network={type(given).__name__}(...) must be (network, feature_dim): your network "
            "without a classifier, and how many features it returns."
        )
    return given[0], whole_number(given[1], "network[1]")


def _probed(network: nn.Module, name: str, in_channels: int) -> object:
    for side in SIDES:
        try:
            return network(torch.zeros(1, in_channels, side, side))
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = " ".join(str(error).split())
    raise ValueError(f"{name} cannot take images of {SIDES[-1]} px: {reason}.")
