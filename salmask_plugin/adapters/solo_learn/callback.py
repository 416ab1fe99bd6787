"""The explicit form of registration: three lines in a YAML instead of plugin discovery."""

from __future__ import annotations

from typing import Any

from hydra.experimental.callback import Callback

from salmask_plugin.adapters.solo_learn.registration import register


class RegisterCallback(Callback):
    """Register before each job; for ``hydra.callbacks`` in the user's YAML.

    Together with ``hydra.searchpath: [pkg://salmask_plugin.configs.solo_learn]`` it does what the
    Hydra plugin does by itself.
    """

    def on_job_start(self, config: Any, **kwargs: Any) -> None:
        """Fill solo-learn's registries; a second time changes nothing."""
        register()
