"""``python -m salmask_plugin.adapters.solo_learn SCRIPT``."""

from __future__ import annotations

import pytest

from salmask_plugin.adapters.solo_learn.__main__ import find_script, main


def test_finds_the_script_here_or_in_the_clone(tmp_path, monkeypatch):
    script = tmp_path / "main_knn.py"
    script.touch()
    monkeypatch.setenv("SOLO_LEARN_HOME", str(tmp_path))
    assert find_script("main_knn.py") == script
    monkeypatch.delenv("SOLO_LEARN_HOME")
    assert find_script(str(script)) == script
    with pytest.raises(SystemExit, match="is not found"):
        find_script("main_knn.py")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_usage(arguments):
    with pytest.raises(SystemExit, match="usage: python -m"):
        main(arguments)


def test_a_script_that_wants_a_gpu_is_not_begun_without(tmp_path, monkeypatch):
    """solo-learn's main_umap.py has "cuda:0" in its text; main_knn.py's calls can be undone."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    script = tmp_path / "main_umap.py"
    script.write_text("raise RuntimeError('begun')")
    with pytest.raises(SystemExit, match="asks for cuda:0"):
        main([str(script)])
