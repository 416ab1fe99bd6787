"""stable-pretraining as host: a callback for unmodified modules, and a loss with hard negatives."""

from salmask_plugin.adapters.stable_pretraining.callback import SaliencyMaskingCallback
from salmask_plugin.adapters.stable_pretraining.loss import HardNegativeNTXentLoss

__all__ = ["HardNegativeNTXentLoss", "SaliencyMaskingCallback"]
