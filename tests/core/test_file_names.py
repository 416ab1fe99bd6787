"""Names that come from others make no path out of their folder."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmask_plugin.file_names import LONGEST, path_below, refuse_link_out, safe_name

HOSTILE = [
    "../../../x",
    "/etc/x",
    "..",
    ".",
    "",
    "a/../../b",
    "a\\..\\b",
    "C:\\x",
    "C:x",
    "\\\\h\\s",
]


@pytest.mark.parametrize("name", [*HOSTILE, "a\0b", "a\nb", "a\u202eb", "\udcff", "nul.txt", "con"])
def test_any_text_becomes_one_file_in_its_folder(name, tmp_path):
    made = safe_name(name)
    (tmp_path / "in" / "in").mkdir(parents=True)
    (tmp_path / "in" / "in" / f"{made}.json").write_text("x")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in files] == [tmp_path / "in" / "in"]
    assert not re.match(r"(?i)(con|nul)($|\.)", made)


@pytest.mark.parametrize(
    "name",
    ["mean", "mean-seed0", "0,5_ratio", "ep=99.x", "50%", "größe", "a@b (1)".replace(" ", "")],
)
def test_harmless_names_stay(name):
    assert safe_name(name) == name


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_names_differ_where_their_texts_do(first, second):
    one, other = safe_name(first), safe_name(second)
    assert (one == other) <= (first == second) or not first.isascii() or not second.isascii()
    assert 0 < len(one) <= LONGEST + 10
    assert not set(one) & set('/\\:*?"<>|\0\n')
    assert one == Path(one).name


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("follow", [False, True])
def test_paths_stay_below_their_folder(name, follow, tmp_path):
    with pytest.raises(ValueError, match=r"^name=.* must be a place below"):
        path_below(tmp_path, name, "name", follow_links=follow)
    assert path_below(tmp_path, "a/b.c", "name", follow_links=follow) == tmp_path / "a" / "b.c"


def test_links_out_are_told_from_links_inside(tmp_path):
    (tmp_path / "other").mkdir()
    run = tmp_path / "run"
    (run / "real").mkdir(parents=True)
    (run / "out").symlink_to(tmp_path / "other")
    (run / "inside").symlink_to("real")
    (run / "loop").symlink_to("loop")
    for name in ("out", "out/deeper/x"):
        with pytest.raises(ValueError, match="link that leads out"):
            path_below(run, name, "name")
        assert path_below(run, name, "name", follow_links=True) == run / name
    assert path_below(run, "inside/x", "name") == run / "inside" / "x"
    # The folder itself may be reached through a link.
    (tmp_path / "alias").symlink_to(run)
    refuse_link_out(tmp_path / "alias", tmp_path / "alias" / "real")
