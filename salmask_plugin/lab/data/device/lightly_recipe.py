"""The numbers of lightly's transforms, for views that are made on the device."""

from __future__ import annotations

from typing import Any

from lightly.transforms.gaussian_blur import GaussianBlur
from lightly.transforms.multi_view_transform import MultiViewTransform
from lightly.transforms.torchvision_v2_compatibility import ToTensor
from torchvision.transforms import InterpolationMode, v2

from salmask_plugin.lab.data import ViewRecipe


def recipe_of(transform: MultiViewTransform) -> ViewRecipe:
    """Read the augmentation out of lightly's ``MoCoV2Transform``, ``SimCLRTransform`` or alike.

    Raises:
        ValueError: if the two views differ, or a view has an operation that :class:`DeviceViews`
            lacks, such as a rotation.
    """
    views = getattr(transform, "transforms", ())
    if len(views) != 2:
        raise ValueError(
            f"{type(transform).__name__} is no transform of lightly that makes two views."
        )
    recipes = [_recipe_of_view(view) for view in views]
    if recipes[0] != recipes[1]:
        raise ValueError("Views made on the device follow one recipe; here the two views differ.")
    return recipes[0]


def _recipe_of_view(view: Any) -> ViewRecipe:
    compose = getattr(view, "transform", view)
    found: dict[type, Any] = {}
    order = (
        v2.RandomResizedCrop,
        v2.RandomHorizontalFlip,
        v2.RandomApply,
        v2.RandomGrayscale,
        GaussianBlur,
        ToTensor,
        v2.Normalize,
    )
    for operation in getattr(compose, "transforms", ()):
        # lightly lists flips and rotations that it never does.
        if type(operation) not in order and _chance(operation) == 0:
            continue
        later = order[order.index(max(found, key=order.index)) + 1 :] if found else order
        if type(operation) not in later:
            raise ValueError(
                f"{type(operation).__name__} is not made on the device, or not at this place: "
                "crop, flip, colour jitter, grey, blur, normalise. Use loader.input=host."
            )
        found[type(operation)] = operation
    missing = [kind.__name__ for kind in order[:-1] if kind not in found]
    if missing:
        raise ValueError(f"{type(view).__name__} has no {', '.join(missing)}.")
    return _numbers(found)


def _chance(operation: Any) -> float | None:
    """Probability of an operation of torchvision or lightly, None where it has none."""
    inner = getattr(operation, "transform", operation)
    for holder in (operation, inner):
        for name in ("p", "prob"):
            if isinstance(getattr(holder, name, None), int | float):
                return float(getattr(holder, name))
    return None


def _numbers(found: dict[type, Any]) -> ViewRecipe:
    crop, applied = found[v2.RandomResizedCrop], found[v2.RandomApply]
    (jitter,) = applied.transforms
    if not isinstance(jitter, v2.ColorJitter):
        raise ValueError(f"{type(jitter).__name__} is not made on the device.")
    # Torchvision has held the mode as a member of the enumeration and as its value.
    if len(set(crop.size)) != 1 or InterpolationMode(crop.interpolation).value != "bilinear":
        raise ValueError(
            f"Views made on the device are square and bilinear, not {tuple(crop.size)} px and "
            f"{crop.interpolation}."
        )
    blur, normalise = found[GaussianBlur], found.get(v2.Normalize)
    scaled = {} if normalise is None else {"mean": normalise.mean, "std": normalise.std}
    return ViewRecipe(
        size=crop.size[0],
        scale=tuple(crop.scale),
        ratio=tuple(crop.ratio),
        flip_probability=found[v2.RandomHorizontalFlip].p,
        jitter_probability=applied.p,
        brightness=_range(jitter.brightness, 1.0),
        contrast=_range(jitter.contrast, 1.0),
        saturation=_range(jitter.saturation, 1.0),
        hue=_range(jitter.hue, 0.0),
        grey_probability=found[v2.RandomGrayscale].p,
        blur_probability=blur.prob,
        blur_sigmas=tuple(blur.sigmas),
        mean=tuple(scaled.get("mean", (0.0, 0.0, 0.0))),
        std=tuple(scaled.get("std", (1.0, 1.0, 1.0))),
    )


def _range(drawn_from: Any, neutral: float) -> tuple[float, float]:
    """Torchvision's range, None where it changes nothing."""
    low, high = drawn_from or (neutral, neutral)
    return float(low), float(high)
