"""A model card: what an encoder is, how it was trained, how its images are prepared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from salmask_plugin.lab.results.escaping import escape_markdown
from salmask_plugin.lab.results.record import RunRecord, is_share

SUPERVISED = "supervised"
"""The method, in records, that learns from labels."""
UNKNOWN = "not known: the checkpoint does not say"


def model_card(
    described: Mapping[str, Any],
    files: Sequence[tuple[str, str, str]],
    record: RunRecord | None,
    *,
    license: str | None = None,
    filter_outside: bool = False,
) -> str:
    """Return the card as Markdown.

    Args:
        described: the encoder, as ``salmask_plugin.encoders.export.describe`` gives it.
        files: (format, file, how it is read) of every export beside the card.
        record: of the run that trained it; None for a checkpoint of others.
        license: of the weights, as their publisher chooses; None: none is chosen yet.
        filter_outside: whether a file among ``files`` lacks the encoder's filter.
    """
    lines = [
        f"# {_text(described['architecture'])}, {_text(_title(record))}",
        "",
        f"- {described['feature_dim']} features per image, no classifier",
        f"- fingerprint {_code(described['fingerprint'])}: SHA-256 over the weights, the running "
        "statistics and the filter",
        f"- from {_text(described['source'])}",
        "",
        "## Images",
        "",
        *_preprocessing(described),
    ]
    if filter_outside:
        lines += ["", "Some files here hold the bare weights: apply step 3 yourself."]
    lines += ["", "## Files", ""]
    lines += [
        f"- {_text(name)}: {_code(file)}, read with {_code(usage)}" for name, file, usage in files
    ]
    lines += ["", "## Training", "", *_training(record)]
    if record is not None and record.evaluations:
        lines += ["", "## Results", "", *_results(record)]
    return "\n".join([*lines, "", "## Licences", "", *_licences(record, license)]) + "\n"


def _text(value: Any) -> str:
    """Return what comes from a record or a file as Markdown that shows it and does nothing else."""
    shown = escape_markdown(_visible(value))
    # At the beginning of an item these would be a heading, a list or a line.
    return re.sub(r"^(\d*)([#+~=.)-])", r"\1\\\2", shown)


def _code(value: Any) -> str:
    """Return a code span that its content cannot end; nothing is escaped in one."""
    shown = " ".join(_visible(value).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _visible(value: Any) -> str:
    """Show what a terminal would obey, and what has no character, by its number."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else f"<U+{ord(sign):04X}>"
        for sign in str(value)
    )


def _title(record: RunRecord | None) -> str:
    return "self-supervised" if record is None else f"{record.method} with masking {record.recipe}"


def _preprocessing(described: Mapping[str, Any]) -> list[str]:
    normalisation, kernel = described["normalisation"], described["view_filter"]
    lines = [
        f"1. {_values(described)}; trained or evaluated at {described['view_size']} px.",
        f"2. Normalise: mean {normalisation['mean']}, standard deviation {normalisation['std']}.",
    ]
    if kernel is None:
        return [*lines, "3. No filter."]
    return [
        *lines,
        f"3. High-pass filter: {kernel['kind']}; {kernel['kernel_size']} taps, sigma "
        f"{kernel['sigma']:g} px. The encoder has never seen an unfiltered image. It is part of "
        "the safetensors and ONNX files and must not be applied twice.",
    ]


def _values(described: Mapping[str, Any]) -> str:
    channels = described.get("in_channels", 3)
    if channels == 3:
        return "RGB in [0, 1]"
    return f"{channels} channel(s): 8-bit and 16-bit values in [0, 1], floating point as it is"


def _training(record: RunRecord | None) -> list[str]:
    if record is None:
        return [UNKNOWN + "."]
    data = record.data
    labels = "with" if record.method == SUPERVISED else "without"
    return [
        f"- images: {_text(data.name)}, {data.train_images:,} training images, {labels} their "
        f"labels, views of {data.view_size} px",
        f"- method: {_text(record.method)} ({_text(record.host)}), {record.epochs} epochs, batch "
        f"{record.batch_size}, seed {record.seed}",
        f"- masking: {_text(record.recipe)}",
        f"- localizer: {_text(record.localizer)}, trained on {_text(record.localizer_trained_on)}",
        f"- commit {_text(record.environment.commit or UNKNOWN)}",
        *(f"- {_text(note)}" for note in record.notes),
    ]


def _results(record: RunRecord) -> list[str]:
    lines = ["| evaluation | result | protocol |", "|:--|:--|:--|"]
    for name, found in record.evaluations.items():
        values = ", ".join(
            f"{metric} {100 * value:.2f} %" if is_share(metric) else f"{metric} {value:g}"
            for metric, value in found.metrics.items()
        )
        protocol = ", ".join(f"{key}={value}" for key, value in sorted(found.protocol.items()))
        lines.append(f"| {' | '.join(map(_text, (name, values, protocol)))} |")
    return lines


def _licences(record: RunRecord | None, license: str | None) -> list[str]:
    chosen = license or "none chosen yet by whoever publishes them"
    lines = [f"- these weights: {_text(chosen)}"]
    lines += ["- the package that wrote this card, salmask_plugin: Apache-2.0"]
    if record is None:
        return [*lines, f"- images: {UNKNOWN}"]
    lines += [
        f"- images: those of {_text(record.data.name)}; its terms apply to what is trained on it"
    ]
    if record.localizer_trained_on != "none":
        lines += [
            f"- localizer: the weights of {_text(record.localizer)} "
            f"({_text(record.localizer_trained_on)}) chose what was masked; their licence and that "
            "of their images apply as well"
        ]
    return lines
