"""Which pictures of a folder a preview shows."""

import pytest

from salmask_plugin.lab.measures import preview as previews


@pytest.mark.parametrize(
    ("count", "shown", "some"),
    [
        (1, "0", ""),
        (8, "0 1 2 3 4 5 6 7", ""),
        (9, "0 1 2 3 4 5 6 7", ", 8 of 9 pictures"),
        (15, "0 1 3 5 7 9 11 13", ", 8 of 15 pictures"),
        (23, "0 2 5 8 11 14 17 20", ", 8 of 23 pictures"),
    ],
)
def test_pictures_are_spread_over_the_folder(
    count, shown, some, save_picture, tmp_path, monkeypatch
):
    """Of fifteen the first eight were shown, of twenty-three those of the first two thirds."""
    seen = []

    def gallery(path, masking, images, labels, *, title, **rest):
        seen.append((title, [str(int(label)) for label in labels], len(images)))

    monkeypatch.setattr(previews, "write_gallery", gallery)
    for number in range(count):
        save_picture(tmp_path / "in" / f"{number:02d}.png", number)
    typed = ["masking=random", "view_size=32", f"out={tmp_path}"]
    assert len(list(previews.preview(tmp_path / "in", typed))) == 1
    assert seen == [(f"random, anywhere{some}", shown.split(), min(count, 8))]


def test_a_damaged_picture_is_named_once_and_replaced(save_picture, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(previews, "write_gallery", lambda *given, **rest: seen.append(given[3]))
    for number in range(9):
        save_picture(tmp_path / "in" / f"{number}.png", number)
    (tmp_path / "in" / "3.png").write_bytes(b"none")
    typed = ["masking=random", "view_size=32", f"out={tmp_path}"]
    with pytest.warns(UserWarning, match="3.png") as told:
        list(previews.preview(tmp_path / "in", typed))
    assert len(told) == 1
    assert seen == [list("01245678")]
