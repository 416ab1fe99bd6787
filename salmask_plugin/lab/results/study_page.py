"""What the records of one study say: settings, primary comparisons, rows, orders and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from salmask_plugin.lab.results.arms import Arm, against, arms_of, orders
from salmask_plugin.lab.results.bars import Metric, paired_dots
from salmask_plugin.lab.results.baseline import mean_minutes, time_ratio
from salmask_plugin.lab.results.comparison import compare
from salmask_plugin.lab.results.curves import accuracy_curves, loss_curves, occlusion_curves
from salmask_plugin.lab.results.drawing import to_png
from salmask_plugin.lab.results.escaping import escape_markdown
from salmask_plugin.lab.results.gate import (
    AT_CHANCE,
    BELOW_GATE,
    Gate,
    guess_sentence,
    guesses,
    judge,
)
from salmask_plugin.lab.results.grid import NOTHING, Grid, difference_text, mean_text
from salmask_plugin.lab.results.grouping import Conditions, optimizer_of
from salmask_plugin.lab.results.hidden_pictures import hidden_metrics, hidden_table
from salmask_plugin.lab.results.metric_names import OCCLUSION
from salmask_plugin.lab.results.preregistered import primary_blocks
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.row_names import is_still
from salmask_plugin.lab.results.statistics import EXPLAINED
from salmask_plugin.lab.results.study import asked_gate
from salmask_plugin.lab.results.text import VS_BASELINE

METRICS = (
    ("linear", "top1_last", "linear top-1 (%)"),
    ("logistic", "top1", "logistic top-1 (%)"),
    ("knn", "top1", "kNN top-1 (%)"),
    (OCCLUSION, "top1_linear_anywhere_picture", "partly hidden, top-1 (%)"),
)
"""Shown where some run has them; the first of those is what orders are judged by."""


_COMMIT = 12
"""Signs of a commit that name it."""


def study_results(
    records: Sequence[RunRecord], name: str, *, baseline: str, folder: str = "results"
) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown and the figures of one study.

    Args:
        records: of the study.
        name: of its folder.
        baseline: the row that the others are compared with.
        folder: of the studies, as the page that stands beside it calls it.

    Returns:
        The text, and path below ``folder`` -> PNG.
    """
    arms = arms_of(records, baseline)
    metrics = [
        metric for metric in METRICS if any(arm.values(metric[0], metric[1]) for arm in arms)
    ]
    figures: dict[str, bytes] = {}
    hidden = hidden_metrics(arms, known=metrics)
    gate = judge(arms[0].runs, records, asked_gate(records))
    flags = _flags(arms, [*metrics, *hidden], gate)
    blocks = [_settings(records), *primary_blocks(records, baseline), _table(arms, metrics, flags)]
    blocks += [] if metrics else [_NOT_MEASURED]
    blocks += [f"SD: sample standard deviation over seeds. ±: {EXPLAINED}.", *_times(arms)]
    blocks += [] if gate is None else [escape_markdown(gate.sentence(arms[0].name))]
    blocks += [
        guess_sentence(evaluation, metric)
        for evaluation, metric, title in metrics
        if flags.get(title) == AT_CHANCE
    ]
    blocks += [*_decided(arms, metrics, flags), *_orders(arms, metrics, flags)]
    blocks += hidden_table(arms, hidden, flags)
    compared = _without_floor(arms)
    pictures = {
        title: paired_dots(compared, [metric for metric in shown if metric[2] not in flags])
        for title, shown in (("differences", metrics), ("hidden", hidden))
    }
    table = max(compare(records, baseline=baseline).tables, key=lambda table: len(table.rows))
    pictures |= {"loss": loss_curves(table), "probe": accuracy_curves(table)}
    pictures |= {"occlusion": occlusion_curves(table)}
    for title, picture in pictures.items():
        if picture is not None:
            path = f"{name}/{title}.png"
            figures[path] = to_png(picture)
            floor = _FLOOR if title == "differences" and len(compared) < len(arms) else ""
            blocks.append(f"![{_CAPTIONS[title]}{floor}]({quote(f'{folder}/{path}')})")
    return "\n\n".join(blocks), figures


def _flags(arms: Sequence[Arm], metrics: Sequence[Metric], gate: Gate | None) -> dict[str, str]:
    """Return title of a metric -> why its differences are not readable."""
    if gate is not None and not gate.passed:
        return {title: BELOW_GATE for _, _, title in metrics}
    runs = [run for arm in arms for run in arm.runs.values()]
    return {
        title: AT_CHANCE
        for evaluation, metric, title in metrics
        if guesses(runs, evaluation, metric)
    }


def _without_floor(arms: Sequence[Arm]) -> list[Arm]:
    """Leave out the untrained encoder, so far below that the other rows would be a line."""
    trained = [arm for arm in arms if not is_still(arm)]
    return trained if len(trained) > 1 else list(arms)


