"""Settings as code reads them: typed, whoever has written them."""

import pytest

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.compose import compose_settings
from salmask_plugin.lab.settings.settings import Settings

LOADER = {"batch_size": 8, "workers": 2}


def test_what_was_composed_is_read_as_it_stands():
    settings = compose_settings(["data=cifar10", "data.root=x", "batch_size=12", "workers=1"])
    assert (settings.seed, settings.view_size, settings.name) == (0, 224, None)
    assert (settings.loader.batch_size, settings.loader.input, settings.workers) == (12, "host", 1)
    assert settings.checkpoints.keep == settings["checkpoints"]["keep"]
    assert settings.compare.rows == settings["compare"]["rows"]
    assert settings.masking is settings["masking"]


def test_older_runs_lack_what_there_was_not():
    loader = Settings({"loader": LOADER}, {}).loader
    assert (loader.input, loader.decode_size, loader.keep) == ("host", None, True)


@pytest.mark.parametrize(
    ("values", "read", "words"),
    [
        ({"seed": "/../x"}, "seed", "seed='/../x' must be a whole number from 0, below 2"),
        ({"seed": True}, "seed", "seed=True must be a whole number"),
        ({"view_size": 0}, "view_size", "view_size=0 must be a whole number from 1"),
        ({"localizer_size": -5}, "localizer_size", "localizer_size=-5 must be a whole number from"),
        ({"out": 3}, "out", "out=3 must be a text"),
        ({}, "view_size", "'view_size' is no setting"),
        ({"loader": LOADER | {"batchsize": 1}}, "loader", "'loader.batchsize' is no setting"),
        ({"loader": LOADER | {"batchsize": 1}}, "loader", "Nearest: loader.batch_size"),
        ({"loader": {"workers": 1}}, "loader", "loader.batch_size is missing"),
        ({"loader": LOADER | {"batch_size": "8"}}, "loader", "loader.batch_size='8' must be"),
        ({"loader": LOADER | {"input": "gpu"}}, "loader", "loader.input='gpu' must be one of"),
        ({"loader": 3}, "loader", "loader=3 must be a mapping with batch_size"),
        ({"checkpoints": {"keep": 2.5, "every_n_epochs": 1}}, "checkpoints", "keep=2.5 must be"),
        ({"loader": {}}, "workers", "loader.workers is missing"),
    ],
)
def test_what_a_foreign_run_holds_instead_is_said(values, read, words):
    with pytest.raises(UserError) as caught:
        getattr(Settings(values, {}), read)
    assert words in str(caught.value)
