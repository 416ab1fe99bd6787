"""Every YAML leaf equals a constructor, key for key, and every combination of choices composes."""

import inspect
import itertools
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.folder import keep_settings, run_folder
from salmask_plugin.lab.settings.allowed_targets import check_targets
from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings, register_resolvers
from salmask_plugin.lab.settings.study_rows import row_settings

ROOT = Path(__file__).resolve().parents[1]
GROUPS = (
    "backbone",
    "crops",
    "data",
    "depth",
    "detection",
    "fill",
    "localizer",
    "masking",
    "method",
    "negative_encoding",
    "sampler",
    "view_filter",
    "warm_up",
)
GIVEN_BY_THE_COMMAND = {"backbone", "feature_dim", "masking", "seed", "query_index", "num_classes"}
ONLY_SOME_KEYS = {"Trainer", "MoCoV2Transform", "SimCLRTransform"}
"""Classes of other libraries, whose further arguments keep their own defaults."""


def leaves():
    for group in GROUPS:
        yield from sorted((CONFIGS / group).glob("*.yaml"))


def nodes(value):
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        for item in value.values():
            yield from nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def composed_keys(content, node):
    """Keys of a node, with those that its file's defaults list puts there."""
    keys = {key for key in node if not key.startswith("_")}
    for entry in content.get("defaults", []):
        if isinstance(entry, dict):
            (group,) = entry
            owner, _, name = group.split("@")[-1].rpartition(".")
            if node is content:
                keys.add((owner or name).split(".")[0])
            elif owner and node is content.get(owner):
                keys.add(name)
    return keys - {"defaults"}


