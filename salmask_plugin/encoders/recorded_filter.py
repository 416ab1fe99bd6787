"""The view filter that a Lightning checkpoint of ours says it was trained behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from salmask_plugin.json_files import FILTER

VIEW_FILTER = "salmask_view_filter"
"""Key of a checkpoint: [taps, sigma], or None for no filter."""
STEP = "salmask_batches_seen"
CALLBACK = "SaliencyMaskingCallback"
Kernel = tuple[int, float]


def recorded_filter(file: Path) -> Kernel | str | None:
    """Return (taps, sigma), None for no filter, or why it cannot be told.

    The reason is "" for a checkpoint that no masking of ours wrote: there is no filter, as far as
    its file knows.
    """
    if file.suffix == ".safetensors":
        return ""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # whatever is wrong with the file is said when its weights are read
        return ""
    if not isinstance(content, Mapping):
        return ""
    callbacks = content.get("callbacks")
    named = callbacks if isinstance(callbacks, Mapping) else {}
    states: list[Any] = [content] if STEP in content else []
    states += [state for key, state in named.items() if str(key).startswith(CALLBACK)]
    for state in states:
        kernel = "an unrecorded filter or none"
        if isinstance(state, Mapping):
            kernel = state.get(VIEW_FILTER, kernel)
        if not (kernel is None or isinstance(kernel, str) or _is_filter(kernel)):
            raise ValueError(f"{file}: {VIEW_FILTER} must be [taps, sigma] or None.")
        if isinstance(kernel, str):
            return (
                f"{file} was trained with masking behind {kernel}; say "
                "view_filter=HighPassFilter(kernel_size=..., sigma=...) or None, and put a filter "
                "of another kind before .network yourself."
            )
        return None if kernel is None else (int(kernel[0]), float(kernel[1]))
    return ""


def _is_filter(kernel: Any) -> bool:
    return (
        isinstance(kernel, list | tuple)
        and len(kernel) == 2
        and all(FILTER[key].fits(value) for key, value in zip(FILTER, kernel, strict=True))
    )
