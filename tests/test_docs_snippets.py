"""Every Python and YAML block of the documents is run: here, or where its page is tested."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from documents import ROOT, run_block, snippets
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import salmask_plugin
import salmask_plugin.data
from salmask_plugin import GridMask, Masking, MeanFill, SaliencyMasking, UniformLocalizer
from salmask_plugin.cli.main import main

# page -> the blocks that tests of other files run; all others are run below.
ELSEWHERE = {
    "README.md": {0},  # test_readme.py
    "docs/architecture.md": {0},  # test_docs_core.py
    "docs/concepts.md": {0},
    "docs/extending.md": {0, 1, 2, 3},
    "docs/first_hour.md": {0},  # test_docs_commands.py
    "docs/how_to.md": {0},  # test_docs_how_to.py
    "docs/lightly.md": {1},  # test_docs_core.py
    "docs/stable_pretraining.md": {0, 1},  # test_spt_documents.py, against the real package
}
YAML = {
    "docs/extending.md": 1,  # test_docs_core.py
    "docs/reports.md": 1,  # test_settings_registered.py
    "docs/solo_learn.md": 2,  # test_solo_yamls.py
}
HERE: dict[str, set[int]] = {
    "docs/data.md": {0, 1, 2},
    "docs/evaluation.md": {0},
    "docs/lightly.md": {0, 2, 3, 4},
    "docs/localizers.md": {0, 1},
}
NEGATIVE = Masking(GridMask(ratio=(0.4, 0.7), background=False), MeanFill())


@pytest.fixture(autouse=True)
def _global_randomness(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def counted(language: str) -> dict[str, int]:
    """How many blocks in ``language`` each page has that has any."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    pages = [str(path.relative_to(ROOT)) for path in paths]
    return {page: count for page in pages if (count := len(snippets(page, language)))}


def test_every_block_is_run():
    claimed = {
        page: sorted(ELSEWHERE.get(page, set()) | HERE.get(page, set()))
        for page in {*ELSEWHERE, *HERE}
    }
    found = counted("python")
    assert claimed == {page: list(range(count)) for page, count in found.items()}
    assert counted("yaml") == YAML


def masking() -> SaliencyMasking:
    return SaliencyMasking(
        UniformLocalizer(), query=Masking(GridMask(), MeanFill()), negative=NEGATIVE
    )


