"""Fills: images in, replacement content for the whole image out."""

from salmask_plugin.fills.blur import BlurFill
from salmask_plugin.fills.mean import MeanFill
from salmask_plugin.fills.mixture import FillMixture
from salmask_plugin.fills.noise import NoiseFill
from salmask_plugin.fills.other_image import OtherImageFill
from salmask_plugin.fills.tile import TileFill
from salmask_plugin.fills.unseen import UnseenFill

__all__ = [
    "BlurFill",
    "FillMixture",
    "MeanFill",
    "NoiseFill",
    "OtherImageFill",
    "TileFill",
    "UnseenFill",
]
