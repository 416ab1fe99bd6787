"""Pictures with those that an encoder finds most alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.lab.data import LabelledImages
from salmask_plugin.lab.embed.picture import thumbnail
from salmask_plugin.lab.embed.projection import unit_rows
from salmask_plugin.lab.results.drawing import drawing, new_figure, to_png
from salmask_plugin.lab.results.escaping import shown

QUERIES, NEAREST = 8, 6
SIDE = 160
"""Pixels of a picture's side."""
LONGEST = 18
"""Signs of a file's name."""


def nearest(features: NDArray[Any], query: int, count: int) -> list[tuple[int, float]]:
    """Return (index, cosine) of the ``count`` rows of (N, D) most like row ``query``, not itself.

    Of equals the first come first.
    """
    unit = unit_rows(features)
    cosines = unit @ unit[query]
    cosines[query] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(count, len(cosines) - 1)]
    return [(int(index), float(cosines[index])) for index in order]


def draw_neighbours(images: LabelledImages, names: Sequence[str], features: NDArray[Any]) -> bytes:
    """Return a PNG: up to eight pictures, spread over the folder, each with its six nearest.

    Args:
        images: N pictures, at least 2.
        names: of their files.
        features: (N, D); compared by the cosine, which stands below each neighbour.
    """
    queries = sorted(set(np.linspace(0, len(images) - 1, QUERIES).round().astype(int).tolist()))
    count = min(NEAREST, len(images) - 1)
    with drawing():
        figure = new_figure(1.32 * len(queries) + 0.5, 1.25 * (count + 1) + 0.4)
        grid = figure.subplots(len(queries), count + 1, squeeze=False)
        for row, query in zip(grid, queries, strict=True):
            name = shown(PurePosixPath(names[query]).name)
            short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
            shown_here = [(query, short)]
            shown_here += [(i, f"{cosine:.3f}") for i, cosine in nearest(features, query, count)]
            for axes, (index, text) in zip(row, shown_here, strict=True):
                axes.imshow(thumbnail(images[index][0], SIDE))
                axes.set_xlabel(text, fontsize=8)
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                for spine in axes.spines.values():
                    spine.set_visible(index == query)
        figure.suptitle("left: a picture; right: the most alike, by the cosine of their features")
        return to_png(figure)
