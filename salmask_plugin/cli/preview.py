"""``salmask preview``: the masks on the user's own images, before any training."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.cli.next_step import say_next
from salmask_plugin.lab.measures.preview import preview
from salmask_plugin.lab.measures.recipes import MASKING, RecipeRow, with_embedded_localizer
from salmask_plugin.lab.settings.allowed_targets import flags_for_children


def run(options: argparse.Namespace) -> None:
    """Write one gallery per recipe, say where they are, and what trains with the same settings."""
    folder = Path(options.folder)
    rows = []
    for path, row in preview(
        folder, options.overrides, config_dir=options.config_dir, trust=options.trust
    ):
        print(path)
        rows.append(row)
    say_next("pretrain", folder, *_settings_of_training(options, rows[0]))


def _settings_of_training(options: argparse.Namespace, row: RecipeRow) -> list[str]:
    """What was typed, with the recipe and the localizer that were shown without being typed."""
    words = list(options.overrides)
    if not any(text.startswith(MASKING) for text in words):
        words.insert(0, f"{MASKING}mean")
    if row.localizer == row.settings.choices["localizer"]:
        words = with_embedded_localizer(words)
    if options.config_dir:
        words += ["--config-dir", options.config_dir]
    return words + flags_for_children(options.trust)
