"""Weights files: checked, read safely, loaded strictly."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from salmask_plugin.localizers.weights import load_strictly, read_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def state():
    return {name: torch.rand(t.shape) for name, t in network().state_dict().items()}


def save(folder, state, kind):
    path = folder / f"weights.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if kind == "ckpt" else state, path)
    return path


@pytest.mark.parametrize("kind", ["pth", "ckpt", "safetensors"])
def test_reads_each_form(tmp_path, state, kind):
    path = save(tmp_path, state, kind)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for sha256 in (None, digest, digest[:8], digest.upper()):
        read = read_weights(path, sha256)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[name], state[name]) for name in state)


def test_digest(tmp_path, state):
    path = save(tmp_path, state, "pth")
    with pytest.raises(ValueError, match="not the expected file"):
        read_weights(path, "0" * 64)
    with pytest.raises(ValueError, match="at least 8"):
        read_weights(path, "")


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights_file=.*nothing\.pth"):
        read_weights(tmp_path / "nothing.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x80\x02half"])
def test_damaged(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no readable weights"):
        read_weights(path)


def test_truncated(tmp_path, state):
    path = save(tmp_path, state, "pth")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="no readable weights"):
        read_weights(path)


class Evil:
    def __reduce__(self):
        return (open, ("evil", "w"))


def test_code_in_a_pickle_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(ValueError, match="no readable weights"):
        read_weights(path)
    path.write_bytes(pickle.dumps({"weight": Evil()}, protocol=2))
    with pytest.raises(ValueError, match="no readable weights"):
        read_weights(path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"net": {"weight": torch.zeros(1)}}, 3])
def test_no_tensors(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="no plain mapping"):
        read_weights(path)


def test_loads_every_tensor(state):
    target = network()
    load_strictly(target, state, "here")
    assert all(torch.equal(t, state[name].to(t.dtype)) for name, t in target.state_dict().items())


def test_a_counter_may_be_absent(state):
    del state["1.num_batches_tracked"]
    load_strictly(network(), state, "here")


def test_names_and_shapes_must_agree(state):
    state["fc.weight"] = state.pop("1.weight")
    state["0.weight"] = torch.zeros(4, 3, 5, 5)
    message = (
        r"here does not fit Sequential: 1 missing \(1.weight\); 1 unexpected \(fc.weight\); "
        r"1 of another shape \(0.weight \(4, 3, 5, 5\) for \(4, 3, 3, 3\)\)"
    )
    with pytest.raises(ValueError, match=message):
        load_strictly(network(), state, "here")
