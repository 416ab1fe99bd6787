"""What a CPU trains fastest with: bfloat16 where it computes in it, and channels last."""

from __future__ import annotations

import torch

from salmask_plugin.lab.results.environment import usable_cores

BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")
"""Names under which torch lists instructions for bfloat16: x86's two, and ARM's."""


def fastest_precision(accelerator: str) -> str:
    """Return Lightning's name of the precision that small ConvNets train fastest in on a CPU.

    "bf16-mixed" where the processor has instructions for it, else "32-true", which it is on a GPU
    too: there the paper's precision is not given up for speed unasked.

    Args:
        accelerator: of Lightning's Trainer.
    """
    return "bf16-mixed" if on_cpu(accelerator) and computes_bfloat16() else "32-true"


def fastest_memory_format(accelerator: str) -> str:
    """Return "channels_last" on a CPU, else "contiguous"."""
    return "channels_last" if on_cpu(accelerator) else "contiguous"


def on_cpu(accelerator: str) -> bool:
    """Whether Lightning's Trainer would train on the CPU."""
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is slow."""
    return any(torch.cpu.get_capabilities().get(name, False) for name in BFLOAT16)


def at_most_cores(wanted: int) -> int:
    """Return how many workers a loader has by default: ``wanted``, or one for each core here.

    Raises:
        ValueError: if it is negative.
    """
    if wanted < 0:
        raise ValueError(f"at_most_cores:{wanted} must be at least 0.")
    return min(wanted, usable_cores())
