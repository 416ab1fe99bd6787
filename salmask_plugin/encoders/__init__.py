"""Encoders of this package's own, for studies on a laptop; the paper's are ResNets."""

from salmask_plugin.encoders.small_convnet import SMALL_WIDTHS, SmallConvNet, small_convnet

__all__ = ["SMALL_WIDTHS", "SmallConvNet", "small_convnet"]
