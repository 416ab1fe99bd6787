"""A study's report on disk: Markdown with figures beside it, and one self-contained HTML file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmask_plugin.file_names import refuse_link_out
from salmask_plugin.lab.results.comparison import ExtraColumns, compare
from salmask_plugin.lab.results.escaping import escape_block, escape_markdown, printable, shown
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.report_parts import Content, build
from salmask_plugin.lab.results.store import read_regular, shorten_text, write_atomically
from salmask_plugin.lab.results.text import to_csv, to_latex

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_PICTURE = 64 * 2**20
_OWN_FIGURE = re.compile(r"(table\d+|gallery)-\d+-[a-z0-9-]*\.(png|svg|pdf)")
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ReportPaths:
    """The files of a report.

    Attributes:
        html: self-contained; can be mailed or opened from anywhere.
        markdown: refers to the figures beside it.
        csv: the tables for programs.
        figures: the PNG files.
        vectors: the figures as SVG and PDF, beside these.
        latex: the tables for a paper.
    """

    html: Path
    markdown: Path
    csv: Path
    figures: tuple[Path, ...]
    vectors: tuple[Path, ...]
    latex: Path


def write_report(
    folder: Path | str,
    records: Sequence[RunRecord],
    *,
    galleries: Mapping[str, bytes | Path] | None = None,
    title: str = "Saliency masking: comparison",
    notes: Sequence[str] = (),
    baseline: str = "none",
    extra_columns: ExtraColumns | None = None,
) -> ReportPaths:
    """Write ``report.html``, ``report.md``, ``table.csv``, ``table.tex`` and ``figures/``.

    The same arguments give the same files: there is no date in them but the runs' own.

    Args:
        folder: of the files; is made if missing; an earlier report in it is replaced.
        records: of any host; may be one, may lack evaluations.
        galleries: title -> PNG, as bytes or as a file.
        title: of the report.
        notes: further sentences, such as the problems of :func:`load_records`.
        baseline: recipe of the baseline rows.
        extra_columns: further columns of text in the tables.

    Raises:
        ValueError: if a gallery is no PNG.
        OSError: if a gallery cannot be read or a file cannot be written.
    """
    folder = Path(folder)
    pictures = {name: _png(name, picture) for name, picture in (galleries or {}).items()}
    records, title = [printable(record) for record in records], shown(title)
    baseline = shown(baseline)
    pictures = {shown(name): picture for name, picture in pictures.items()}
    texts = [shown(shorten_text(text)) for text in notes]
    content = build(records, pictures, title, texts, baseline, extra_columns)
    figures, vectors = _write_figures(folder, content)
    names = {title: f"figures/{path.name}" for title, path in figures.items()}
    html, markdown, table = folder / "report.html", folder / "report.md", folder / "table.csv"
    write_atomically(html, _render("report.html.j2", content, names, autoescape=True))
    write_atomically(markdown, _render("report.md.j2", content, names, autoescape=False))
    comparison = compare(records, baseline=baseline, extra_columns=extra_columns)
    write_atomically(table, to_csv(comparison).encode())
    latex = folder / "table.tex"
    write_atomically(latex, to_latex(comparison).encode())
    return ReportPaths(html, markdown, table, tuple(figures.values()), vectors, latex)


def png_of(picture: bytes | Path) -> bytes:
    """Return a PNG's bytes.

    Raises:
        ValueError: if it is none.
        OSError: if the file cannot be read, is no regular file or too large.
    """
    largest = LARGEST_PICTURE
    content = picture if isinstance(picture, bytes) else read_regular(Path(picture), largest)
    if not content.startswith(_PNG_SIGNATURE):
        raise ValueError("it is not a PNG picture.")
    return content


def _png(name: str, picture: bytes | Path) -> bytes:
    try:
        return png_of(picture)
    except ValueError as error:
        raise ValueError(f"galleries[{name!r}]: {error}") from error


def _write_figures(folder: Path, content: Content) -> tuple[dict[int, Path], tuple[Path, ...]]:
    """Write every picture, drop those of an earlier report.

    Returns:
        id(figure) -> path of the PNG, and the paths of the other formats.
    """
    groups = [
        (f"table{index}", section.figures)
        for index, section in enumerate(content.sections, start=1)
    ]
    refuse_link_out(folder, folder / "figures")
    written: dict[int, Path] = {}
    vectors: list[Path] = []
    for group, figures in (*groups, ("gallery", content.galleries)):
        for place, figure in enumerate(figures, start=1):
            name = re.sub(r"[^a-z0-9]+", "-", figure.title.lower()).strip("-")[:40]
            path = folder / "figures" / f"{group}-{place}-{name}.png"
            write_atomically(path, figure.png)
            written[id(figure)] = path
            for kind, drawn in figure.vectors.items():
                vectors.append(path.with_suffix(f".{kind}"))
                write_atomically(vectors[-1], drawn)
    for path in (folder / "figures").glob("*"):
        if _OWN_FIGURE.fullmatch(path.name) and path not in (*written.values(), *vectors):
            path.unlink()
    return written, tuple(vectors)


def _render(
    template: str, content: Content, paths: Mapping[int, str], *, autoescape: bool
) -> bytes:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        # Names of runs, classes and files come from outside: nothing in them is markup.
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "md": escape_markdown,
        "block": escape_block,
        "base64": lambda png: base64.b64encode(png).decode(),
        "path": lambda figure: paths[id(figure)],
        "fenced": _fenced,
    }
    environment.filters.update(filters)
    return environment.get_template(template).render(content=content).encode()


def _fenced(text: str) -> str:
    """Return a Markdown code block that the text itself cannot close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}json\n{text}\n{fence}"
