"""Which masks the views of an image get: anew for each view and batch, alike in every row."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, UniformLocalizer
from salmask_plugin.lab.measures.recipes import RecipeRow
from salmask_plugin.lab.measures.variance import variance
from salmask_plugin.lab.measures.variance.measured import Encoder
from salmask_plugin.lab.measures.variance.view_variance import view_variance
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.seeding import step_generator

VIEWS = 3


class Flatten(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return images.flatten(1)


@pytest.mark.parametrize("branch", ["query", "key"])
def test_views_are_masked_anew_and_rows_alike(monkeypatch, generator, branch):
    groups = [
        [torch.randn(4, 3, 8, 8, generator=generator) for _ in range(VIEWS)] for _ in range(2)
    ]
    monkeypatch.setattr(variance, "image_groups", lambda *_: iter(groups))
    masking = SaliencyMasking(
        UniformLocalizer((4, 4)), Masking(GridMask((0.3, 0.6)), MeanFill()), branch=branch
    )
    node = Settings({"masking": {"localizer": {"_target_": "salmask_plugin.UniformLocalizer"}}}, {})
    rows = [
        RecipeRow("none", node, None),
        RecipeRow("first", node, masking),
        RecipeRow("second", node, masking),
    ]
    encoder = Encoder(Flatten(), nn.Identity(), "projection", "running")
    found, count, dimension = variance._measure(
        rows, encoder, Settings({"seed": 5}, {}), None, SimpleNamespace(views=VIEWS)
    )
    assert (count, dimension) == (8, 192)

    def by_hand(masked):
        spreads = []
        for number, group in enumerate(groups):
            seen = []
            for place, views in enumerate(group):
                draws = step_generator(5, 0, number * VIEWS + place)
                shown = masking(views, views, draws)
                seen.append(getattr(shown, branch) if masked else views)
            units = nn.functional.normalize(torch.stack(seen, 1).flatten(2).double(), dim=-1)
            spreads += units.var(1).mean(-1).tolist()
        return sum(spreads) / len(spreads)

    assert found[0].variance.mean == pytest.approx(by_hand(False))
    assert found[1].variance.mean == found[2].variance.mean == pytest.approx(by_hand(True))
    assert found[1].variance.mean != pytest.approx(found[0].variance.mean, rel=1e-3)
    assert view_variance(torch.stack(groups[0], 1).flatten(2)).views == VIEWS
