"""Draw docs/images/architecture.svg from the imports of the code.

    python integration/architecture/picture.py

A box is a room, an arrow goes from the room that imports to the one that is imported. A room stands
as high as its longest way down; an arrow that follows from others is left out.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "salmask_plugin"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
DOORS = ("data", "evaluation", "results")
SMALL = ("__init__", "errors", "durations", "long_work")
CORE = (
    *("types", "precision", "running_statistics", "seeding", "file_names", "json_files"),
    *(
        "filters",
        "masks",
        "fills",
        "losses",
        "localizers",
        "masking",
        "sparse",
        "warm_up",
        "mixtures",
        "checks",
        "module_modes",
        "negatives",
        "crops",
        "released",
        "__init__",
    ),
)


def room(parts: tuple[str, ...]) -> str:
    """Return the room of a module; the core is one."""
    if parts[0] == "lab" and len(parts) > 1:
        return (
            ""
            if parts[1] in ("__init__", "errors", "durations", "long_work")
            else f"lab/{parts[1]}"
        )
    return "core" if parts[0] in CORE else "" if parts[0] in DOORS else parts[0]


def arrows() -> dict[str, set[str]]:
    """Return room -> the rooms it imports, from the source alone."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        own = room(path.relative_to(PACKAGE).with_suffix("").parts)
        if not own or not path.is_relative_to(PACKAGE):
            continue
        found[own] |= set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "salmask_plugin"
            ):
                parts = tuple((node.module or "").split(".")[1:]) or ("__init__",)
                if (other := room(parts)) and other != own:
                    found[own].add(other)
    return dict(found)


def heights(graph: dict[str, set[str]]) -> dict[str, int]:
    """Return how many rooms lie below each on its longest way down.

    Raises:
        ValueError: if rooms import each other in a circle.
    """
    found: dict[str, int] = {}
    while len(found) < len(graph):
        ready = [name for name in graph if name not in found and graph[name] <= found.keys()]
        if not ready:
            raise ValueError(f"a circle among {sorted(graph.keys() - found.keys())}")
        found |= {name: 1 + max((found[low] for low in graph[name]), default=-1) for name in ready}
    return found


def direct(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows that do not follow from others."""

    def below(name: str) -> set[str]:
        return set().union(*({low} | below(low) for low in graph[name])) if graph[name] else set()

    return {
        name: {low for low in lows if not any(low in below(other) for other in lows - {low})}
        for name, lows in graph.items()
    }


def text_of(graph: dict[str, set[str]]) -> str:
    """Return the arrows as a line each, which the picture carries along."""
    return "\n".join(f"{name} -> {' '.join(sorted(graph[name]))}" for name in sorted(graph))


def svg(graph: dict[str, set[str]]) -> str:
    """Return the picture."""
    height = heights(graph)
    levels: dict[int, list[str]] = defaultdict(list)
    for name in sorted(graph):
        levels[height[name]].append(name)
    width, step, box = 760, 64, (118, 30)
    tall = step * len(levels) + 20
    place = {
        name: (width * (at + 1) / (len(names) + 1), tall - 30 - step * level)
        for level, names in levels.items()
        for at, name in enumerate(names)
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" '
        'font-family="sans-serif" font-size="13">',
        f"<desc>{text_of(graph).replace('->', 'imports')}</desc>",
        f'<rect width="{width}" height="{tall}" fill="white"/>',
        '<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#888"/></marker></defs>',
    ]
    for name, lows in direct(graph).items():
        for low in sorted(lows):
            (x, y), (u, v) = place[name], place[low]
            start, end = f"{x:.0f},{y + box[1] / 2:.0f}", f"{u:.0f},{v - box[1] / 2:.0f}"
            bend = f"{x:.0f},{y + 40:.0f} {u:.0f},{v - 40:.0f}"
            lines.append(
                f'<path d="M{start} C{bend} {end}" fill="none" stroke="#888" '
                'marker-end="url(#tip)"/>'
            )
    for name, (x, y) in place.items():
        colour = "#fde8c8" if name.startswith("lab/") else "#d6e8fa"
        colour = "#e6e6e6" if name == "cli" else colour
        lines.append(
            f'<rect x="{x - box[0] / 2:.0f}" y="{y - box[1] / 2:.0f}" width="{box[0]}" '
            f'height="{box[1]}" rx="5" fill="{colour}" stroke="#555"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">{name}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(svg(arrows()), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}\n")
