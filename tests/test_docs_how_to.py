"""The how-to page: every task is there once, and its snippet does what it says."""

import re

import numpy as np
from documents import ROOT, run_page

PAGE = (ROOT / "docs" / "how_to.md").read_text(encoding="utf-8")


def test_the_index_lists_every_task_in_order():
    listed = re.findall(r"^\| .* \| \[.*\]\(#([\w-]+)\) \|$", PAGE, re.M)
    headings = [
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", PAGE, re.M)
    ]
    assert listed == headings
    assert len(listed) == 10


def test_odd_pictures_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("docs/how_to.md")
    good = np.array([[1.0, 0], [2, 0.1]])
    new = np.array([[5.0, 0.1], [-1, 0], [0, 3]])
    for folder, rows in (("good", good), ("new", new)):
        (tmp_path / folder).mkdir()
        files = np.array([f"{index}.png" for index in range(len(rows))])
        np.savez(tmp_path / folder / "features.npz", files=files, features=rows)
    found = names["scores"]()
    assert [file for file, _ in found] == ["1.png", "2.png", "0.png"]
    # By hand: against (1, 0) the second is at 180 degrees, and (2, 0.1) is nearer to the third.
    assert found[1][1] == np.float64(1 - 0.1 / np.hypot(2, 0.1))
    assert 0 <= found[2][1] < 0.01
