"""The folder of a user's own configurations, ``--config-dir``."""

from __future__ import annotations

from pathlib import Path

from salmask_plugin.lab.errors import UserError


def own_configs(config_dir: str | None, ours: Path) -> Path | None:
    """Return the folder whose groups are added to ours; None without one.

    Hydra reads the first file of a name, and ours come first: another one would act on nothing.

    Args:
        config_dir: as typed.
        ours: the folder of our configurations.

    Raises:
        UserError: if there is no such folder, or a file of it is called like one of ours and says
            something else.
    """
    if config_dir is None:
        return None
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir} is no folder.")
    for path in sorted(ours.rglob("*.yaml")):
        own = folder / path.relative_to(ours)
        if own.is_file() and own.read_bytes() != path.read_bytes():
            raise UserError(
                f"'{own}' is called like a file of ours, {path.relative_to(ours)}, which would be "
                "read in its place: give it another name."
            )
    return folder
