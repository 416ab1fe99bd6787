"""The rows of a study: what each is called, set to, and how one alone is addressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results.codec import FieldError
from salmask_plugin.lab.results.study import GATE, gate_of, plan_of

if TYPE_CHECKING:
    from salmask_plugin.lab.settings.settings import Settings

EXPERIMENT = "experiment="
IDENTITY = ("name=", "seed=", "recipe=", "compare.row=")
"""Settings that a comparison gives each of its runs itself."""
DECIDES_ROWS = {"experiment", "scale", "rows", "compare", "data", "seed", "name"}
"""What a study's rows, their seed and folder can depend on. Other settings may fit a row alone."""
PAPER_SCALE = "paper"


def study_name(settings: Settings) -> str:
    """Return the name of the study's folder."""
    experiment = settings.compare.study or settings.choices.get("experiment", "None")
    if settings.name:
        return str(settings.name)
    if experiment not in ("None", "null"):
        scale = settings.choices.get("scale", PAPER_SCALE)
        suffix = "" if scale == PAPER_SCALE else f"-{scale}"
        return str(experiment).replace("/", "-") + suffix
    return "-".join(["compare", settings.choices["data"], settings.choices["method"]])


def row_of(study: Settings, name: str) -> list[str]:
    """Return the overrides of a study's row.

    Raises:
        UserError: if there is no such row, or the study leaves it out.
    """
    rows, left_out = study.compare.rows, study.compare.left_out
    if name in left_out:
        raise UserError(f"row {name} is left out here: {left_out[name]}")
    if name not in rows:
        raise UserError(
            f"{name!r} is none of the rows: {', '.join(rows)}. "
            f"`+compare.rows.{name}=[masking=...]` is a row of your own."
        )
    for text in rows[name]:
        if text.startswith(("seed=", "name=", "out=")):
            raise UserError(
                f"row {name}: {text} cannot be a row's: its runs have the study's seeds and folder."
            )
    return list(rows[name])


def check_plan(study: Settings) -> None:
    """Check the primary comparisons and the gate of a study, before anything runs.

    Raises:
        UserError: if a comparison names a row that there is not, or is none; or for the gate.
    """
    try:
        plan = plan_of(study["compare"].get("plan"))
        gate_of(study["compare"].get("gate", GATE))
    except FieldError as error:
        raise UserError(str(error)) from error
    for name, planned in plan.items():
        for row in (planned.row, planned.against):
            try:
                row_of(study, row)
            except UserError as error:
                raise UserError(f"compare.plan.{name}: {error}") from error


def without_identity(overrides: Sequence[str]) -> list[str]:
    """Return what was typed without what a comparison gives each of its runs itself.

    Raises:
        UserError: if a seed or a recipe was typed, which no run would have.
    """
    for text in overrides:
        if text.startswith(("seed=", "recipe=")):
            key, value = _pair(text)
            own = f"compare.seeds=[{value}]" if key == "seed" else "the names of compare.rows"
            raise UserError(f"{text}: runs of a comparison have their own {key}, from {own}.")
    return [text for text in overrides if not text.startswith(IDENTITY)]


def row_settings(study: Settings, name: str, seed: int) -> list[str]:
    """Return what makes a run of the study's setting this row's run, its folder included."""
    # A row may name its recipe itself: rows of two methods share the baseline's name.
    identity = [f"seed={seed}", f"name={study_name(study)}/{name}/seed{seed}"]
    return [f"recipe={name}", *row_of(study, name), *identity, f"compare.row={name}"]


def expand_row(
    overrides: Sequence[str], folders: Sequence[Path], compose: Callable[[list[str]], Settings]
) -> list[str]:
    """Replace ``experiment=STUDY/ROW`` by the study and the settings of that row.

    The run then has the folder that ``salmask compare experiment=STUDY`` would give it, unless
    ``name=`` says another. A file STUDY/ROW.yaml is an experiment as any other and left alone.

    Args:
        overrides: what the user typed.
        folders: where configuration groups are.
        compose: overrides -> settings.

    Raises:
        UserError: if the study has no such row, its plan names none of its rows, or an override
            contradicts the row.
    """
    places = [place for place, text in enumerate(overrides) if text.startswith(EXPERIMENT)]
    if not places:
        return list(overrides)
    address = overrides[places[-1]].removeprefix(EXPERIMENT)
    name, _, row = address.rpartition("/")
    if _is_file(address, folders) or not _is_file(name, folders):
        return list(overrides)
    given = list(overrides)
    given[places[-1]] = f"{EXPERIMENT}{name}"
    study = compose([text for text in given if _group(text) in DECIDES_ROWS])
    check_plan(study)
    try:
        own = row_settings(study, row, study.seed)
    except UserError as error:
        raise UserError(f"{EXPERIMENT}{address}: {error}") from error
    _refuse_contradictions(address, row_of(study, row), given)
    return [*given, *own, *(text for text in given if text.startswith(("name=", "recipe=")))]


def _refuse_contradictions(address: str, own: Sequence[str], given: Sequence[str]) -> None:
    """A row's own settings are what it is; compare lets them win over the command line."""
    settings = dict(_pair(text) for text in own)
    for text in given:
        key, value = _pair(text)
        if key in settings and settings[key] != value and f"{key}=" not in IDENTITY:
            raise UserError(
                f"{text} contradicts {EXPERIMENT}{address}, which is {key}={settings[key]}. "
                "Leave it out, or choose another row."
            )


def _pair(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    return key.lstrip("+~"), value


def _group(text: str) -> str:
    return _pair(text)[0].split(".")[0].split("@")[0]


def _is_file(experiment: str, folders: Sequence[Path]) -> bool:
    return any((folder / "experiment" / f"{experiment}.yaml").is_file() for folder in folders)
