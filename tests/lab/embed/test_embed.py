"""Features of a folder as files and pictures: right rows, right neighbours, right places."""

import csv
import io
import os
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from salmask_plugin.cli.main import main
from salmask_plugin.encoders import load_backbone, small_convnet
from salmask_plugin.lab.data import evaluation_transform, read_image
from salmask_plugin.lab.embed import embed as embed_module
from salmask_plugin.lab.embed.neighbours import nearest
from salmask_plugin.lab.embed.picture import APART, in_unit_square, spread_out, thumbnail
from salmask_plugin.lab.embed.projection import project
from salmask_plugin.lab.embed.tables import write_tables

FILES = ["features.csv", "features.npz"]
PICTURES = ["embedding.png", "neighbours.png"]


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network, _ = small_convnet([4, 4, 8, 8])
    torch.save(network.state_dict(), tmp_path / "encoder.pt")
    return tmp_path / "encoder.pt"


def test_the_command_writes_what_the_encoder_says(tmp_path, checkpoint, save_picture, capsys):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for number, value in enumerate((10, 90, 170, 250)):
        save_picture(photos / ("sub" if number % 2 else ".") / f"$p{number}_é.png", value)
    (photos / "broken.jpg").write_bytes(b"no picture")
    assert main(["embed", str(checkpoint), str(photos), str(out), "--view-size", "32"]) == 0
    said = capsys.readouterr().out
    assert "Pictures: 4" in said
    assert "passed over: " in said
    assert "broken.jpg" in said
    assert set(FILES + PICTURES) <= {path.name for path in out.iterdir()}

    packed = np.load(out / "features.npz")
    names = packed["files"].tolist()
    assert sorted(names) == ["$p0_é.png", "$p2_é.png", "sub/$p1_é.png", "sub/$p3_é.png"]
    network = load_backbone(checkpoint)
    assert str(packed["fingerprint"]) == network.fingerprint
    views = torch.stack([evaluation_transform(32)(read_image(photos / name)) for name in names])
    with torch.no_grad():
        expected = network.network(views).numpy()
    np.testing.assert_allclose(packed["features"], expected, rtol=1e-4, atol=1e-6)
    rows = list(csv.reader(io.StringIO((out / "features.csv").read_text(encoding="utf-8"))))
    assert rows[0] == ["file", "x", "y", *(f"f{index}" for index in range(8))]
    assert [row[0] for row in rows[1:]] == names
    numbers = np.array([row[1:] for row in rows[1:]], np.float32)
    np.testing.assert_array_equal(numbers[:, :2], packed["points"])
    np.testing.assert_array_equal(numbers[:, 2:], packed["features"])
    for name in PICTURES:
        with Image.open(out / name) as picture:
            assert min(picture.size) > 400

    assert main(["embed", str(checkpoint), str(photos), str(out)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert main(["embed", str(checkpoint), str(photos / "sub"), str(tmp_path / "two")]) == 2
    assert "has 2 pictures; an embedding needs 3" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


def test_pca_keeps_distances_of_a_plane():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(6, 6)))[0][:, :3]
    angles = rng.uniform(0, 2 * np.pi, 9)
    circle = np.stack([np.cos(angles), np.sin(angles), np.ones(9)], 1) @ plane.T
    found = project(circle * rng.uniform(1, 9, (9, 1)), "pca")  # lengths do not count
    between = np.linalg.norm(found.points[:, None] - found.points[None], axis=2)
    flat = np.stack([np.cos(angles), np.sin(angles)], 1) / np.sqrt(2)
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    np.testing.assert_allclose(between, expected, atol=1e-6)
    assert found.words.endswith("100% of the variance")


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_loading_of_an_axis_points_up(seed):
    """So a picture is not mirrored by the machine, or by the order of the features."""
    features = np.random.default_rng(seed).normal(size=(9, 5))
    found = project(features, "pca").points
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    loadings = (unit - unit.mean(0)).T @ found
    for axis in range(2):
        assert loadings[np.abs(loadings[:, axis]).argmax(), axis] > 0
    other = project(features[:, ::-1], "pca").points
    np.testing.assert_allclose(other, found, atol=1e-5)


