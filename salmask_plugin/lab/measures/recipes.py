"""Recipes that a command measures side by side, each composed from the user's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.build import build_masking
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.choice_names import localizer_name
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.lab.settings.shorthand import in_full
from salmask_plugin.lab.settings.unused import refuse_unused_by_all
from salmask_plugin.masking import SaliencyMasking

LOCALIZER = "localizer="
MASKING = "masking="


@dataclass(frozen=True)
class RecipeRow:
    """One recipe.

    Attributes:
        name: in words.
        settings: composed.
        masking: None where views stay as they are.
    """

    name: str
    settings: Settings
    masking: SaliencyMasking | None

    @property
    def localizer(self) -> str:
        """The localizer's choice, or what the recipe brings; "none" without masks."""
        if self.masking is None or (self.masking.query is None and self.masking.negative is None):
            return "none"
        return localizer_name(self.settings)


def recipe_rows(
    rows: Mapping[str, Sequence[str]],
    given: Sequence[str],
    *,
    typed: Sequence[str] = (),
    config_dir: str | None = None,
    trust: Trust = False,
    foreign: bool = False,
) -> list[RecipeRow]:
    """Compose the rows with the user's overrides; ``masking=`` in these leaves one row, its own.

    That row is called as ``recipe=`` says, or like the choice of ``masking``.

    Args:
        rows: name -> overrides.
        given: the user's overrides, with what the command adds.
        typed: the user's alone, each of which must act in some row.
        config_dir: a folder whose configuration groups come before ours.
        trust: what may be built besides what our configurations name.
        foreign: whether ``given`` holds choices out of a run's folder; then nothing may be fetched.

    Raises:
        UserError: if a row does not compose, or what was typed acts in none.
    """
    named = [text for text in given if text.startswith(MASKING)]
    chosen = {named[-1].removeprefix(MASKING): []} if named else rows
    composed = []
    for name, overrides in chosen.items():
        # The row's own choice of a recipe comes first, the user's changes to its parts after it.
        try:
            settings = compose_settings(
                [*overrides, *given], config_dir=config_dir, trust=trust, foreign=foreign
            )
        except UserError as error:
            raise UserError(f"row {name}: {error}") from error
        if settings.crops:
            raise UserError(f"row {name}: this command draws its views anywhere; leave out crops=.")
        label = str(settings.recipe or name) if named else name
        composed.append((label, settings))
    refuse_unused_by_all([settings for _, settings in composed], in_full(typed, "run"))
    return [RecipeRow(label, settings, build_masking(settings)) for label, settings in composed]


def views_of_run(settings: Settings) -> list[str]:
    """Return the overrides by which a run's views are made again; older runs lack some."""
    keys = ("view_size", "localizer_size", "seed")
    return [f"{key}={settings.values[key]}" for key in keys if key in settings.values]


def with_embedded_localizer(overrides: Sequence[str]) -> list[str]:
    """Return the overrides, with the embedded localizer where the user named none."""
    if any(text.startswith(LOCALIZER) for text in overrides):
        return list(overrides)
    return [*overrides, f"{LOCALIZER}efficientnet_lite0"]
