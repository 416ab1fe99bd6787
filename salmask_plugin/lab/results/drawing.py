"""How every figure of a report looks: fonts, colours, size; and a figure as PNG, SVG or PDF."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.results.table import Row, Table

WIDTH = 9.0
"""Inches; with DPI, figures are 1350 pixels wide: sharp at the 900 pixels they are shown at."""
DPI = 150
BASELINE_COLOUR = "#4d4d4d"
# Okabe and Ito's colours, told apart with every common colour vision deficiency; without the
# yellow, which is too pale on white, and without the black, which is the baseline's grey here.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
KNOWN = ("mean", "blur", "highpass", "random", "label_free", "untrained")
"""Recipes with a colour of their own: that of the same place in the palette."""
LARGE = 14.0
"""Points of the text in figures of few panels: legible where they are shown 400 pixels wide."""
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P")

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    # Names come from the user's files: a dollar sign in one is no formula.
    "text.parse_math": False,
    # Names of an SVG's parts: the same figure gives the same file.
    "svg.hashsalt": "salmask",
}
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What says when and by what a figure was drawn is left out."""
VECTORS = ("svg", "pdf")


@contextmanager
def drawing(size: float = 10.0) -> Iterator[None]:
    """Draw in the report's style; the user's own matplotlib settings come back afterwards.

    Args:
        size: of the text, in points; titles are a point larger.
    """
    import matplotlib

    with matplotlib.rc_context({**_RC, "font.size": size, "axes.titlesize": size + 1}):
        yield


def new_figure(height: float, width: float = WIDTH, *, constrained: bool = True) -> Any:
    """Return an empty figure, in inches, that no window and no global list knows about."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained" if constrained else None)


def to_png(figure: Any) -> bytes:
    """Return a figure as PNG. The same figure gives the same bytes."""
    return rendered(figure, "png")


def rendered(figure: Any, kind: str) -> bytes:
    """Return a figure as "png", "svg" or "pdf". The same figure gives the same bytes."""
    from matplotlib.text import Text

    out = io.BytesIO()
    with drawing():
        # Class and file names come from anywhere; a font has no shape for half of a sign.
        for text in figure.findobj(Text):
            text.set_text(shown(text.get_text(), breaks=True))
        figure.savefig(out, format=kind, metadata=_METADATA[kind])
    # Laid out once: finding the room that texts need is most of the work.
    figure.set_layout_engine("none")
    return out.getvalue()


def colours(recipes: Iterable[str]) -> dict[str, str]:
    """Return recipe -> colour.

    Known recipes have a colour of their own, in every figure of every report. Others share what is
    left; the same recipes give the same colours.
    """
    names = sorted(set(recipes))
    own = {name: PALETTE[KNOWN.index(name)] for name in names if name in KNOWN}
    left = [colour for colour in PALETTE if colour not in own.values()] or list(PALETTE)
    others = [name for name in names if name not in own]
    found = own | {name: left[place % len(left)] for place, name in enumerate(others)}
    return {name: found[name] for name in names}


def line_styles(table: Table) -> dict[str, dict[str, Any]]:
    """Return row name -> colour, dash and marker; a recipe has one colour in all tables.

    Rows of one recipe, and recipes of one colour, differ in dash and marker.
    """
    colour = colours(table.recipes)
    recipes = {row.name: row.setting.recipe for row in table.rows if not row.is_baseline}
    styles: dict[str, dict[str, Any]] = {}
    for name, recipe in recipes.items():
        earlier = list(colour)[: list(colour).index(recipe)]
        alike = sum(colour[other] == colour[recipe] for other in earlier)
        alike += sum(recipes[other] == recipe for other in styles)
        styles[name] = {
            "color": colour[recipe],
            "linestyle": _DASHES[alike % len(_DASHES)],
            "marker": _MARKERS[(PALETTE.index(colour[recipe]) + alike) % len(_MARKERS)],
        }
    baselines = dict.fromkeys(row.name for row in table.rows if row.is_baseline)
    for index, name in enumerate(baselines):
        dash = _DASHES[index % len(_DASHES)]
        styles[name] = {"color": BASELINE_COLOUR, "linestyle": dash, "marker": "X"}
    return styles


def families(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return "host, method" -> rows, in the table's order: one panel each."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row.setting.host}, {row.setting.method}", []).append(row)
    return found
