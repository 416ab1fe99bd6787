"""The picture of an occlusion evaluation: what is hidden, and what is said of it."""

from __future__ import annotations

from typing import Any

from salmask_plugin.adapters.lightly.evaluation.features import device_of
from salmask_plugin.adapters.lightly.evaluation.hidden_cells import ForegroundOf
from salmask_plugin.adapters.lightly.evaluation.hidden_examples import hidden_examples
from salmask_plugin.adapters.lightly.evaluation.occlusion import OcclusionResult
from salmask_plugin.adapters.lightly.evaluation.occlusion_conditions import Condition
from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.data.channels import shown_bands
from salmask_plugin.lab.results.display import display_view
from salmask_plugin.lab.results.guess_gallery import GuessRow, draw_guesses
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest
from salmask_plugin.lab.settings.paper_values import HIDDEN

SHOWN = 6
_TITLES = {"mean": "mean colour", "black": "black", "noise": "noise", "picture": "another picture"}


def write_guesses(
    request: EvaluationRequest,
    backbone: PretrainedBackbone,
    val: Any,
    splits: ImageSplits,
    result: OcclusionResult,
    foreground_of: ForegroundOf,
) -> None:
    """Write ``hidden.png`` into the run's folder: the middle share, every fill, the first place.

    Pictures of other data than the run's own are not drawn.
    """
    if request.folder is None or request.is_transfer:
        return
    options = request.options
    shares = sorted(options["shares"])
    share, place = shares[len(shares) // 2], options["places"][0]
    conditions: list[Condition] = [(place, fill, share) for fill in options["fills"]]
    count = len(val.dataset)
    chosen = [index * count // SHOWN for index in range(SHOWN)]
    images, labels, covered = hidden_examples(
        val,
        chosen,
        conditions,
        grid=tuple(options["grid"]),
        foreground_of=foreground_of,
        black=splits.channels.black,
        seed=options.get("seed", 0),
        device=device_of(backbone.network),
    )
    classifier = next(iter(result.guesses))
    guesses = result.guesses[classifier]
    columns: list[Condition | None] = [None, *conditions]
    classes, bands = splits.classes, shown_bands(splits.channels.count)
    rows = [
        GuessRow(
            [
                display_view((images if key is None else covered[key])[row, bands].float().numpy())
                for key in columns
            ],
            [classes[int(guesses[key][at])] for key in columns],
            classes[int(labels[row])],
        )
        for row, at in enumerate(chosen)
    ]
    titles = ["whole", *(_TITLES[fill] for _, fill, _ in conditions)]
    title = f"{classifier} classifier of whole pictures, {share:.0%} of the cells hidden"
    write_atomically(request.folder / HIDDEN, draw_guesses(titles, rows, title=title))
