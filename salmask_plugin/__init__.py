"""Saliency-guided masking for contrastive self-supervised learning on ConvNets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmask_plugin.crops import GuidedCrops
    from salmask_plugin.fills import (
        BlurFill,
        FillMixture,
        MeanFill,
        NoiseFill,
        OtherImageFill,
        TileFill,
        UnseenFill,
    )
    from salmask_plugin.filters import HighPassFilter
    from salmask_plugin.localizers import (
        BandsLocalizer,
        CachedLocalizer,
        CenterLocalizer,
        GivenLocalizer,
        MaskFunctionLocalizer,
        MomentumLocalizer,
        PermutedLocalizer,
        SCDALocalizer,
        UniformLocalizer,
    )
    from salmask_plugin.losses import InfoNCELoss, info_nce
    from salmask_plugin.masking import Masking, SaliencyMasking
    from salmask_plugin.masks import (
        BackgroundMask,
        BlockMask,
        FocalMask,
        GridMask,
        MaskMixture,
        MatchedMask,
        SystematicMask,
        TopMask,
        foreground,
    )
    from salmask_plugin.negatives import NegativeEncoding
    from salmask_plugin.seeding import step_generator
    from salmask_plugin.sparse import visible_only
    from salmask_plugin.types import MaskedViews

__version__ = "0.1.0"

__all__ = [
    "BackgroundMask",
    "BandsLocalizer",
    "BlockMask",
    "BlurFill",
    "CachedLocalizer",
    "CenterLocalizer",
    "FillMixture",
    "FocalMask",
    "GivenLocalizer",
    "GridMask",
    "GuidedCrops",
    "HighPassFilter",
    "InfoNCELoss",
    "MaskFunctionLocalizer",
    "MaskMixture",
    "MaskedViews",
    "Masking",
    "MatchedMask",
    "MeanFill",
    "MomentumLocalizer",
    "NegativeEncoding",
    "NoiseFill",
    "OtherImageFill",
    "PermutedLocalizer",
    "SCDALocalizer",
    "SaliencyMasking",
    "SystematicMask",
    "TileFill",
    "TopMask",
    "UniformLocalizer",
    "UnseenFill",
    "foreground",
    "info_nce",
    "step_generator",
    "visible_only",
]

_PLACES = {
    "crops": ("GuidedCrops",),
    "fills": (
        "BlurFill",
        "FillMixture",
        "MeanFill",
        "NoiseFill",
        "OtherImageFill",
        "TileFill",
        "UnseenFill",
    ),
    "filters": ("HighPassFilter",),
    "localizers": (
        "BandsLocalizer",
        "CachedLocalizer",
        "CenterLocalizer",
        "GivenLocalizer",
        "MaskFunctionLocalizer",
        "MomentumLocalizer",
        "PermutedLocalizer",
        "SCDALocalizer",
        "UniformLocalizer",
    ),
    "losses": (
        "InfoNCELoss",
        "info_nce",
    ),
    "masking": (
        "Masking",
        "SaliencyMasking",
    ),
    "masks": (
        "BackgroundMask",
        "BlockMask",
        "FocalMask",
        "GridMask",
        "MaskMixture",
        "MatchedMask",
        "SystematicMask",
        "TopMask",
        "foreground",
    ),
    "negatives": ("NegativeEncoding",),
    "seeding": ("step_generator",),
    "sparse": ("visible_only",),
    "types": ("MaskedViews",),
}
"""Module -> what of it is public here. Imported at first use: torch takes seconds, during which
`salmask --help` would wait, and Ctrl-C would end in a traceback, before the command has begun."""


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name == module or name in names:
            found = importlib.import_module(f"{__name__}.{module}")
            if name != module:
                globals()[name] = found = getattr(found, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PLACES})
