"""NaN, Inf and overflow: the run stops and says where it can go on, or is not touched by them."""

from __future__ import annotations

import pytest
import torch
import torture_runs as runs

from salmask_plugin import (
    BlurFill,
    GridMask,
    Masking,
    MeanFill,
    SaliencyMasking,
    TileFill,
    info_nce,
    step_generator,
)
from salmask_plugin.cli.main import main
from salmask_plugin.lab.errors import RunStopped
from salmask_plugin.lab.runs.checkpoints import AtomicCheckpointIO
from salmask_plugin.lab.runs.stopping import stops_in_words

BAD = [float("nan"), float("inf"), -float("inf")]


def test_a_run_that_diverges_names_the_newest_good_checkpoint(tmp_path, tried):
    for epoch in (0, 1):
        AtomicCheckpointIO().save_checkpoint({"epoch": epoch}, tmp_path / f"epoch-000{epoch}.ckpt")
    (tmp_path / "epoch-0002.ckpt").write_bytes(b"damaged")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(RunStopped, match=r"at batch 7\. The newest good .*epoch-0001\.ckpt"),
        stops_in_words(tmp_path),
    ):
        raise FloatingPointError("train_loss is nan at batch 7.")
    tried("loss that is not finite")


def test_the_commands_exit_codes(monkeypatch, capsys):
    from salmask_plugin.cli import doctor

    for error, code in (
        (RunStopped("stopped."), 1),
        (RunStopped("ended by SIGTERM.", 143), 143),
        (OSError(28, "No space left on device"), 1),
        (ValueError("wrong."), 2),
        (KeyboardInterrupt(), 130),
    ):

        def fail(options, error=error):
            raise error

        monkeypatch.setattr(doctor, "run", fail)
        assert main(["doctor"]) == code
        assert capsys.readouterr().err.strip().startswith("salmask: ")


def recipe(fill):
    def corners(images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1), (4, 5))

    return SaliencyMasking(
        corners,
        query=Masking(GridMask(), fill),
        negative=Masking(GridMask(ratio=(0.4, 0.7), background=False), fill),
    )


@pytest.mark.parametrize("fill", [MeanFill(), BlurFill(5, 1.0), TileFill()], ids=lambda f: type(f))
@pytest.mark.parametrize("bad", BAD)
def test_one_bad_image_touches_no_other(fill, bad, tried):
    """Its map ranks nothing, so it is masked like a constant one; the others as without it."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn((2, 5, 3, 40, 30), generator=generator)
    sound = recipe(fill)(query, key, step_generator(0, 0, 0))
    query, key = query.clone(), key.clone()
    query[1, :, 4:9], key[3, 0] = bad, bad
    found = recipe(fill)(query, key, step_generator(0, 0, 0))
    others = [0, 2, 4]
    for name in ("query", "key", "negatives", "query_mask"):
        assert torch.equal(getattr(found, name)[others], getattr(sound, name)[others]), name
    assert found.query_mask[1].any()
    assert not found.query_mask[1].all()
    tried("NaN or Inf in an image")


@pytest.mark.parametrize("value", [0.0, 1e30, -3.0])
def test_constant_images_are_masked_and_finite(value, tried):
    views = torch.full((3, 3, 40, 30), value)
    found = recipe(MeanFill())(views, views, step_generator(0, 0, 0))
    for name in ("query", "negatives"):
        assert (
            torch.equal(
                getattr(found, name).flatten(), torch.full_like(found.query, value).flatten()
            )
            or value == 1e30
        )
        assert torch.isfinite(getattr(found, name)).all()
    assert found.query_mask.any()
    tried("constant image")


@pytest.mark.parametrize("scale", [6e4, 1e-4, 1e-8])
def test_embeddings_at_the_ends_of_half_precision_give_a_finite_loss(scale, tried):
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn((2, 4, 8), generator=generator).clamp(-1, 1) * scale
    query = query.half().requires_grad_()
    queue, hard = torch.randn((9, 8), generator=generator), key.half()[:, None]
    loss = info_nce(query, key.half(), queue, hard)
    loss.backward()
    assert torch.isfinite(loss)
    # 1e-8 is zero in half precision; a zero vector has no direction, and the gradient overflows
    # there: Lightning's scaler drops such a step.
    assert torch.isfinite(query.grad).all() or scale == 1e-8
    tried("half-precision overflow and underflow")


NAN_VIEWS = """
from salmask_plugin.data import TwoViewDataset
item = TwoViewDataset.__getitem__
def bad(self, pair):
    sample = item(self, pair)
    if pair[0] == 2:
        sample[0][0].fill_(float("nan"))
    return sample
TwoViewDataset.__getitem__ = bad
"""
NAN_GRADIENTS = """
import torch
step = torch.optim.SGD.step
calls = []
def bad(self, closure=None):
    loss = step(self, closure)
    calls.append(1)
    if len(calls) == 10:
        torch.nn.init.constant_(self.param_groups[0]["params"][0], float("inf"))
    return loss
torch.optim.SGD.step = bad
"""


@pytest.mark.torture
@pytest.mark.parametrize(
    ("code", "more", "words", "kept"),
    [
        (NAN_VIEWS, (), "train_loss", ["epoch-0000.ckpt", "epoch-0001.ckpt"]),
        (NAN_GRADIENTS, (), "not finite at the end of this epoch", ["epoch-0000.ckpt"]),
        ("", ("method.learning_rate=1e30",), "There is no checkpoint yet", []),
    ],
    ids=["images", "last gradient of an epoch", "learning rate"],
)
def test_a_bad_step_is_the_last_and_never_in_a_checkpoint(code, more, words, kept, tmp_path, tried):
    done = runs.pretrain(tmp_path, *more, script=runs.faulty(tmp_path, code))
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if kept:
        assert f"{kept[-1]}; the same command goes on from there" in done.stderr
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.glob("*")) == kept
    assert not (tmp_path / "run" / "record.json").exists()
    tried("NaN in images, gradients or by divergence, whole runs")
