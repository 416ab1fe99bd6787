"""The built wheel carries the configuration, the templates and the Hydra plugin."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_configs_are_inside_the_package(names):
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert f"salmask_plugin/configs/{path.relative_to(ROOT / 'configs')}" in names


def test_templates_types_and_plugin_are_inside(names):
    assert "salmask_plugin/py.typed" in names
    assert "hydra_plugins/salmask/__init__.py" in names
    assert "hydra_plugins/__init__.py" not in names
    assert any(name.endswith("report.html.j2") for name in names)


def test_nothing_else_is_installed(names):
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "salmask_plugin",
        "hydra_plugins",
    }
