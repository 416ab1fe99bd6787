"""The arguments that solo-learn keeps beside a run, and what a record takes from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salmask_plugin.json_files import (
    BOOL,
    COUNT,
    LIST,
    NULL,
    OBJECT,
    TEXT,
    WHOLE,
    Kind,
    Shape,
    read_object,
)
from salmask_plugin.json_files import NUMBER as RATE

LOCALIZED: Shape = {"localizer": TEXT}
MASKED: Shape = {**LOCALIZED, "branch": TEXT}
HARD: Shape = {**LOCALIZED, "rho": RATE}
"""The node ``salmask`` of a run with masked queries, and with hard negatives."""
NUMBER = WHOLE | Kind("digits", lambda value: isinstance(value, str) and value.isdecimal())
COMMON: Shape = {
    "max_epochs": COUNT,
    "devices": LIST | TEXT,
    "num_nodes?": NUMBER | NULL,
    "default_root_dir?": TEXT | NULL,
    "optimizer": {"batch_size": COUNT, "kwargs?": OBJECT | NULL},
    "scheduler": {"kwargs?": OBJECT | NULL},
}
AUGMENTED = ("auto_augment", "mixup", "cutmix", "label_smoothing")
"""What makes a linear evaluation another one, where it is on."""
LINEAR: Shape = {
    **COMMON,
    "pretrained_feature_extractor": TEXT,
    "data": {"dataset": TEXT, "train_path?": TEXT | NULL, "fraction?": RATE | NULL},
    "finetune?": BOOL | NULL,
    **{f"{name}?": BOOL | RATE | TEXT | NULL for name in AUGMENTED},
}
PRETRAIN: Shape = {
    **COMMON,
    "name": TEXT,
    "method": TEXT,
    "seed": NUMBER,
    "backbone": {"name": TEXT},
    "data": {
        "dataset": TEXT,
        "num_classes": COUNT,
        "train_path?": TEXT | NULL,
        "val_path?": TEXT | NULL,
        "no_labels?": BOOL | NULL,
        "fraction?": RATE | NULL,
    },
    "augmentations": Kind(
        "a list of objects with a crop_size",
        lambda value: (
            isinstance(value, list)
            and bool(value)
            and isinstance(value[0], dict)
            and COUNT.fits(value[0].get("crop_size"))
        ),
    ),
    "salmask?": OBJECT | NULL,
    "method_kwargs": {"temperature?": RATE | NULL, "queue_size?": COUNT | NULL},
}
"""What a record takes from solo-learn's arguments of a run."""


def read_arguments(run: Path, shape: Shape) -> dict[str, Any]:
    """Return the arguments of a run.

    Args:
        run: its folder.
        shape: what must be in them: ``PRETRAIN`` or ``LINEAR``.

    Raises:
        FileNotFoundError: if the folder has none.
        ValueError: if they are of another form.
    """
    path = run / "args.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {run} is no folder of a solo-learn run.")
    return read_object(path, shape)
