"""Localizers: images in, saliency out."""

from salmask_plugin.localizers.uniform import UniformLocalizer

__all__ = ["UniformLocalizer"]
