"""Localizers: images in, saliency out."""

from salmask_plugin.localizers.scda import SCDALocalizer
from salmask_plugin.localizers.uniform import UniformLocalizer

__all__ = ["SCDALocalizer", "UniformLocalizer"]
