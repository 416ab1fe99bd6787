"""Localizers: images in, saliency out."""

from salmask_plugin.localizers.bands import BandsLocalizer
from salmask_plugin.localizers.cached import CachedLocalizer
from salmask_plugin.localizers.center import CenterLocalizer
from salmask_plugin.localizers.given import GivenLocalizer
from salmask_plugin.localizers.mask_function import MaskFunctionLocalizer
from salmask_plugin.localizers.momentum import MomentumLocalizer
from salmask_plugin.localizers.permuted import PermutedLocalizer
from salmask_plugin.localizers.scda import SCDALocalizer
from salmask_plugin.localizers.uniform import UniformLocalizer

__all__ = [
    "BandsLocalizer",
    "CachedLocalizer",
    "CenterLocalizer",
    "GivenLocalizer",
    "MaskFunctionLocalizer",
    "MomentumLocalizer",
    "PermutedLocalizer",
    "SCDALocalizer",
    "UniformLocalizer",
]
