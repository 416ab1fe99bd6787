"""Which runs are seeds of one experiment, and which experiments may stand in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from salmask_plugin.lab.results.acting_settings import (
    OF_THE_METHOD,
    OF_THE_RECIPE,
    Items,
    acting,
    differing,
)
from salmask_plugin.lab.results.codec import Scalar
from salmask_plugin.lab.results.record import DataSet, RunRecord

KEY_MOMENTUM = "key_encoder_momentum"
WITHOUT_RESULT = {"failed": "failed", "stopped": "was stopped early"}
"""Status of a run that counts nowhere -> what it did."""


@dataclass(frozen=True)
class Conditions:
    """What all runs of one table share: other images, epochs or encoders are other studies."""

    data: DataSet
    epochs: int
    backbone: str

    @classmethod
    def of(cls, record: RunRecord) -> Conditions:
        """Return the conditions a run took place under."""
        return cls(record.data, record.epochs, record.backbone)

    @property
    def title(self) -> str:
        """The conditions in one line."""
        data = self.data
        epochs = f"{self.epochs} epoch{'s' if self.epochs != 1 else ''}"
        return (
            f"{data.name}: {data.train_images:,} training and {data.val_images:,} validation "
            f"images, {data.classes} classes, {data.view_size} px, {self.backbone}, "
            f"{epochs if self.epochs else 'pretrained elsewhere'}"
        )


@dataclass(frozen=True)
class Setting:
    """What makes two runs the same experiment, their seeds aside.

    ``config`` holds every further setting of the run's configuration that acts on its result.
    """

    host: str
    method: str
    recipe: str
    localizer: str
    localizer_trained_on: str
    branch: str | None
    rho: float | None
    masking: Items
    temperature: float | None
    queue_size: int | None
    batch_size: int
    optimizer: Items
    config: Items = ()

    @classmethod
    def of(cls, record: RunRecord) -> Setting:
        """Return the setting of a run.

        solo-learn's registered name carries the prefix ``salmask_``; the method is the same one.
        """
        values = {entry.name: getattr(record, entry.name) for entry in fields(cls)}
        values["method"] = record.method.removeprefix("salmask_")
        values["config"] = acting(record)
        said = {name.removeprefix("method.") for name, _ in values["config"]}
        values["masking"] = items({k: v for k, v in record.masking.items() if k not in said})
        values["optimizer"] = items(optimizer_of(record))
        return cls(**values)

    @property
    def training(self) -> dict[str, Scalar]:
        """What a baseline must share, name -> value: the training without the masking."""
        named: dict[str, Scalar] = {
            "temperature": self.temperature,
            "queue_size": self.queue_size,
            "batch_size": self.batch_size,
        }
        named |= {
            key.replace("_", " ") if key == KEY_MOMENTUM else f"optimizer {key}": value
            for key, value in self.optimizer
        }
        return named | {
            key: value for key, value in self.config if not key.startswith(OF_THE_RECIPE)
        }

    def unlike(self, baseline: Setting) -> list[str]:
        """Return the names of what this setting should share with its baseline and does not."""
        own, other = self.training, baseline.training
        return [
            key
            for key in sorted({*own, *other})
            if own.get(key) != other.get(key)
            and not (key.startswith(OF_THE_METHOD) and (key not in own or key not in other))
        ]

    @property
    def variant(self) -> dict[str, Scalar]:
        """What may differ between rows of one recipe and localizer, name -> value."""
        shown = {"branch": self.branch, "rho": self.rho} | dict(self.masking) | self.training
        return shown | dict(self.config)

    @property
    def order(self) -> tuple[object, ...]:
        """Sorts settings reproducibly, whatever the types of their values."""
        return tuple(str(getattr(self, entry.name)) for entry in fields(self))


def unlike_seeds(one: RunRecord, other: RunRecord) -> list[str]:
    """Return what makes two runs of one row different experiments, by name; their seeds aside."""
    first, second = _fields_of(one), _fields_of(other)
    named = [name for name in first if first[name] != second.get(name)]
    return [*named, *(name for name in second if name not in first), *differing(one, other)]


def _fields_of(record: RunRecord) -> dict[str, object]:
    setting = Setting.of(record)
    conditions = Conditions.of(record)
    found = {entry.name: getattr(conditions, entry.name) for entry in fields(conditions)}
    for entry in fields(setting):
        value = getattr(setting, entry.name)
        if entry.name in ("masking", "optimizer"):
            found |= {f"{entry.name} {key}": part for key, part in value}
        elif entry.name != "config":  # compared by `differing`
            found[entry.name] = value
    return found


@dataclass(frozen=True)
class Group:
    """The finished runs of one setting, one per seed, by seed."""

    setting: Setting
    runs: Mapping[int, RunRecord]


def items(values: Mapping[str, Scalar]) -> Items:
    """Return a mapping as sorted pairs, which can be hashed and compared."""
    return tuple(sorted(values.items()))


def optimizer_of(record: RunRecord) -> dict[str, Scalar]:
    """Return the optimizer's settings by their right names.

    What older records of lightly's MoCo call ``momentum`` is the key encoder's.
    """
    own = dict(record.optimizer)
    if record.host == "lightly" and record.queue_size is not None and "momentum" in own:
        own[KEY_MOMENTUM] = own.pop("momentum")
    return own


def group(records: Sequence[RunRecord]) -> tuple[dict[Conditions, list[Group]], list[str]]:
    """Sort records into tables and, inside them, into settings with one run per seed.

    Of two finished runs with one setting and one seed only the later counts: they are no two
    samples. Failed runs count nowhere. Both are said in the notes.

    Returns:
        Conditions -> groups, in a reproducible order, and the notes.
    """
    notes: list[str] = []
    runs: dict[Conditions, dict[Setting, dict[int, RunRecord]]] = {}
    for record in sorted(records, key=lambda record: (record.finished_at or "", record.name)):
        if record.status != "finished":
            what = WITHOUT_RESULT[record.status]
            notes.append(f"Run {record.name} {what} and is in no mean.")
            continue
        settings = runs.setdefault(Conditions.of(record), {})
        seeds = settings.setdefault(Setting.of(record), {})
        if record.seed in seeds:
            notes.append(
                f"Runs {seeds[record.seed].name} and {record.name} have the same setting and seed "
                f"{record.seed}; the later one, {record.name}, counts."
            )
        seeds[record.seed] = record
    grouped = {}
    for conditions in sorted(runs, key=lambda entry: entry.title):
        found = sorted(runs[conditions].items(), key=lambda item: item[0].order)
        grouped[conditions] = [Group(key, dict(sorted(seeds.items()))) for key, seeds in found]
    return grouped, notes
