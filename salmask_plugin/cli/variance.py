"""``salmask variance``: how far an image's views spread in a run's encoder (Table 7)."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.measures.variance.measured import Measured
from salmask_plugin.lab.measures.variance.tables import UNIT_TEXT, variance_text
from salmask_plugin.lab.measures.variance.variance import variance
from salmask_plugin.lab.results.terminal import filled


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, and say where JSON and the figure are."""
    found = variance(
        Path(options.folder),
        options.overrides,
        measured=Measured(
            images=options.images,
            views=options.views,
            split=options.split,
            layer=options.layer,
            batch_norm=options.batch_norm,
        ),
        config_dir=options.config_dir,
        trust=options.trust,
    )
    print(variance_text(found.rows))
    words = (
        f"{found.words}. Mean ± 95 % interval over images; unit {UNIT_TEXT}, at most "
        f"{found.bound:.1f}."
    )
    print(f"\n{filled(words)}")
    print(f"Written: {found.files['json'].with_suffix('')}.{', .'.join(found.files)}")
