"""Every example runs as it stands, on noise and a localizer that costs nothing."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest
from PIL import Image

HERE = Path(__file__).parent
TINY = [
    "--localizer=uniform",
    "--size=32",
    "--batch-size=8",
    "--count=16",
    "--epochs=1",
    "--workers=0",
]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The hard negatives dominate"),
]


@pytest.mark.parametrize(
    "name",
    ["moco_pytorch", "simclr_pytorch", "moco_lightning", "simclr_lightning", "callback_lightning"],
)
def test_the_example_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    assert math.isfinite(importlib.import_module(name).main(TINY))


def test_a_folder_of_few_pictures_is_told_which_word_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / name / "one.png")
    monkeypatch.syspath_prepend(str(HERE))
    with pytest.raises(SystemExit, match="2 images make no batch of 8: use a smaller"):
        importlib.import_module("callback_lightning").main([*TINY, f"--images={tmp_path}"])


def test_the_method_has_the_form_of_lightlys_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """What main.py does with an entry of METHODS, on FakeData and a ResNet-18."""
    from lightly.utils.benchmarking import FinetuneClassifier, KNNClassifier, LinearClassifier
    from pytorch_lightning import LightningModule, Trainer
    from torch.utils.data import DataLoader
    from torchvision.datasets import FakeData
    from torchvision.transforms import v2

    from salmask_plugin import UniformLocalizer

    monkeypatch.syspath_prepend(str(HERE))
    method = importlib.import_module("benchmark_method")
    model = method.METHOD["model"](
        batch_size_per_device=4,
        num_classes=3,
        backbone="resnet18",
        localizer=UniformLocalizer(),
        queue_size=64,
    )
    assert isinstance(model, LightningModule)
    assert model.online_classifier.feature_dim == 512

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )

    shape = (3, 64, 64)
    views = FakeData(8, shape, 3, method.MoCoV2Transform(input_size=64))
    plain = v2.Compose([v2.PILToTensor(), v2.ConvertImageDtype()])
    images = DataLoader(FakeData(8, shape, 3, plain), batch_size=4)
    fit = trainer()
    fit.fit(model, DataLoader(views, batch_size=4), images)
    assert {"train_loss", "val_online_cls_top1", "mask_ratio"} <= set(fit.callback_metrics)
    rate = fit.optimizers[0].param_groups[0]["initial_lr"]
    assert rate == pytest.approx(0.03 * 4 / 256)

    knn = KNNClassifier(model, 3, 2, 0.1, 0, 1, topk=(1,))
    trainer().validate(knn, [images, images], verbose=False)
    trainer().fit(
        LinearClassifier(model, 4, feature_dim=512, num_classes=3, topk=(1,)), images, images
    )
    model.train()  # LinearClassifier leaves eval mode behind
    trainer().fit(
        FinetuneClassifier(model, 4, feature_dim=512, num_classes=3, topk=(1,)), images, images
    )
