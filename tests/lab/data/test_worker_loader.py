"""No loader of the package can wait for ever."""

import ast
from pathlib import Path

import pytest
import torch

import salmask_plugin
from salmask_plugin.lab.data import WholeImages, device_view_data, generated
from salmask_plugin.lab.data.device.recipe import ViewRecipe
from salmask_plugin.lab.data.worker_loader import HANGING, batches_loader, worker_loader

PACKAGE = Path(salmask_plugin.__file__).parent


def test_loaders_with_workers_are_made_in_one_place():
    """Elsewhere a DataLoader may be made without workers alone: it reads in the process itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = getattr(node, "func", None)
            name = getattr(called, "attr", getattr(called, "id", None))
            if name == "DataLoader":
                keywords = {keyword.arg for keyword in node.keywords}
                found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).update(keywords)
    assert found.pop("lab/data/worker_loader.py")
    assert all(not keywords & {"num_workers", None} for keywords in found.values()), found


def numbers(count):
    return torch.utils.data.TensorDataset(torch.arange(count))


def test_batches_come_as_they_were_asked_for_and_draw_nothing():
    state = torch.get_rng_state()
    loader = batches_loader(numbers(9), [[3, 1], [8], [0, 0, 2]], workers=0)
    assert [batch.tolist() for (batch,) in loader] == [[3, 1], [8], [0, 0, 2]]
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="workers=-1"):
        batches_loader(numbers(9), [[0]], workers=-1)


def test_every_maker_sets_the_limit_where_there_are_workers():
    images = generated(train_images=4, val_images=2, classes=2, size=24).train
    decoding = device_view_data(
        images, ViewRecipe(size=16), batch_size=2, seed=0, workers=1, decode_size=24, keep=False
    )
    for loader in (
        worker_loader(numbers(4), None, batch_size=2, workers=1),
        batches_loader(WholeImages(images, 8), [[0]], workers=1),
        decoding.train_loader(rank=0, world_size=1),
    ):
        assert loader.timeout == HANGING
        assert loader.num_workers == 1
    assert worker_loader(numbers(4), None, batch_size=2, workers=0).timeout == 0
