"""Pictures, whole and partly hidden, with what a classifier says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salmask_plugin.lab.results.display import Array
from salmask_plugin.lab.results.drawing import WIDTH, drawing, new_figure, to_png

RIGHT, WRONG = "#007a52", "#b33c00"
_LONGEST = 18


@dataclass(frozen=True, eq=False)
class GuessRow:
    """One picture under every condition.

    Args:
        pictures: (H, W, 3) uint8, one a column.
        guesses: the class that is said, one a column.
        label: the picture's class.
    """

    pictures: Sequence[Array]
    guesses: Sequence[str]
    label: str


def draw_guesses(columns: Sequence[str], rows: Sequence[GuessRow], *, title: str = "") -> bytes:
    """Draw a row of pictures per image; below each what is said, marked as right or wrong.

    Args:
        columns: title of each column.
        rows: at least one, each with as many pictures and guesses as there are columns.
        title: above the figure.

    Returns:
        A PNG.

    Raises:
        ValueError: if there is no row, or one has another number of pictures or guesses.
    """
    if not rows:
        raise ValueError("rows is empty; a gallery needs at least one picture.")
    for row in rows:
        if not len(row.pictures) == len(row.guesses) == len(columns):
            raise ValueError(
                f"A row has {len(row.pictures)} pictures and {len(row.guesses)} guesses; "
                f"there are {len(columns)} columns."
            )
    side = WIDTH / len(columns)
    with drawing():
        figure = new_figure(0.7 + len(rows) * (side + 0.15))
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        for row, line in zip(rows, axes, strict=True):
            for picture, guess, axis in zip(row.pictures, row.guesses, line, strict=True):
                axis.imshow(picture)
                axis.grid(False)
                axis.set(xticks=[], yticks=[])
                right = guess == row.label
                axis.set_xlabel(
                    f"{'✓' if right else '✗'} {_short(guess)}", color=RIGHT if right else WRONG
                )
            line[0].set_ylabel(_short(row.label))
        for name, axis in zip(columns, axes[0], strict=True):
            axis.set_title(name)
        if title:
            figure.suptitle(title)
        return to_png(figure)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
