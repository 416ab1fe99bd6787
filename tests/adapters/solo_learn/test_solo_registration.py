"""Registration against a minimal imitation of solo-learn, and the Hydra plugin around it."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from omegaconf import OmegaConf
from oracles.working import run
from torch import nn
from torchmetrics import Metric
from torchvision.models import resnet18, resnet50

ADAPTER = "salmask_plugin.adapters.solo_learn"
HOST_BOUND = ("moco", "simclr", "adios_mixin", "adios_moco", "adios_simclr")


class BaseMethod(nn.Module):
    """The parts of solo-learn's class that registration touches."""

    _BACKBONES = {}  # noqa: RUF012

    def __init__(self, cfg):
        super().__init__()
        self.cfg = self.add_and_assert_specific_cfg(cfg)

    @staticmethod
    def add_and_assert_specific_cfg(cfg):
        cfg.touched = True
        return cfg


class LinearModel(BaseMethod):
    @staticmethod
    def add_and_assert_specific_cfg(cfg):
        return cfg


class AutoResumer:
    SHOULD_MATCH = ["name"]  # noqa: RUF012


class WeightedKNNClassifier(Metric):
    def __init__(self):
        super().__init__(dist_sync_on_step=False, compute_on_step=False)
        self.add_state("seen", default=[])

    def update(self, item):
        self.seen.append(item)

    def compute(self):
        return len(self.seen)


def subclass(name):
    return type(name, (BaseMethod,), {})


@pytest.fixture
def imitation(monkeypatch):
    """``solo`` in sys.modules, fresh classes each time, and our host-bound modules forgotten."""
    base = type("BaseMethod", (BaseMethod,), {"_BACKBONES": {}})
    base.add_and_assert_specific_cfg = staticmethod(
        BaseMethod.__dict__["add_and_assert_specific_cfg"].__func__
    )
    base._BACKBONES.update(
        resnet18=lambda method=None, **kw: resnet18(**kw),
        resnet50=lambda method=None, **kw: resnet50(**kw),
    )
    linear = type("LinearModel", (BaseMethod,), dict(vars(LinearModel)))
    knn = type("WeightedKNNClassifier", (Metric,), dict(vars(WeightedKNNClassifier)))

    def init(self):
        super(knn, self).__init__(dist_sync_on_step=False, compute_on_step=False)
        self.add_state("seen", default=[])

    knn.__init__ = init
    moco, simclr, byol = (type(name, (base,), {}) for name in ("MoCoV2Plus", "SimCLR", "BYOL"))
    methods = {"base": base, "linear": linear, "mae": subclass("MAE"), "byol": byol}
    methods |= {"mocov2plus": moco, "simclr": simclr}
    contents = {
        "solo": {},
        "solo.methods": {"METHODS": methods},
        "solo.methods.base": {"BaseMethod": base},
        "solo.methods.linear": {"LinearModel": linear},
        "solo.methods.mocov2plus": {"MoCoV2Plus": moco},
        "solo.methods.simclr": {"SimCLR": simclr},
        "solo.utils": {},
        "solo.utils.auto_resumer": {
            "AutoResumer": type("AutoResumer", (), {"SHOULD_MATCH": ["name"]})
        },
        "solo.utils.knn": {"WeightedKNNClassifier": knn},
        "solo.utils.misc": {"gather": lambda x: x, "get_rank": lambda: 0},
    }
    for name, values in contents.items():
        module = types.ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    for name in HOST_BOUND:
        monkeypatch.delitem(sys.modules, f"{ADAPTER}.{name}", raising=False)
    yield sys.modules["solo.methods"], sys.modules
    for name in HOST_BOUND:
        sys.modules.pop(f"{ADAPTER}.{name}", None)


