"""What Hydra and OmegaConf refuse, in one line for the user."""

from __future__ import annotations

import re
from pathlib import Path

from salmask_plugin.lab.settings.unknown_keys import no_choice

_NO_CHOICE = re.compile(r"Could not find '([^']*)' Available options in '([^']*)': (.*)")
"""How Hydra says that a group has no such file."""
_RESOLVING = re.compile(r"\w+ raised while resolving interpolation: (.*) full_key: .*")
"""How OmegaConf passes on what one of our interpolations refuses."""


def hydra_refusal(error: Exception, configs: Path) -> str:
    """Return the error's words without what is of no use on a command line.

    Args:
        error: of Hydra or OmegaConf.
        configs: our folder, whose files are named where a group has no such choice.
    """
    text = " ".join(str(error).split()).split(" Config search path:")[0]
    text = text.split(" To append to your ")[0]
    if refused := _RESOLVING.fullmatch(text):
        return refused[1]
    if found := _NO_CHOICE.search(text):
        path, group, names = found.groups()
        folder = configs / group
        ours = {str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml")}
        return no_choice(group, path.removeprefix(f"{group}/"), sorted({*names.split(), *ours}))
    return text
