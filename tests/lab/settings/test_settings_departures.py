"""What departs from the paper is said: whatever a method's file or its views' class sets."""

from dataclasses import replace

import pytest
import yaml

from salmask_plugin.lab.settings.compose import CONFIGS, compose_settings
from salmask_plugin.lab.settings.departures import departures_from_paper

METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
AS_THE_PAPER = [name for name in METHODS if not name.endswith(("_quick", "_tuned"))]
GIVEN = ["data=generated", "masking=none"]


def of_the_method(chosen):
    said = departures_from_paper(compose_settings([*GIVEN, *chosen]))
    return [text for text in said if text.startswith(("method.", "views."))]


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"lars": "sgd", "sgd": "lars"}[value]
    return 8 if value is None else value * 2 + (value == 0)


def changes():
    for method in ("mocov2", "simclr", "supervised"):
        node = yaml.safe_load((CONFIGS / "method" / f"{method}.yaml").read_text())["method"]
        for key, value in node.items():
            if key not in ("_target_", "warm_up", "negative_encoding"):  # the last two are nodes
                yield method, key, value


@pytest.mark.parametrize("method", AS_THE_PAPER)
def test_the_papers_own_methods_depart_in_nothing(method):
    assert not of_the_method([f"method={method}"])


@pytest.mark.parametrize(("method", "key", "value"), list(changes()))
def test_no_setting_of_a_method_departs_in_silence(method, key, value):
    (text,) = of_the_method([f"method={method}", f"method.{key}={another(value)}"])
    assert text.startswith(f"method.{key} is ")


@pytest.mark.parametrize(("method", "default"), [("mocov2", "0.2"), ("simclr", "0.08")])
def test_views_are_held_against_their_class(method, default):
    chosen = [f"method={method}", "views.min_scale=0.5"]
    assert of_the_method(chosen) == [f"views.min_scale is 0.5; the paper's is {default}"]


def test_a_name_that_leads_elsewhere_is_no_path(tmp_path):
    (tmp_path / "other.yaml").write_text("method: {momentum: 7}")
    settings = compose_settings([*GIVEN, "method.momentum=0.5"])
    for name in (str(tmp_path / "other"), "../backbone/small", "of my own"):
        changed = replace(settings, choices=settings.choices | {"method": name})
        said = departures_from_paper(changed)
        assert "method.momentum is 0.5; the paper's is 0.999" in said


def test_a_quick_method_is_held_against_the_papers():
    said = of_the_method(["method=mocov2_quick"])
    assert "method.queue_size is 2048; the paper's is 65536" in said
    assert len(said) == 4  # as many as its file sets of the method
