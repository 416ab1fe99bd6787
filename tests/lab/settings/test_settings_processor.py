"""The allocator's settings and what a CPU trains fastest with."""

import platform
import subprocess
import sys

import pytest
import torch

from salmask_plugin.cli import allocator
from salmask_plugin.cli.allocator import SETTINGS, keep_memory
from salmask_plugin.lab.settings import processor
from salmask_plugin.lab.settings.compose import compose_settings

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
FAULTS = """
import resource, sys
import numpy as np
from salmask_plugin.cli.allocator import keep_memory
environment = {}
if sys.argv[1] == "keep":
    assert keep_memory(environment)
for _ in range(3):
    np.ones(8_000_000)  # 64 MB, mapped and given back each time by default
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@GLIBC
def test_freed_memory_is_used_again():
    """Counted in page faults for ten arrays of 64 MB, whether pages are 4 KB or 2 MB."""
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, mode],
                capture_output=True,
                text=True,
                check=True,
                env={},
            ).stdout
        )
        for mode in ("plain", "keep")
    }
    assert faults["keep"] < 100
    assert faults["plain"] > 100


@GLIBC
def test_processes_that_are_started_inherit_it():
    environment = {}
    assert keep_memory(environment)
    assert environment == {name: str(value) for name, (_, value) in SETTINGS.items()}
    assert keep_memory(environment)  # and do it again where glibc has read its variables already


@pytest.mark.parametrize(
    "own",
    [
        {"SALMASK_KEEP_MEMORY": "0"},
        {"MALLOC_ARENA_MAX": "2"},
        {"MALLOC_TRIM_THRESHOLD_": "1000000"},
        {"GLIBC_TUNABLES": "glibc.malloc.check=3"},
    ],
)
def test_what_the_user_set_wins(own):
    environment = dict(own)
    assert not keep_memory(environment)
    assert environment == own


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    environment = {}
    assert not keep_memory(environment)
    assert environment == {}


@pytest.mark.parametrize("capable", [True, False])
def test_bfloat16_is_chosen_where_the_processor_has_it(monkeypatch, capable):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": capable})
    assert processor.fastest_precision("cpu") == ("bf16-mixed" if capable else "32-true")
    assert processor.fastest_precision("gpu") == "32-true"
    assert processor.fastest_memory_format("cpu") == "channels_last"
    assert processor.fastest_memory_format("gpu") == "contiguous"


@pytest.mark.parametrize("there", [True, False])
def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch, there):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    assert processor.on_cpu("auto") is not there


def test_settings_say_what_was_chosen(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True})
    given = ["experiment=small_block_simclr/none", "data.root=x", "localizer.folder=y"]
    settings = compose_settings(given)
    assert settings["trainer"]["precision"] == "bf16-mixed"
    assert settings["memory_format"] == "channels_last"
    assert compose_settings([])["trainer"]["precision"] == "32-true"
    assert compose_settings([])["memory_format"] == "contiguous"
