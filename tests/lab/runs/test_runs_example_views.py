"""Gallery rows of recipes: what a recipe does not have, its gallery does not show."""

from __future__ import annotations

import pytest
import torch

from salmask_plugin import (
    CenterLocalizer,
    GridMask,
    Masking,
    MeanFill,
    SaliencyMasking,
    UniformLocalizer,
)
from salmask_plugin.lab.runs.example_views import gallery_rows


@pytest.mark.parametrize(
    ("localizer", "shown"), [(UniformLocalizer(grid=(3, 3)), False), (CenterLocalizer(), True)]
)
def test_a_map_that_says_nothing_has_no_column(localizer, shown):
    views = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    masking = SaliencyMasking(
        localizer=localizer, query=Masking(GridMask(ratio=(0.25, 0.25)), MeanFill())
    )

    rows = gallery_rows(masking, views, ["one", "two"], seed=0)

    assert [row.saliency is not None for row in rows] == [shown, shown]
    assert [row.foreground is not None for row in rows] == [shown, shown]
