"""``salmask detect``: detection on the backbone of a run or of any checkpoint (Tables 2 and 10)."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.cli.config import Settings, compose_settings
from salmask_plugin.cli.detection.training import PICTURE, detector_of, plan_of, train_and_test
from salmask_plugin.cli.protocol import with_results
from salmask_plugin.cli.runs import keep_settings, read_settings
from salmask_plugin.cli.wanted import Wanted
from salmask_plugin.evaluation import PretrainedBackbone, load_backbone
from salmask_plugin.results import Evaluation, read_record, write_record
from salmask_plugin.results.environment import environment
from salmask_plugin.results.store import RECORD_NAME, shortened, write_atomically

RESULT = "result.json"
say = rank_zero_only(print)


def run(options: argparse.Namespace) -> None:
    """Train and test a detector; write the result beside its picture, and into a run's record.

    Raises:
        UserError: for settings that cannot work, or a folder with another detector.
        ValueError: for data or a checkpoint that cannot work, before training starts.
    """
    settings = compose_settings(
        options.overrides, root="detect", config_dir=options.config_dir, trust=options.trust
    )
    source = Path(options.folder)
    backbone = load_backbone(source, architecture=settings["architecture"])
    say(f"Backbone: {backbone}", flush=True)
    plan = plan_of(
        settings["detection"],
        trainer=settings["trainer"],
        seed=settings["seed"],
        workers=settings["loader"]["workers"],
    )
    detector_of(plan, backbone)  # what cannot be built should leave no folder behind
    folder = detection_folder(settings, source)
    _keep(settings, backbone, folder)
    if (folder / RESULT).is_file():
        say(f"{folder} is already finished; its result is in {RESULT}.")
        return
    started = time.perf_counter()
    evaluation = train_and_test(plan, backbone, folder)
    if _is_first_process():
        evaluation = replace(evaluation, seconds=time.perf_counter() - started)
        name = settings.choices["detection"]
        report(evaluation, backbone, folder, source, name, settings["detection"])


def detection_folder(settings: Settings, source: Path) -> Path:
    """Return where a detector goes: into the run's folder, or below ``out``."""
    name = settings["name"] or f"{settings.choices['detection']}-seed{settings['seed']}"
    if (source / RECORD_NAME).is_file():
        return source / "detection" / str(name)
    return Path(settings["out"]) / (str(settings["name"] or f"{source.stem}-{name}"))


def report(
    evaluation: Evaluation,
    backbone: PretrainedBackbone,
    folder: Path,
    source: Path,
    name: str,
    node: dict[str, Any],
) -> None:
    """Write the result, add it to the run's record where there is one, and print it."""
    content = {
        "metrics": dict(evaluation.metrics),
        "protocol": dict(evaluation.protocol),
        "curves": {key: list(values) for key, values in evaluation.curves.items()},
        "seconds": evaluation.seconds,
        "backbone": {"source": backbone.source, "fingerprint": backbone.fingerprint},
        "environment": vars(environment()),
    }
    if (source / RECORD_NAME).is_file():
        evaluation = replace(evaluation, settings=_asked(name, node, source))
        write_record(source, with_results(read_record(source), {name: evaluation}))
    text = json.dumps(content, indent=2, default=str, allow_nan=False)
    write_atomically(folder / RESULT, (text + "\n").encode())
    print(
        f"{name}: " + "  ".join(f"{key} {value:.2f}" for key, value in evaluation.metrics.items())
    )
    print(f"Written: {folder / RESULT}, {PICTURE}")


def _asked(name: str, node: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return what a comparison would have asked for: it finds the result and does not repeat it."""
    options = {key: value for key, value in node.items() if key != "task"}
    asked = Wanted(name, "detection", options, {}, False, read_settings(source)).asked
    return dict(shortened(asked))


def _keep(settings: Settings, backbone: PretrainedBackbone, folder: Path) -> None:
    """Refuse a folder that holds a detector of other settings or of another backbone."""
    if not _is_first_process():
        return
    values = {**settings.values, "backbone": backbone.fingerprint}
    keep_settings(folder, Settings(values, settings.choices, ()))


def _is_first_process() -> bool:
    """Lightning knows the rank from the launcher's variables, whichever it is."""
    return not getattr(rank_zero_only, "rank", 0)
