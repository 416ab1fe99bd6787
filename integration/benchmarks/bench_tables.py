"""The benchmark's results as a table, a figure and the page docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench_clock import ratios
from bench_rows import Setting, baseline_of

from salmask_plugin.lab.results.drawing import drawing, new_figure, to_png

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

# row -> ratio to the baseline's step that it should not exceed: ResNet-50 at 224 px, MoCo v2.
TARGETS = {
    "cuda": {
        "mean, masks only, cached": 1.03,
        "mean, cached": 1.30,
        "blur, cached": 1.30,
        "highpass, cached": 1.30,
        "mean, EfficientNet-Lite0": 1.38,
        "mean, ResNet-50": 1.75,
    }
}
TARGETS["cpu"] = TARGETS["cuda"] | {"mean, EfficientNet-Lite0": 1.45}
MASKS_SHARE = {"cuda": 0.01, "cpu": 0.04}


def device_of(result: dict[str, Any]) -> str:
    """Return "cuda" or "cpu"."""
    return "cuda" if "channels_last" in result["machine"]["precision"] else "cpu"


def tables(result: dict[str, Any]) -> str:
    """Return everything that was measured as Markdown."""
    lines = [_machine(result)]
    for block in result["settings"]:
        lines += ["", *_steps(block, device_of(result)), "", *_stages(block, device_of(result))]
    return "\n".join(lines) + "\n"


def page_tables(result: dict[str, Any]) -> str:
    """Return the ratios of all sizes side by side, and the stages of the paper's size."""
    blocks, device = result["settings"], device_of(result)
    names = dict.fromkeys(name for block in blocks for name in block["times"])
    titles = [f"{_setting(block)}; rounds: {len(block['times']['baseline'])}" for block in blocks]
    lines = [_machine(result), "", f"| step | {' | '.join(titles)} |"]
    lines.append("|---" * (1 + len(blocks)) + "|")
    for name in names:
        cells = [_cell(block, name, device) for block in blocks]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for block in filter(lambda block: _judged(_setting(block)), blocks):
        lines += ["", *_stages(block, device)]
    return "\n".join(lines) + "\n"


def _cell(block: dict[str, Any], name: str, device: str) -> str:
    """A row's ratio; of a baseline, its seconds."""
    times = block["times"]
    if name not in times:
        return ""
    if baseline_of(name) == name:
        return f"{median(times[name]):.3f} s"
    found = ratios(times, name, baseline_of(name))
    spread = f" ({found['low']:.2f} to {found['high']:.2f})" if len(times[name]) > 1 else ""
    goal = _goal(_setting(block), name, found["median"], device)
    return f"{found['median']:.3f}{spread}{goal and ', '}{goal}"


def _machine(result: dict[str, Any]) -> str:
    where = result["machine"]
    versions = ", ".join(
        f"{name} {where['versions'][name]}"
        for name in ("python", "torch", "lightly", "torchvision", "timm")
        if name in where["versions"]
    )
    return (
        f"Measured on {where['device']} ({where['threads']} thread"
        f"{'' if where['threads'] == 1 else 's'}, {where['precision']}, {where['clock']}); "
        f"{versions}; commit {where['commit']}."
    )


def _setting(block: dict[str, Any]) -> Setting:
    return Setting(**block["setting"])


def _judged(setting: Setting) -> bool:
    """Targets are for the paper's size."""
    return setting.backbone == "resnet50" and setting.view == 224


def _steps(block: dict[str, Any], device: str) -> Iterator[str]:
    setting, times, memory = _setting(block), block["times"], block["memory"]
    rounds = len(times["baseline"])
    yield f"### {setting}"
    yield ""
    yield f"{rounds} interleaved rounds; median of the rounds' ratios (lowest to highest)."
    yield ""
    yield "| step | s | images/s | times the baseline | target | peak MiB | times |"
    yield "|---|---|---|---|---|---|---|"
    for name, values in times.items():
        base = baseline_of(name)
        found = ratios(times, name, base)
        goal = _goal(setting, name, found["median"], device)
        seconds = median(values)
        peak = memory.get(name)
        shown = "" if peak is None else f"{peak / 2**20:.0f} | {peak / memory[base]:.2f}"
        yield (
            f"| {name} | {seconds:.3f} | {setting.batch / seconds:.1f} | {found['median']:.3f} "
            f"({found['low']:.2f} to {found['high']:.2f}) | {goal} | {shown or ' | '} |"
        )


def _goal(setting: Setting, name: str, ratio: float, device: str) -> str:
    """The ratio that is wanted of a row and whether it is met, "" where none is."""
    target = TARGETS[device].get(name) if _judged(setting) else None
    return "" if target is None else f"<= {target:.2f}{_verdict(ratio, target)}"


def _verdict(value: float, target: float) -> str:
    return "" if value <= target else " **missed**"


def _stages(block: dict[str, Any], device: str) -> Iterator[str]:
    base = median(block["times"]["baseline"])
    rounds = len(next(iter(block["stages"].values())))
    yield f"Stages of a step ({_setting(block)}), {rounds} rounds:"
    yield ""
    yield "| stage | ms | share of the baseline's step |"
    yield "|---|---|---|"
    for name, values in block["stages"].items():
        share = median(values) / base
        limit = MASKS_SHARE[device]
        note = ""
        if name.startswith("masks and fills") and _judged(_setting(block)):
            note = f" (<= {limit:.0%}{_verdict(share, limit)})"
        yield f"| {name} | {1000 * median(values):.2f} | {share:.1%}{note} |"


def figure(result: dict[str, Any]) -> bytes:
    """Draw one panel per setting: each row's ratio with its spread."""
    blocks = result["settings"]
    with drawing():
        most = max(len(block["times"]) for block in blocks)
        canvas = new_figure(1.0 + 0.32 * most, 4.6 * len(blocks))
        panels = canvas.subplots(1, len(blocks), squeeze=False)[0]
        for panel, block in zip(panels, blocks, strict=True):
            names = list(block["times"])
            found = [ratios(block["times"], name, baseline_of(name)) for name in names]
            values = [each["median"] for each in found]
            spread = [
                [each["median"] - each["low"] for each in found],
                [each["high"] - each["median"] for each in found],
            ]
            places = range(len(names))
            panel.errorbar(values, places, xerr=spread, fmt="o", capsize=3, color="#0072b2")
            panel.axvline(1, color="#4d4d4d", linewidth=1)
            panel.axvline(1.25, color="#4d4d4d", linewidth=1, linestyle=":")
            panel.set_yticks(list(places), names)
            panel.invert_yaxis()
            panel.set_xlabel("times the baseline's step\n(dotted: one more forward, 5/4)")
            panel.set_title(str(_setting(block)))
        return to_png(canvas)


def write_report(result: dict[str, Any], out: Path) -> str:
    """Write step_time.json, .md and .png into ``out``; return the tables."""
    out.mkdir(parents=True, exist_ok=True)
    text = tables(result)
    (out / "step_time.json").write_text(json.dumps(result, indent=1))
    (out / "step_time.md").write_text(text)
    (out / "step_time.png").write_bytes(figure(result))
    return text


def write_docs(result: dict[str, Any]) -> None:
    """Put the short tables into docs/benchmarks.md, between their two marks."""
    write_between(page_tables(result), BEGIN, END)


def write_between(text: str, begin: str, end: str) -> None:
    """Put ``text`` into docs/benchmarks.md, between two marks.

    Raises:
        ValueError: if the page has lost them.
    """
    page = DOCS.read_text()
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{DOCS.name} has no {begin} and {end} to write between.")
    DOCS.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")
