"""Losses that take hard negatives."""

from salmask_plugin.losses.info_nce import (
    InfoNCELoss,
    add_hard_negatives,
    hard_similarity,
    info_nce,
)

__all__ = ["InfoNCELoss", "add_hard_negatives", "hard_similarity", "info_nce"]
