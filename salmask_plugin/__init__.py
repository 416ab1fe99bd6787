"""Saliency-guided masking for contrastive self-supervised learning on ConvNets."""

from salmask_plugin.fills import BlurFill, MeanFill, NoiseFill, OtherImageFill, TileFill, UnseenFill
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
    "FocalMask",
    "GivenLocalizer",
    "GridMask",
    "HighPassFilter",
    "InfoNCELoss",
    "MaskFunctionLocalizer",
    "MaskMixture",
    "MaskedViews",
    "Masking",
    "MatchedMask",
    "MeanFill",
    "MomentumLocalizer",
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
