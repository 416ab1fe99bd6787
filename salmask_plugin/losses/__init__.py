"""Losses that take hard negatives."""

from salmask_plugin.losses.info_nce import (
    InfoNCELoss,
    add_hard_negatives,
    hard_similarity,
    info_nce,
    join_hard_negatives,
)
from salmask_plugin.losses.queue import NegativeQueue

__all__ = [
    "InfoNCELoss",
    "NegativeQueue",
    "add_hard_negatives",
    "hard_similarity",
    "info_nce",
    "join_hard_negatives",
]