_FLOOR = "; the untrained encoder, far below, is in the table"
_CAPTIONS = {
    "differences": f"Differences to the baseline: seeds as dots, mean with the {EXPLAINED}",
    "hidden": "The same where a part of each picture is hidden",
    "loss": "Pretraining loss over epochs; with hard negatives it has another scale than without",
    "probe": "Accuracy of the linear classifier over its epochs",
    "occlusion": "Accuracy on partly hidden pictures, by classifiers fitted on whole ones",
}


_NOT_MEASURED = (
    "No run has a measure that this page shows: "
    + ", ".join(f"{evaluation}/{metric}" for evaluation, metric, _ in METRICS)
    + "."
)


def _training(run: RunRecord) -> str:
    """How a run was trained; what its method does not have, or nobody knows, is left out."""
    said = {
        "batch": run.batch_size or None,
        "queue": run.queue_size,
        "temperature": None if run.temperature is None else f"{run.temperature:g}",
        **{key.replace("_", " "): value for key, value in optimizer_of(run).items()},
    }
    known = [f"{key} {value}" for key, value in said.items() if value is not None]
    return ", ".join([f"{run.host} {run.method}", *known])


def _settings(records: Sequence[RunRecord]) -> str:
    conditions = dict.fromkeys(Conditions.of(record).title for record in records)
    methods = dict.fromkeys(_training(run) for run in records)
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
    machines: dict[str, dict[str, None]] = {}
    for run in records:
        device, torch = run.environment.device, run.environment.versions.get("torch", "unknown")
        commit, *modified = (run.environment.commit or "unknown").split("+")
        code = "+".join([commit[:_COMMIT], *modified])
        machines.setdefault(f"{device}, torch {torch}", {})[code] = None
    titled: dict[str, Iterable[str]] = {
        "Images": conditions,
        "Training": methods,
        "Saliency": localizers,
        "Evaluation": protocols,
        "Machine": [f"{name}, code {', '.join(commits)}" for name, commits in machines.items()],
    }
    return "\n".join(
        f"- {title}: {escape_markdown('; '.join(texts))}."
        for title, texts in titled.items()
        if texts
    )


def _table(arms: Sequence[Arm], metrics: Sequence[Metric], flags: Mapping[str, str]) -> str:
    titles = ["row", "epochs", "seeds"]
    for _, _, title in metrics:
        titles += [title, VS_BASELINE]
    titles += ["minutes", "time ratio"]
    base = arms[0]
    rows = []
    for arm in arms:
        cells = [arm.name, str(arm.epochs), str(len(arm.runs))]
        for evaluation, metric, title in metrics:
            found = None if arm is base else against(arm, base, evaluation, metric)
            values = list(arm.values(evaluation, metric).values())
            cells += [mean_text(values), difference_text(found, flags.get(title, ""))]
        minutes, (ratio, _) = mean_minutes(arm.runs), time_ratio(arm.runs, base.runs)
        cells += [f"{minutes:.1f}" if minutes else NOTHING]
        rows.append([*cells, NOTHING if ratio is None else f"{ratio:.2f}"])
    return Grid(titles, rows).markdown(left=1)


def _times(arms: Sequence[Arm]) -> list[str]:
    """Say which rows have no time ratio, and why."""
    words = {arm.name: time_ratio(arm.runs, arms[0].runs)[1] for arm in arms[1:]}
    return [
        f"No time ratio: {escape_markdown(name)} and the baseline {why}."
        for name, why in words.items()
        if why
    ]


def _decided(arms: Sequence[Arm], metrics: Sequence[Metric], flags: Mapping[str, str]) -> list[str]:
    """Say which rows the seeds tell from the baseline, and which they do not."""
    texts = []
    for evaluation, metric, title in metrics:
        found: dict[str, list[str]] = {"above": [], "below": [], "undecided": []}
        for arm in arms[1:] if title not in flags else ():
            difference = against(arm, arms[0], evaluation, metric)
            if difference is not None:
                found[difference.verdict].append(arm.name)
        if any(found.values()):
            said = [f"{key}: {', '.join(names) or 'none'}" for key, names in found.items()]
            texts.append(
                escape_markdown(
                    f"Exploratory. By {title.removesuffix(' (%)')} against the baseline, "
                    f"{'; '.join(said)}."
                )
            )
    return texts


def _orders(arms: Sequence[Arm], metrics: Sequence[Metric], flags: Mapping[str, str]) -> list[str]:
    if not metrics:
        return []
    evaluation, metric, title = metrics[0]
    flag = flags.get(title, "")
    rows = [
        [
            order.title.removesuffix(" (%)"),
            f"{order.row} - {order.reference}",
            f"{order.reported:+.2f}",
            difference_text(order.found, flag),
            "not readable" if flag else order.verdict,
        ]
        for order in orders(arms, evaluation, metric)
    ]
    if not rows:
        return []
    titles = ["paper", "rows", "its difference", f"ours, {title}, ± 95 %", "order"]
    table = Grid(titles, rows).markdown(left=2)
    return ["The order that the paper reports, and ours:", table]
