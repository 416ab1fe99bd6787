"""Which lightly this adapter is written for; said before anything of it is missed."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

FIRST, END = (1, 6), (2, 0)
WITHOUT = (
    "salmask_plugin.SaliencyMasking with salmask_plugin.losses.InfoNCELoss and NegativeQueue work "
    "in any loop, without lightly (docs/lightly.md)."
)


def check_lightly() -> None:
    """Raise ImportError unless lightly >= 1.6, < 2 is installed.

    The adapter builds on how that version makes its loss, memory bank and transforms: the list is
    docs/adr/0013-without-lightlys-layout.md.
    """
    try:
        found = version("lightly")
    except PackageNotFoundError:
        needed = "lightly is not installed: pip install 'lightly>=1.6,<2'."
        raise ImportError(f"{needed} {WITHOUT}") from None
    numbers = re.match(r"(\d+)\.(\d+)", found)
    if numbers is None or not FIRST <= (int(numbers[1]), int(numbers[2])) < END:
        raise ImportError(
            f"lightly {found} is installed; this package supports lightly >=1.6,<2. {WITHOUT}"
        )


check_lightly()
