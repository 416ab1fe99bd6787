"""ADIOS, the learned occlusion baseline: an occlusion model plays against the encoder."""

from salmask_plugin.adios.accumulation import accumulate, frozen
from salmask_plugin.adios.masking import (
    all_slots,
    mask_areas,
    occlude,
    random_slots,
    select_masks,
    soft_masks,
)
from salmask_plugin.adios.objective import (
    area_entropy,
    moco_occluder_term,
    moco_term,
    nt_xent,
    occluder_regularizer,
    sparsity_penalty,
)
from salmask_plugin.adios.occlusion import OcclusionModel

__all__ = [
    "OcclusionModel",
    "accumulate",
    "all_slots",
    "area_entropy",
    "frozen",
    "mask_areas",
    "moco_occluder_term",
    "moco_term",
    "nt_xent",
    "occlude",
    "occluder_regularizer",
    "random_slots",
    "select_masks",
    "soft_masks",
    "sparsity_penalty",
]
