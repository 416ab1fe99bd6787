"""The masked form of any two-view method: query-only masking, no hard negatives."""

from __future__ import annotations

from typing import Any

from salmask_plugin.adapters.solo_learn.mixin import SaliencyMaskingMixin


def masked(method: type) -> Any:
    """Return a subclass of a solo-learn method that trains on masked views."""
    name = f"Salmask{method.__name__}"
    document = f"{method.__name__} with masked views; see SaliencyMaskingMixin."
    return type(name, (SaliencyMaskingMixin, method), {"__doc__": document, "__module__": __name__})
