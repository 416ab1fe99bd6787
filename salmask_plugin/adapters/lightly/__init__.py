"""lightly as host: a loss, a callback for unmodified modules, and MoCo v2 and SimCLR modules."""

from salmask_plugin.adapters.lightly.backbone import resnet
from salmask_plugin.adapters.lightly.loss import HardNegativeNTXentLoss, LossStatistics
from salmask_plugin.adapters.lightly.moco import MaskedMoCoV2
from salmask_plugin.adapters.lightly.simclr import MaskedSimCLR

__all__ = ["HardNegativeNTXentLoss", "LossStatistics", "MaskedMoCoV2", "MaskedSimCLR", "resnet"]