class TwoEncoders(nn.Module):
    """What the three lines of docs/lightly.md ask of a model: lightly's own names."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.backbone_momentum = self._encoder(), self._encoder()
        self.seen: list[Tensor] = []

    @staticmethod
    def _encoder() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 128, 8, stride=8), nn.BatchNorm2d(128))

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images).mean((2, 3))

    @torch.no_grad()
    def forward_momentum(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return self.backbone_momentum(images).mean((2, 3))


def test_the_three_lines_in_a_loop_of_lightlys():
    from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, frozen_running_statistics

    model, views = TwoEncoders(), torch.randn(2, 4, 3, 40, 32)
    names = run_block(
        "docs/lightly.md",
        0,
        HardNegativeNTXentLoss=HardNegativeNTXentLoss,
        frozen_running_statistics=frozen_running_statistics,
        step_generator=salmask_plugin.step_generator,
        masking=masking(),
        model=model,
        x_query=views[0],
        x_key=views[1],
        seed=0,
        rank=0,
        step=0,
    )
    assert names["loss"].isfinite()
    names["loss"].backward()
    assert model.backbone[0].weight.grad.abs().sum() > 0
    key, negatives = model.seen
    assert torch.equal(key, views[1])
    assert not torch.equal(negatives, key)
    assert model.backbone_momentum[1].num_batches_tracked == 1  # of the keys alone


def test_the_callback_of_lightly():
    import pytorch_lightning

    from salmask_plugin.adapters.lightly import SaliencyMaskingCallback

    names = run_block(
        "docs/lightly.md",
        2,
        Trainer=partial(pytorch_lightning.Trainer, logger=False, enable_checkpointing=False),
        SaliencyMaskingCallback=SaliencyMaskingCallback,
        masking=SaliencyMasking(UniformLocalizer(), query=Masking(GridMask(), MeanFill())),
    )
    assert any(isinstance(each, SaliencyMaskingCallback) for each in names["trainer"].callbacks)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and logging
def test_the_modules_of_lightly():
    import pytorch_lightning

    from salmask_plugin.adapters.lightly import MaskedMoCoV2, resnet

    def trainer(max_epochs: int) -> Any:
        assert max_epochs == 200
        return pytorch_lightning.Trainer(fast_dev_run=2, accelerator="cpu")

    batch = ([torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32)], torch.arange(4))
    names = run_block(
        "docs/lightly.md",
        3,
        resnet=resnet,
        MaskedMoCoV2=partial(MaskedMoCoV2, queue_size=8, split_batch_size=2),
        Trainer=trainer,
        masking=masking(),
        loader=DataLoader([batch] * 2, batch_size=None),
    )
    assert names["feature_dim"] == 2048
    assert names["model"].trainer.global_step == 2


def test_evaluation_in_lightly():
    """Classes that a column of the features tells: both protocols are right about every image."""
    from salmask_plugin.adapters.lightly import knn_evaluation, linear_evaluation

    labels = torch.arange(4).repeat(60)
    images = torch.zeros(240, 3, 8, 8)
    images[torch.arange(240), 0, labels] = 1 + torch.rand(240, 1)
    data = TensorDataset(images, labels)
    seen: dict[str, Any] = {}

    def keeping(name: str, evaluate: Any, **less: int) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            seen[name] = evaluate(*given, **(options | less))
            return seen[name]

        return call

    run_block(
        "docs/lightly.md",
        4,
        knn_evaluation=keeping("knn", knn_evaluation, k=20),
        linear_evaluation=keeping("linear", linear_evaluation, epochs=3, batch_size=24),
        model=nn.Sequential(nn.Flatten(), nn.ZeroPad1d((0, 2048 - 192))),
        plain_train=DataLoader(data, batch_size=24),
        train=DataLoader(data, batch_size=24, shuffle=True),
        val=DataLoader(data, batch_size=24),
    )
    assert seen["knn"].top1 == 1
    assert seen["linear"].top1 == 1


def test_loaders(monkeypatch):
    small = partial(salmask_plugin.data.generated, train_images=260, val_images=8)
    monkeypatch.setattr(salmask_plugin.data, "generated", small)
    names = run_block("docs/data.md", 0)
    views, labels, indices = names["views"], names["labels"], names["indices"]
    assert [view.shape for view in views] == [(128, 3, 64, 64)] * 2
    assert names["epoch"] == 9
    assert labels.tolist() == [names["splits"].train[index][1] for index in indices.tolist()]


def test_the_loader_of_a_lightning_module():
    method = run_block("docs/data.md", 1)["train_dataloader"]
    progress = SimpleNamespace(current=SimpleNamespace(processed=3))
    module = SimpleNamespace(
        data=SimpleNamespace(train_loader=lambda epoch: f"epoch {epoch}"),
        trainer=SimpleNamespace(fit_loop=SimpleNamespace(epoch_progress=progress)),
    )
    assert method(module) == "epoch 3"


def test_views_on_the_device(monkeypatch):
    small = partial(salmask_plugin.data.generated, train_images=260, val_images=8)
    monkeypatch.setattr(salmask_plugin.data, "generated", small)
    names = run_block("docs/data.md", 2)
    assert [view.shape for view in names["views"]] == [(128, 3, 32, 32)] * 2
    assert names["indices"].unique().numel() == 128


def test_an_encoder_is_loaded_with_its_filter():
    settings = [
        "experiment=plumbing",
        "masking=highpass",
        "localizer=uniform",
        "data.train_images=16",
        "data.val_images=8",
        "view_size=32",
        "loader.batch_size=8",
        "trainer.max_epochs=1",
    ]
    assert main(["pretrain", *settings, "out=runs", "name=highpass"]) == 0
    names = run_block("docs/evaluation.md", 0)
    images = torch.randn(2, 3, 32, 32)
    filtered = salmask_plugin.HighPassFilter(kernel_size=3, sigma=5 * 32 / 224)(images)
    with torch.no_grad():
        assert torch.equal(names["encoder"].eval()(images), names["bare"].eval()(filtered))
    assert names["backbone"].fingerprint[:16] in str(names["backbone"])


def test_saliency_of_a_pretrained_network():
    names = run_block("docs/localizers.md", 0)
    assert names["saliency"].shape == names["cells"].shape == (4, 7, 7)
    assert names["cells"].dtype == torch.bool


def test_saliency_of_the_encoder_in_training():
    names = run_block("docs/localizers.md", 1)
    encoder = nn.Sequential()
    encoder.add_module("layer4", nn.Conv2d(3, 5, 8, stride=8))
    saliency = names["masking"].localizer(encoder)(torch.randn(2, 3, 40, 32))
    assert saliency.shape == (2, 5, 4)
