"""Whether a run goes on with the data it began on."""

from __future__ import annotations

import json
from pathlib import Path

from salmask_plugin.lab.data import ImageSplits, differences, identity_of_splits
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.folder import CHECKPOINTS

DATA_NAME = "data.json"


def keep_data(folder: Path, splits: ImageSplits) -> None:
    """Write what the data are into the run's folder, or hold them against what it began on.

    A folder without checkpoints has not begun; one from before this file was kept is believed.

    Raises:
        UserError: if there are checkpoints of a run on other data, with what changed.
    """
    path = folder / DATA_NAME
    now = identity_of_splits(splits)
    if path.is_file() and any((folder / CHECKPOINTS).glob("*.ckpt")):
        try:
            changed = differences(json.loads(path.read_text(encoding="utf-8")), now)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} cannot be read: {error!r}.") from error
        if changed:
            raise UserError(
                f"The data of {folder} changed since it began ({'; '.join(changed)}). Put them "
                "back, or choose another name=... or out=... for a run on the new ones."
            )
        return
    write_atomically(path, (json.dumps(now, indent=2) + "\n").encode())
