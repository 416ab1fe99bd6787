"""What was measured, as one page: kept studies with their records, tables, figures and words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salmask_plugin.results.compare import compare
from salmask_plugin.results.curves import accuracy_curves, loss_curves
from salmask_plugin.results.estimate import rows_markdown
from salmask_plugin.results.grouping import Conditions
from salmask_plugin.results.paired import Arm, Paired, arms_of, orders, paired
from salmask_plugin.results.paired_dots import paired_dots
from salmask_plugin.results.record import RunRecord
from salmask_plugin.results.statistics import summarize
from salmask_plugin.results.store import RecordError, read_record
from salmask_plugin.results.text import NOTHING

TEXT, RECORDS, MARK = "study.md", "records", "{{results}}"
METRICS = (("linear", "top1_last", "linear top-1 (%)"), ("knn", "top1", "kNN top-1 (%)"))
INTERVAL = "95 % interval of the paired differences over seeds, Student's t"


@dataclass(frozen=True)
class Page:
    """The page and its pictures.

    Attributes:
        markdown: of the whole page.
        figures: path relative to the folder of studies -> PNG.
    """

    markdown: str
    figures: Mapping[str, bytes]


def evidence_page(folder: Path, *, baseline: str = "none") -> Page:
    """Compose the page of all studies below ``folder``, in the order of their names.

    ``folder/study.md`` opens the page. A study is a folder with a ``study.md``, whose line
    ``{{results}}`` is replaced by what its ``records/*.json`` say; one without records has no such
    line. Its links are relative to its own folder and are made relative to the page's. The same
    files give the same page.

    Raises:
        ValueError: if a text is missing, a record cannot be read, or line and records do not match.
    """
    parts = [_read(folder / TEXT)]
    figures: dict[str, bytes] = {}
    for study in sorted(path for path in folder.iterdir() if path.is_dir()):
        text, records = _rebased(_read(study / TEXT), study, folder), _records(study)
        if (MARK in text) != bool(records):
            raise ValueError(
                f"{study / TEXT} must have the line {MARK} if and only if there are records in "
                f"{study / RECORDS}; it has {len(records)}."
            )
        if records:
            results, drawn = study_results(records, study.name, baseline=baseline)
            text = text.replace(MARK, results)
            figures |= drawn
        parts.append(text)
    return Page("\n\n".join(part.strip() for part in parts) + "\n", figures)


def _rebased(text: str, study: Path, folder: Path) -> str:
    """The text with its relative links as they are from the page beside ``folder``."""

    def moved(link: re.Match[str]) -> str:
        path, mark, anchor = link[1].partition("#")
        target = os.path.relpath(study / path, folder.parent).replace(os.sep, "/")
        target = "" if mark and target == f"{folder.name}.md" else target
        return f"]({target}{mark}{anchor})"

    return _LINK.sub(moved, text)


_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def study_results(
    records: Sequence[RunRecord], name: str, *, baseline: str
) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown and the figures of one study, these by their path below its folder."""
    arms = arms_of(records, baseline)
    figures: dict[str, bytes] = {}
    blocks = [
        _settings(records),
        _table(arms),
        f"± is the sample standard deviation, or the {INTERVAL}.",
    ]
    blocks += [*_decided(arms), *_orders(arms)]
    pictures = {"differences": paired_dots(arms, METRICS)}
    table = max(compare(records, baseline=baseline).tables, key=lambda table: len(table.rows))
    pictures |= {"loss": loss_curves(table), "probe": accuracy_curves(table)}
    for title, png in pictures.items():
        if png is not None:
            path = f"{name}/{title}.png"
            figures[path] = png
            blocks.append(f"![{_CAPTIONS[title]}](results/{path})")
    return "\n\n".join(blocks), figures


_CAPTIONS = {
    "differences": f"Differences to the baseline: seeds as dots, mean with the {INTERVAL}",
    "loss": "Pretraining loss over epochs; with hard negatives it has another scale than without",
    "probe": "Accuracy of the linear classifier over its epochs",
}


def _settings(records: Sequence[RunRecord]) -> str:
    conditions = dict.fromkeys(Conditions.of(record).title for record in records)
    methods = dict.fromkeys(
        f"{run.host} {run.method}, batch {run.batch_size}, "
        + (f"queue {run.queue_size}, " if run.queue_size is not None else "")
        + f"temperature {run.temperature:g}, "
        + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run.optimizer.items())
        for run in records
    )
    localizers = dict.fromkeys(
        f"{run.localizer} ({run.localizer_trained_on})"
        for run in records
        if run.localizer != "none"
    )
    protocols = dict.fromkeys(
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in evaluation.protocol.items())
        for run in records
        for name, evaluation in run.evaluations.items()
    )
    machines = dict.fromkeys(
        f"{run.environment.device}, torch {run.environment.versions.get('torch', 'unknown')}, "
        f"commit {run.environment.commit or 'unknown'}"
        for run in records
    )
    titled = {
        "Images": conditions,
        "Training": methods,
        "Saliency": localizers,
        "Evaluation": protocols,
        "Machine": machines,
    }
    return "\n".join(f"- {title}: {'; '.join(texts)}." for title, texts in titled.items() if texts)


def _table(arms: Sequence[Arm]) -> str:
    titles = ["row", "epochs", "seeds"]
    for _, _, title in METRICS:
        titles += [title, "vs baseline"]
    titles += ["minutes", "time ratio"]
    base = arms[0]
    rows = []
    for arm in arms:
        cells = [arm.name, str(arm.epochs), str(len(arm.runs))]
        for evaluation, metric, _ in METRICS:
            values = arm.values(evaluation, metric)
            found = None if arm is base else paired(values, base.values(evaluation, metric))
            cells += [_mean(list(values.values())), paired_text(found)]
        minutes, reference = _minutes(arm), _minutes(base)
        ratio = f"{minutes / reference:.2f}" if minutes and reference else NOTHING
        cells += [f"{minutes:.1f}" if minutes else NOTHING, ratio]
        rows.append(cells)
    return rows_markdown(titles, rows, left=1)


def _decided(arms: Sequence[Arm]) -> list[str]:
    """Say which rows the seeds tell from the baseline, and which they do not."""
    texts = []
    for evaluation, metric, title in METRICS:
        found: dict[str, list[str]] = {"above": [], "below": [], "undecided": []}
        for arm in arms[1:]:
            difference = paired(arm.values(evaluation, metric), arms[0].values(evaluation, metric))
            if difference is not None:
                found[difference.verdict].append(arm.name)
        if any(found.values()):
            said = [f"{key}: {', '.join(names) or 'none'}" for key, names in found.items()]
            texts.append(
                f"By {title.removesuffix(' (%)')} against the baseline, {'; '.join(said)}."
            )
    return texts


def _orders(arms: Sequence[Arm]) -> list[str]:
    evaluation, metric, title = METRICS[0]
    rows = [
        [
            order.title.removesuffix(" (%)"),
            f"{order.row} - {order.reference}",
            f"{order.reported:+.2f}",
            paired_text(order.found),
            order.verdict,
        ]
        for order in orders(arms, evaluation, metric)
    ]
    if not rows:
        return []
    table = rows_markdown(
        ["paper", "rows", "its difference", f"ours, {title}", "order"], rows, left=2
    )
    return ["The order that the paper reports, and ours:", table]


def paired_text(found: Paired | None) -> str:
    """Return "+1.20 ± 0.80" in percentage points; one seed gives no interval."""
    if found is None:
        return NOTHING
    interval = "" if found.interval is None else f" ± {100 * found.interval:.2f}"
    return f"{100 * found.mean:+.2f}{interval}"


def _mean(values: Sequence[float]) -> str:
    if not values:
        return NOTHING
    summary = summarize(values)
    spread = "" if summary.spread is None else f" ± {100 * summary.spread:.2f}"
    return f"{100 * summary.mean:.2f}{spread}"


def _minutes(arm: Arm) -> float | None:
    seconds = [run.timing.pretrain_seconds for run in arm.runs.values()]
    known = [value / 60 for value in seconds if value is not None]
    return summarize(known).mean if known else None


def _records(study: Path) -> list[RunRecord]:
    try:
        return [read_record(path) for path in sorted((study / RECORDS).glob("*.json"))]
    except RecordError as error:
        raise ValueError(str(error)) from error


def _read(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path} is missing: every study says in words what it is.")
    return path.read_text(encoding="utf-8")
