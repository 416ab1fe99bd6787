"""Hydra's door to solo-learn's scripts: registers our methods and configurations at start-up.

Hydra imports this module in every Hydra program of the environment, so it imports nothing heavy,
does nothing unless the program has imported ``solo.methods``, and never raises.
"""

from __future__ import annotations

import sys
import warnings

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

CONFIGS = "pkg://salmask_plugin.configs.solo_learn"


class SalmaskSearchPathPlugin(SearchPathPlugin):
    """Add the group ``salmask`` and our ready YAMLs, and fill solo-learn's registries."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Act in solo-learn's programs only; called once per process, before the config is read."""
        if "solo.methods" not in sys.modules:
            return
        try:
            from salmask_plugin.adapters.solo_learn import register

            register()
            search_path.append("salmask", CONFIGS)
        except Exception as error:
            # An exception here would end every Hydra program, not ours alone. Nothing passes
            # silently: without registration `method=salmask_...` is refused by solo-learn.
            warnings.warn(f"salmask_plugin could not register itself: {error!r}", stacklevel=2)
