"""A warm-up without labels through the command: in words, in the record, in the report."""

import math
from types import SimpleNamespace

import torch

from salmask_plugin import MomentumLocalizer, SaliencyMasking, UniformLocalizer, step_generator
from salmask_plugin.cli.main import main
from salmask_plugin.lab.results import read_record
from salmask_plugin.lab.runs.build import build_parts
from salmask_plugin.lab.settings.compose import compose_settings

TINY = [
    "experiment=plumbing",
    "masking=mean",
    "localizer=momentum_quick",
    "warm_up@method.warm_up=saliency_quick",
    "data.train_images=48",
    "data.val_images=24",
    "data.classes=4",
    "view_size=32",
    "loader.batch_size=16",
    "loader.workers=0",
    "method.queue_size=32",
    "method.split_batch_size=8",
    "trainer.max_epochs=3",
]


def test_curves_have_gaps_where_nothing_was_logged(tmp_path, capsys):
    """Nine batches, four of them uniform: the second epoch has two steps with hard negatives."""
    given = [*TINY, "method.warm_up.uniform=0.4", "method.warm_up.ramp=0.2"]
    assert main(["pretrain", *given, f"out={tmp_path}", "name=run"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "no hard negatives for the first 40% of training; then rho rises from 0 over 20%" in printed
    )
    record = read_record(tmp_path / "run")
    assert record.masking["warm_up"] == "uniform 0.4, ramp 0.2 of training"
    assert record.localizer_trained_on == "the run's own images (no labels)"
    for name in ("foreground_share", "hard_negative_share", "similarity_hard"):
        first, *rest = record.history[name]
        assert math.isnan(first), name
        assert all(math.isfinite(value) for value in rest), name
        assert len(rest) == 2
    # A mean over the steps that logged it: Eq. 1 calls at least 26.5 % foreground.
    assert record.history["foreground_share"][1] > 0.265
    assert all(0.05 <= value <= 0.3 for value in record.history["mask_ratio"])
    assert not record.diverged
    assert main(["report", str(tmp_path)]) == 0


def test_label_free_masks_come_from_the_key_encoder_after_the_warm_up():
    """The documented line, without training: what masks the batches of its module."""
    given = [*TINY[:1], "masking=label_free", "masking.localizer.layer=layer2", *TINY[3:]]
    settings = compose_settings(given)
    with torch.random.fork_rng():
        parts = build_parts(settings)
    step_masking = parts.module.step_masking
    step_masking.start(SimpleNamespace(max_epochs=2, num_training_batches=10, max_steps=-1))
    query = parts.masking.query
    own = MomentumLocalizer(parts.module.key_backbone, settings.masking["localizer"]["layer"])
    draws = torch.Generator().manual_seed(0)
    views = [torch.randn(4, 3, 32, 32, generator=draws) for _ in range(2)]
    for step, localizer in ((0, UniformLocalizer((4, 4))), (1, UniformLocalizer((4, 4))), (2, own)):
        step_masking.batches_seen = step
        wanted = SaliencyMasking(localizer, query)(*views, step_generator(settings.seed, 0, step))
        found = step_masking([list(views)], rank=0)
        assert torch.equal(found.query, wanted.query)
        assert found.negatives is None


def test_a_baseline_has_nothing_to_warm_up(tmp_path, capsys):
    mine = [text for text in TINY if not text.startswith("localizer=")]
    given = [*mine, "masking=none", f"out={tmp_path}"]
    assert main(["pretrain", *given]) == 2
    assert "warm_up needs a masking to lead to" in capsys.readouterr().err
