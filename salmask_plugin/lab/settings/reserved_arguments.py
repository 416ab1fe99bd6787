"""Arguments of what is built that a command sets itself: given by the user they would be lost."""

from __future__ import annotations

NOTHING_VALIDATED = "nothing is validated or tested while it trains"
TRAINER = {
    "logger": "logger=csv, tensorboard or wandb chooses it",
    "default_root_dir": "out= and name= say where a run goes",
    "callbacks": "checkpoints and records are written by the command's own",
    "enable_checkpointing": "checkpoints are what a run leaves",
    "plugins": "checkpoints are written by the command's own",
    "enable_progress_bar": "there is one on a terminal",
    "enable_model_summary": "it is off",
    "use_distributed_sampler": "the loaders share the images among the processes themselves",
    "num_sanity_val_steps": NOTHING_VALIDATED,
    "limit_val_batches": NOTHING_VALIDATED,
    "limit_test_batches": NOTHING_VALIDATED,
    "limit_predict_batches": NOTHING_VALIDATED,
    "val_check_interval": NOTHING_VALIDATED,
    "check_val_every_n_epoch": NOTHING_VALIDATED,
}
METHOD = {
    "backbone": "backbone=... chooses it",
    "feature_dim": "it is the backbone's",
    "masking": "masking=... chooses it",
    "seed": "seed=... says it",
    "num_classes": "it is the data set's",
}
SET_BY_US = {"trainer": TRAINER, "method": METHOD}
"""Node -> argument -> what decides it instead."""
SET_BY_SCHEDULE = {
    "detect": {
        "trainer.max_epochs": "detection.schedule.steps says how long",
        "trainer.sync_batchnorm": "it is on wherever several GPUs train",
    },
    "depth": {"trainer.max_epochs": "depth.schedule.epochs says how long"},
}
"""Command -> setting that a run needs and this command decides itself."""
STILL_ACT = ("evaluation.", "loader.", "trainer.", "data.root", "data.classes_file", "view_size")
"""What an evaluation of a finished run reads anew."""
FIXED = (
    *("trainer.max_epochs", "trainer.max_steps", "trainer.max_time"),
    *("trainer.limit_train_batches", "trainer.overfit_batches"),
    *("trainer.devices", "trainer.num_nodes", "trainer.strategy"),
    *("loader.input", "loader.decode_size", "loader.keep"),
)
"""Of these, what it does not."""