def test_fills_the_registries_and_a_second_time_changes_nothing(imitation):
    from salmask_plugin.adapters.solo_learn import register

    solo, modules = imitation
    own = dict(solo.METHODS)
    register()
    first, backbones = dict(solo.METHODS), dict(own["base"]._BACKBONES)
    check = own["base"].add_and_assert_specific_cfg
    register()
    assert first == solo.METHODS
    assert backbones == own["base"]._BACKBONES
    assert own["base"].add_and_assert_specific_cfg is check
    assert set(first) - set(own) == {
        "salmask_mocov2plus",
        "salmask_mocov2",
        "salmask_simclr",
        "salmask_adios_mocov2plus",
        "salmask_adios_simclr",
        "salmask_byol",
    }
    assert all(first[name] is method for name, method in own.items())
    assert issubclass(first["salmask_byol"], own["byol"])
    assert modules["solo.utils.auto_resumer"].AutoResumer.SHOULD_MATCH == ["name", "salmask"]


def test_checks_run_before_any_method_is_built(imitation):
    from salmask_plugin.adapters.solo_learn import register

    register()
    methods = imitation[0].METHODS
    plain = {"method": "simclr", "backbone": {"name": "resnet18"}}
    assert methods["simclr"](OmegaConf.create(plain)).cfg.touched
    with pytest.raises(ValueError, match="would be the baseline"):
        methods["simclr"](OmegaConf.create({**plain, "salmask": {"recipe": "mean"}}))
    with pytest.raises(ValueError, match="needs a salmask node"):
        methods["salmask_simclr"](OmegaConf.create({**plain, "method": "salmask_simclr"}))
    with pytest.raises(ValueError, match="belongs to pretraining"):
        methods["linear"](OmegaConf.create({"salmask": {"recipe": "mean"}}))


def test_the_knn_classifier_can_be_built_and_only_stores(imitation):
    from salmask_plugin.adapters.solo_learn import register

    classifier = imitation[1]["solo.utils.knn"].WeightedKNNClassifier
    with pytest.raises(ValueError, match="compute_on_step"):
        classifier()
    register()
    register()
    knn = classifier()
    assert knn(torch.ones(1)) is None
    knn(torch.ones(1))
    assert int(knn.compute()) == 2


class SearchPath:
    def __init__(self):
        self.added = []

    def append(self, provider, path):
        self.added.append((provider, path))


def plugin():
    from hydra_plugins.salmask import SalmaskSearchPathPlugin

    return SalmaskSearchPathPlugin()


def test_the_plugin_acts_in_solo_learns_programs_only(imitation, monkeypatch):
    path = SearchPath()
    plugin().manipulate_search_path(path)
    assert path.added == [("salmask", "pkg://salmask_plugin.configs.solo_learn")]
    assert "salmask_byol" in imitation[0].METHODS
    monkeypatch.delitem(sys.modules, "solo.methods")
    other = SearchPath()
    plugin().manipulate_search_path(other)
    assert other.added == []


def test_the_plugin_never_raises(imitation, monkeypatch):
    monkeypatch.setitem(sys.modules, "solo.methods.linear", None)
    path = SearchPath()
    with pytest.warns(UserWarning, match="could not register itself"):
        plugin().manipulate_search_path(path)
    assert path.added == []


def test_another_hydra_program_pays_next_to_nothing():
    """Discovery in a fresh process: our module found, neither torch nor salmask_plugin imported."""
    program = (
        "import sys, time\n"
        "import hydra, hydra.core.plugins\n"
        "from hydra.core.plugins import Plugins\n"
        "from hydra.plugins.search_path_plugin import SearchPathPlugin\n"
        "names = [p.__name__ for p in Plugins.instance().discover(SearchPathPlugin)]\n"
        "assert 'SalmaskSearchPathPlugin' in names, names\n"
        "for name in ('torch', 'salmask_plugin', 'lightning', 'numpy'):\n"
        "    assert name not in sys.modules, name\n"
        "del sys.modules['hydra_plugins.salmask']\n"
        "start = time.process_time()\n"
        "import hydra_plugins.salmask\n"
        "print(1000 * (time.process_time() - start))\n"
    )
    done = run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 50  # milliseconds of work; about 0.3


def test_the_callback_registers_before_each_job(imitation):
    from salmask_plugin.adapters.solo_learn.callback import RegisterCallback

    RegisterCallback().on_job_start(config=None, task_function=None)
    assert "salmask_simclr" in imitation[0].METHODS
