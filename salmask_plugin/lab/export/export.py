"""``salmask export``: a backbone in other libraries' formats, with a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.encoders import load_backbone
from salmask_plugin.encoders.export import FORMATS, check_format, describe, export_backbone
from salmask_plugin.encoders.export_folder import clear_unfinished, whole_folder
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.export.model_card import model_card
from salmask_plugin.lab.probes.transfer import run_of, view_size_of
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.results.store import write_atomically

CARD = "README.md"
VIEW_SIZE = 224


def run(options: argparse.Namespace) -> None:
    """Write every format that is asked for, and the card.

    Raises:
        UserError: if the folder is not empty.
        OSError: if the disk refuses; the folder is then as it was.
        ValueError: before anything is written, if a format cannot hold the encoder.
    """
    path, folder = Path(options.folder), Path(options.out)
    clear_unfinished(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; exports do not mix.")
    backbone = load_backbone(path, architecture=options.architecture, part=options.part)
    formats = list(dict.fromkeys(options.format.split(",")))
    for name in formats:
        check_format(backbone, name, filter_outside=options.filter_outside)
    own = run_of(path)
    view_size = options.view_size or (VIEW_SIZE if own is None else view_size_of(own))
    bare = backbone.view_filter is not None and any(not FORMATS[x].holds_filter for x in formats)
    record = None if own is None else read_record(own)
    files = []
    with whole_folder(folder) as part:
        for name in formats:
            # A format alone needs no folder of its own.
            place = part if len(formats) == 1 else part / name
            file = export_backbone(
                backbone,
                place,
                format=name,
                view_size=view_size,
                filter_outside=options.filter_outside,
            )
            shown = (place / file).relative_to(part)
            usage = (
                FORMATS[name]
                .usage.replace("FILE", str(shown))
                .replace("FOLDER", str(shown.parent))
                .replace("ARCHITECTURE", backbone.architecture)
            )
            files.append((name, str(shown), usage))
        card = model_card(
            describe(backbone, view_size),
            files,
            record,
            license=options.license,
            filter_outside=bare,
        )
        write_atomically(part / CARD, card.encode())
    for name, path_inside, _ in files:
        print(f"{name}: {folder / path_inside}")
    print(f"Encoder: {backbone}\nModel card: {folder / CARD}")
