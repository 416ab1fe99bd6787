"""Whether a run goes on with the data it began on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from salmask_plugin.file_names import safe_name
from salmask_plugin.json_files import NULL, SIZE, TEXT, TEXTS, Shape, read_object
from salmask_plugin.lab.data import ImageSplits, differences, identity_of_splits
from salmask_plugin.lab.data.fingerprint import SPLITS
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results.acting_settings import PLACES
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.folder import holds_work

DATA_NAME = "data.json"
SPLIT: Shape = {
    "images": SIZE,
    "names": TEXT | NULL,
    "labels": TEXT | NULL,
    "pixels?": TEXTS,
}
"""What is compared of a split."""


def keep_data(folder: Path, splits: ImageSplits, file_name: str = DATA_NAME) -> None:
    """As :func:`keep_identity`, for images with classes."""
    keep_identity(folder, identity_of_splits(splits), file_name)


def keep_identity(folder: Path, now: dict[str, Any], file_name: str = DATA_NAME) -> None:
    """Write what the data are into a folder, or hold them against what its work began on.

    A folder without checkpoint or result has not begun; one from before the file was kept is
    believed.

    Args:
        folder: of the run, or of a task of it.
        now: of the data as they are.
        file_name: in the folder.

    Raises:
        UserError: if there is work on other data, with what changed.
    """
    path = folder / file_name
    if path.is_file() and holds_work(folder):
        try:
            changed = differences(read_object(path, _form(now)), now)
        except ValueError as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        if changed:
            raise UserError(
                f"The data of {folder} changed since it began ({'; '.join(changed)}). Put them "
                "back, or choose another name=... or out=... for a run on the new ones."
            )
        return
    write_atomically(path, (json.dumps(now, indent=2) + "\n").encode())


def _form(identity: dict[str, Any]) -> Shape:
    """Return the form that an earlier identity of the same kind of data has."""
    splits = {split: SPLIT for split in SPLITS if split in identity}
    return {"classes?": TEXTS, **splits}


def name_of_other(name: str, node: dict[str, Any]) -> str:
    """Return the file that keeps what a set beside the run's own is.

    Under other settings it is another set, wherever it lies.

    Args:
        name: of the set in ``evaluation.data``.
        node: its settings.
    """
    asked = {key: value for key, value in node.items() if key not in PLACES}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    return f"data-{safe_name(name)}-{digest}.json"
