"""Mask samplers: saliency in, boolean mask out (True = masked)."""

from salmask_plugin.masks.background import BackgroundMask
from salmask_plugin.masks.block import BlockMask
from salmask_plugin.masks.cells import foreground
from salmask_plugin.masks.focal import FocalMask
from salmask_plugin.masks.grid import GridMask
from salmask_plugin.masks.matched import MatchedMask
from salmask_plugin.masks.mixture import MaskMixture
from salmask_plugin.masks.systematic import SystematicMask
from salmask_plugin.masks.top import TopMask

__all__ = [
    "BackgroundMask",
    "BlockMask",
    "FocalMask",
    "GridMask",
    "MaskMixture",
    "MatchedMask",
    "SystematicMask",
    "TopMask",
    "foreground",
]