def test_features_that_are_all_alike_have_one_place():
    found = project(np.ones((4, 3)), "pca")
    np.testing.assert_allclose(found.points, 0, atol=1e-7)


def test_umap_is_used_where_it_is(monkeypatch):
    class Umap:
        def __init__(self, **given):
            assert given["n_neighbors"] == 15
            assert given["metric"] == "cosine"

        def fit_transform(self, unit):
            np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1)
            return unit[:, :2]

    module = types.ModuleType("umap")
    module.UMAP = Umap
    module.__spec__ = types.SimpleNamespace(name="umap")
    monkeypatch.setitem(sys.modules, "umap", module)
    features = np.random.default_rng(0).normal(size=(20, 4))
    assert project(features).method == "umap"
    assert project(features[:9]).method == "pca"
    with pytest.raises(ValueError, match="needs 16 pictures, not 9"):
        project(features[:9], "umap")


def test_projections_that_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match="projection='tsne' must be one of"):
        project(np.ones((4, 3)), "tsne")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        project(np.ones((20, 3)), "umap")


@pytest.mark.parametrize(
    ("given", "words"),
    [(["--projection", "umap"], "pip install umap-learn"), ([], "out cannot be written")],
)
def test_what_cannot_be_is_said_before_any_picture_is_looked_at(
    given, words, tmp_path, checkpoint, save_picture, monkeypatch, capsys
):
    for value in range(20):
        save_picture(tmp_path / "photos" / f"{value}.png", value)
    monkeypatch.setattr(embed_module, "_features", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if not given:
        (tmp_path / "file").touch()
    out = tmp_path / ("out" if given else "file/out")
    arguments = [str(checkpoint), str(tmp_path / "photos"), str(out), "--view-size", "32"]
    assert main(["embed", *arguments, *given]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_picture_that_cannot_be_drawn_loses_no_features(
    tmp_path, checkpoint, save_picture, monkeypatch
):
    def gone(*given):
        raise OSError("x.png has gone")

    for value in range(3):
        save_picture(tmp_path / "photos" / f"{value}.png", value)
    monkeypatch.setattr(embed_module, "draw_embedding", gone)
    with pytest.warns(UserWarning, match=r"embedding\.png could not be drawn .*has gone"):
        found = embed_module.embed(checkpoint, tmp_path / "photos", tmp_path / "out", view_size=32)
    assert sorted(path.name for path in found.files) == sorted([*FILES, "neighbours.png"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in found.files
    )


def test_neighbours_are_the_largest_cosines():
    features = np.array([[1.0, 0], [5, 0.5], [0, 2], [-1, 0], [0, 0]])
    found = nearest(features, 0, 3)
    assert [index for index, _ in found] == [1, 2, 4]
    assert found[0][1] == pytest.approx(5 / np.hypot(5, 0.5))
    assert len(nearest(features, 2, 9)) == 4


def test_thumbnails_hide_none_another():
    places = np.random.default_rng(1).uniform(size=(300, 2))
    chosen = places[spread_out(places)]
    gaps = np.abs(chosen[:, None] - chosen[None]).max(2) + 9 * np.eye(len(chosen))
    assert gaps.min() >= APART
    assert len(chosen) > 40


def test_a_thumbnail_is_the_middle():
    image = Image.new("RGB", (30, 10), (255, 0, 0))
    image.paste((0, 0, 255), (10, 0, 20, 10))
    assert (thumbnail(image, 5) == (0, 0, 255)).all()


def test_few_points_far_away_do_not_make_the_rest_a_heap():
    crowd = np.random.default_rng(0).uniform(size=(40, 2))
    far = np.array([[1e4, 0.5], [0.5, -1e4]])
    places, outside = in_unit_square(np.concatenate([crowd, far]))
    assert outside.tolist() == [False] * 40 + [True] * 2
    alone, none = in_unit_square(crowd)
    assert not none.any()
    np.testing.assert_allclose(places[:40], alone)
    np.testing.assert_allclose((alone.min(0), alone.max(0)), ((0, 0), (1, 1)))
    assert places[40][0] == 1
    assert places[41][1] == 0
    assert (in_unit_square(np.zeros((5, 2)))[0] == 0.5).all()


def test_projections_by_the_real_umap():
    pytest.importorskip("umap", reason="umap-learn is not installed")
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.eye(3, 8), 20, axis=0)
    found = project(kinds + 0.05 * rng.normal(size=kinds.shape), "umap")
    assert (found.method, found.points.shape) == ("umap", (60, 2))
    groups = found.points.reshape(3, 20, 2)
    centres = groups.mean(1)
    within = np.linalg.norm(groups - centres[:, None], axis=2).mean()
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2)[~np.eye(3, dtype=bool)]
    assert between.min() > 2 * within


def test_parquet_is_read_back_by_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pyarrow, which pandas writes parquet with, is missing")
    features = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    found = project(np.eye(3), "pca")
    names = write_tables(tmp_path, ["a.png", "b/é.png", "c.png"], features, found, "f")
    assert "features.parquet" in names
    frame = pandas.read_parquet(tmp_path / "features.parquet")
    assert frame["file"].tolist() == ["a.png", "b/é.png", "c.png"]
    np.testing.assert_array_equal(frame[[f"f{index}" for index in range(4)]], features)
    np.testing.assert_array_equal(frame[["x", "y"]], found.points)


def test_parquet_where_pandas_can_write_it(tmp_path, monkeypatch):
    """pandas writes it through pyarrow; what it is handed is looked at."""
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    written = []

    def to_parquet(frame, out, index):
        assert not index
        written.append(frame)
        out.write(b"parquet")

    monkeypatch.setattr(pandas.DataFrame, "to_parquet", to_parquet)
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = project(np.eye(3), "pca")
    names = write_tables(tmp_path, ["a.png", "b/é.png", "c.png"], features, found, "f")
    assert names == ["features.npz", "features.csv", "features.parquet"]
    assert (tmp_path / "features.parquet").read_bytes() == b"parquet"
    assert written[0]["file"].tolist() == ["a.png", "b/é.png", "c.png"]
    np.testing.assert_array_equal(written[0][["f0", "f1"]].to_numpy(), features)
    np.testing.assert_array_equal(written[0][["x", "y"]].to_numpy(), found.points)


@pytest.mark.parametrize("size", ["0", "-1", "2000000000"])
def test_views_that_cannot_be(size, tmp_path, checkpoint, save_picture, capsys):
    for place in range(3):
        save_picture(tmp_path / "photos" / f"{place}.png", place)
    photos, encoder = str(tmp_path / "photos"), str(checkpoint)
    for command in (["embed", encoder, photos], ["export", encoder]):
        assert main([*command, str(tmp_path / "out"), "--view-size", size]) == 2
        assert "view_size" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_names_of_files_act_on_nothing(tmp_path, checkpoint, save_picture, capsys):
    """Neither on the terminal, nor on a spreadsheet; bytes that are no UTF-8 are escaped."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    odd = ["=cmd|x.png", "@a.png", os.fsdecode(b"caf\xe9$x_{.png")]
    for number, name in enumerate(odd):
        save_picture(photos / "plain.png", 40 * number).rename(photos / name)
    (photos / os.fsdecode(b"bad\x1b[31m\xff.png")).write_bytes(b"no picture")
    assert main(["embed", str(checkpoint), str(photos), str(out), "--view-size", "32"]) == 0
    said = capsys.readouterr().out
    assert "bad\\x1b[31m\\xff.png" in said
    assert said.isprintable() or set(said) - {"\n"} <= set(map(chr, range(32, 127)))
    rows = list(csv.reader(io.StringIO((out / "features.csv").read_text(encoding="utf-8"))))
    assert [row[0] for row in rows[1:]] == ["'=cmd|x.png", "'@a.png", "caf\\udce9$x_{.png"]
    assert np.load(out / "features.npz")["files"][0] == "=cmd|x.png"
