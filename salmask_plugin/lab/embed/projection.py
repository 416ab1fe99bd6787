"""Features in two dimensions, so that they can be looked at."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.checks import check_choice

Method = Literal["auto", "pca", "umap"]
ENOUGH = 16
"""Pictures below which neighbourhoods say too little for UMAP."""


@dataclass(frozen=True)
class Projection:
    """Points in the plane.

    Attributes:
        points: (N, 2) float32.
        method: "pca" or "umap".
        words: what it is, for a title.
    """

    points: NDArray[np.float32]
    method: str
    words: str


def unit_rows(features: NDArray[Any]) -> NDArray[np.float64]:
    """Return features (N, D) at length 1, so that products of them are cosines.

    Features of length 0 stay 0.
    """
    values = features.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: NDArray[np.float64] = values / np.where(lengths > 0, lengths, 1)
    return unit


def project(features: NDArray[Any], method: Method = "auto") -> Projection:
    """Return features (N, D), N at least 2, in the plane; their lengths do not count.

    Args:
        features: one row per picture.
        method: "pca", "umap", or "auto": UMAP where umap-learn is installed and there are 16
            pictures, else PCA.

    Raises:
        ValueError: for an unknown method, or UMAP of too few pictures.
        ImportError: for UMAP without umap-learn.
    """
    chosen = _pca if chosen_method(method, len(features)) == "pca" else _umap
    return chosen(unit_rows(features))


def chosen_method(method: Method, count: int) -> Literal["pca", "umap"]:
    """Return what projects the features of ``count`` pictures; what it needs is there.

    Args:
        method: see :func:`project`.
        count: of pictures.

    Raises:
        ValueError: for an unknown method, or UMAP of too few pictures.
        ImportError: for UMAP without umap-learn, or one that cannot be imported.
    """
    check_choice(method, "projection", Method)
    there = importlib.util.find_spec("umap") is not None
    enough = count >= ENOUGH
    if method == "pca" or (method == "auto" and not (there and enough)):
        return "pca"
    if not there:
        raise ImportError("projection=umap needs umap-learn: pip install umap-learn.")
    if not enough:
        raise ValueError(f"projection=umap needs {ENOUGH} pictures, not {count}; use pca.")
    importlib.import_module("umap")
    return "umap"


def _pca(unit: NDArray[np.float64]) -> Projection:
    centred = unit - unit.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    # An axis has no direction of its own: its largest loading points up, on every machine.
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    points = np.zeros((len(unit), 2), np.float32)
    axes = min(2, len(sizes))
    points[:, :axes] = (left * sizes * signs)[:, :axes]
    total = float((sizes**2).sum())
    share = float((sizes[:2] ** 2).sum()) / total if total > 0 else 0.0
    return Projection(points, "pca", f"PCA, its first two axes hold {share:.0%} of the variance")


def _umap(unit: NDArray[np.float64]) -> Projection:
    umap = importlib.import_module("umap")
    mapped = umap.UMAP(
        n_neighbors=min(15, len(unit) - 1), metric="cosine", random_state=0, n_jobs=1
    ).fit_transform(unit)
    return Projection(np.asarray(mapped, np.float32), "umap", "UMAP of the cosines, seed 0")
