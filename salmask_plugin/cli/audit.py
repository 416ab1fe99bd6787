"""``salmask audit``: what recipes remove of the object and of the background, without training."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from salmask_plugin.lab.measures.audit.audit import audit
from salmask_plugin.lab.measures.audit.over_training import audit_run
from salmask_plugin.lab.measures.audit.tables import coverage_text
from salmask_plugin.lab.results.terminal import filled


def run(options: argparse.Namespace) -> None:
    """Measure, print the table, and say where CSV, JSON and the figure are."""
    measure = audit if options.run is None else partial(audit_run, Path(options.run))
    found = measure(
        options.overrides,
        images=options.images,
        split=options.split,
        object_share=tuple(options.object_share),
        config_dir=options.config_dir,
        trust=options.trust,
    )
    how = found.protocol
    low, high = how["object_share"]
    print(coverage_text(found.rows))
    words = (
        f"{how['data']} {how['split']}, views of {how['view_size']} px, objects of {low} "
        f"to {high} of the view, seed {how['seed']}; shares of pixels, mean ± 95 % interval "
        "over images. Centre box: as large as the foreground."
    )
    print(f"\n{filled(words)}")
    print(f"Written: {found.files['csv'].with_suffix('')}.{', .'.join(found.files)}")