@pytest.mark.parametrize("path", list(leaves()), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_leaf_has_the_keys_of_its_constructor(path):
    content = yaml.safe_load(path.read_text()) or {}
    for node in nodes(content):
        target = get_object(node["_target_"])
        parameters = set(inspect.signature(target).parameters) - {"self"}
        keys = composed_keys(content, node)
        assert keys <= parameters, f"{path}: {keys - parameters}"
        if target.__name__ in ONLY_SOME_KEYS or node.get("_partial_"):
            continue
        if path.parent.name == "masking" and target.__name__ in ("Masking", "FirstNegative"):
            continue  # its sampler and fill come from the defaults list
        missing = parameters - keys - GIVEN_BY_THE_COMMAND
        assert not missing, f"{path}: {target.__name__} also takes {missing}"


@pytest.mark.parametrize("localizer", ["efficientnet_lite0", "resnet50", "momentum", "uniform"])
@pytest.mark.parametrize(
    "masking", sorted(path.stem for path in (CONFIGS / "masking").glob("*.yaml"))
)
def test_every_recipe_composes_with_localizers(masking, localizer):
    settings = compose_settings([f"masking={masking}", f"localizer={localizer}"])
    assert settings.choices["masking"] == masking
    check_targets(settings.values)


def test_the_recipe_with_a_warm_up_is_its_two_parts():
    parts = ["masking=label_free", "warm_up@method.warm_up=saliency"]
    for method in ("mocov2", "simclr_quick"):
        one = compose_settings(["masking=label_free_warmup", f"method={method}"])
        assert one.values == compose_settings([*parts, f"method={method}"]).values


EXPERIMENTS = sorted((CONFIGS / "experiment").rglob("*.yaml"))
NOT_QUICK = ("demo", "plumbing", "tiny_block", "small_block", "gpu_block")
"""They say of their own data set or localizer what the quick scale's does not know."""


@cache
def somewhere(*given):
    """Values for the settings that have none yet, and for no others."""
    try:
        compose_settings(given)
    except UserError as error:
        return [f"{key}=somewhere" for key in re.findall(r"([\w.]+)=VALUE", str(error))]
    return []


def name_of(path):
    return str(path.relative_to(CONFIGS / "experiment").with_suffix(""))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_every_experiment_composes_with_all_its_rows(path, scale):
    given = [f"experiment={name_of(path)}", f"scale={scale}"]
    given += somewhere(*given)
    if scale == "quick" and name_of(path).startswith(NOT_QUICK):
        with pytest.raises(
            UserError, match=r"is no setting of salmask_plugin\.(data\.cifar10|SCDA)"
        ):
            compose_settings(given)
        return
    study = compose_settings(given)["compare"]
    assert set(study["left_out"]) <= {"given"}
    for name, overrides in study["rows"].items():
        if name in study["left_out"]:
            continue
        settings = compose_settings([*given, *overrides])
        check_targets(settings.values)
        if scale == "quick":
            assert settings["trainer"]["max_epochs"] <= 6
            assert settings["view_size"] == 32
            assert settings.choices["method"].endswith(("_quick", "_tuned"))
    assert study["baseline"] in study["rows"]
    assert set(study["targets"]) <= set(study["rows"])


@pytest.mark.parametrize("path", [p for p in EXPERIMENTS if p.parent.name == "paper"], ids=name_of)
def test_rows_of_the_papers_tables_are_the_papers_setting(path):
    given = [f"experiment={name_of(path)}"]
    given += somewhere(*given)
    study = compose_settings(given)["compare"]
    assert study["open"]
    assert set(study["targets"]) == set(study["rows"])
    for name, overrides in study["rows"].items():
        settings = compose_settings([*given, *overrides])
        devices = settings["trainer"]["devices"]
        large = settings.choices["method"].endswith(("simclr", "supervised"))
        assert settings["loader"]["batch_size"] * devices == (256 if large else 128), name
        assert settings["view_size"] == 224
        assert settings.choices["backbone"] == "resnet50"
        assert settings.choices["data"] in ("imagenet100", "tiny_imagenet")
        epochs = {"table_a5": 2, "table9": 100}.get(path.stem, 200)
        assert settings["trainer"]["max_epochs"] == epochs
        if settings.choices["data"] == "tiny_imagenet" and settings["masking"]:
            ratios = [
                part["ratio"]
                for part in nodes(settings["masking"]["query"]["sampler"])
                if "ratio" in part
            ]
            assert ratios
            assert all(ratio == [0.15, 0.15] for ratio in ratios)


def test_defaults_are_the_papers():
    settings = compose_settings([])
    assert settings["view_size"] == 224
    assert settings["loader"]["batch_size"] == 128
    assert settings["trainer"]["max_epochs"] == 200
    assert settings["method"]["queue_size"] == 65536
    assert settings["method"]["momentum"] == 0.999
    assert settings["method"]["learning_rate"] == 0.015
    mean = compose_settings(["masking=mean"])["masking"]
    assert mean["query"]["sampler"]["ratio"] == [0.05, 0.25]
    assert mean["negative"]["sampler"]["ratio"] == [0.4, 0.7]
    assert mean["negative"]["sampler"]["background"] is False
    highpass = compose_settings(["masking=highpass"])["masking"]
    assert highpass["view_filter"] == {
        "_target_": "salmask_plugin.HighPassFilter",
        "kernel_size": 11,
        "sigma": 5.0,
    }
    assert (highpass["query"]["fill"]["std"], highpass["negative"]["fill"]["std"]) == (0.18, 0.14)
    assert highpass["query"]["sampler"]["weights"] == [0.20, 0.24, 0.56]


def test_kernels_follow_the_view():
    node = compose_settings(["masking=blur", "view_size=64"])["masking"]["query"]["fill"]
    assert node["kernel_size"] == 9
    assert node["sigma"] == pytest.approx(10 * 64 / 224)


def test_resolvers_can_be_registered_again():
    register_resolvers()
    register_resolvers()


def test_configs_are_reachable_beside_the_package():
    assert CONFIGS.samefile(ROOT / "configs")


def test_extras_bound_the_hosts():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any(entry.replace(" ", "") == "lightly>=1.6,<2" for entry in extras["lightly"])
    required = itertools.chain(extras["cli"], extras["solo"])
    assert [e for e in required if e.startswith("hydra-core")] == ["hydra-core>=1.3,<1.4"] * 2


def study_of(path):
    return yaml.safe_load(path.read_text()).get("compare", {}).get("study")


SHARING = [path for path in EXPERIMENTS if study_of(path) not in (None, name_of(path))]


@pytest.mark.parametrize("path", SHARING, ids=name_of)
@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_experiments_that_share_a_study_share_its_runs(path, scale, tmp_path):
    def rows(name):
        given = [f"experiment={name}", f"scale={scale}"]
        given += somewhere(*given)
        study = compose_settings(given)
        return {
            row: compose_settings([*given, *row_settings(study, row, seed=5)])
            for row in study["compare"]["rows"]
        }

    own, trained = rows(name_of(path)), rows(study_of(path))
    assert own.keys() <= trained.keys()
    for row, settings in own.items():
        assert run_folder(settings) == run_folder(trained[row])
        keep_settings(tmp_path / row, trained[row])
        keep_settings(tmp_path / row, settings)  # refuses another run


def test_some_experiments_share_a_study():
    assert {"paper/table2_mocov2", "paper/table3_simclr", "paper/table5_voc"} <= {
        name_of(path) for path in SHARING
    }
