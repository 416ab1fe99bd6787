"""What happens to files that cannot be read."""

import pytest
from torch.utils.data import DataLoader

from salmask_plugin.lab.data import ImageFiles, UnreadableImageError, image_folder, unreadable_files

BAD = (1, 2, 5)


@pytest.fixture
def paths(tmp_path, save_picture):
    """Six pictures; red is the number, class is the number's parity; 1, 2 and 5 are damaged."""
    paths = [save_picture(tmp_path / f"{number}.png", number) for number in range(6)]
    for number in BAD:
        paths[number].write_bytes(paths[number].read_bytes()[:50])
    return paths


def files(paths, policy):
    return ImageFiles(paths, [number % 2 for number in range(6)], policy)


def test_raise_names_the_file(paths):
    images = files(paths, "raise")
    assert images[4][1] == 0
    with pytest.raises(UnreadableImageError, match=r"2\.png"):
        images[2]


def test_replace_takes_the_next_readable_image_with_its_own_label(paths, reds):
    images = files(paths, "replace")
    assert len(images) == 6
    assert reds(images) == [0, 3, 3, 3, 4, 0]
    assert [images[i][1] for i in range(6)] == [0, 1, 1, 1, 0, 0]
    assert [path.name for path in unreadable_files(images)] == ["1.png", "2.png", "5.png"]


def test_skip_leaves_them_out_and_says_so_at_once(paths, reds):
    images = files(paths, "skip")
    assert [path.name for path in images.unreadable] == ["1.png", "2.png", "5.png"]
    assert reds(images) == [0, 3, 4]
    assert images.labels == (0, 1, 0)


def test_workers_report_to_the_main_process(paths):
    images = files(paths, "replace")
    loader = DataLoader(images, batch_size=2, num_workers=2, collate_fn=list)
    assert sum(len(batch) for batch in loader) == 6
    assert [path.name for path in images.unreadable] == ["1.png", "2.png", "5.png"]


def test_the_error_of_a_worker_names_the_file(paths):
    loader = DataLoader(files(paths, "raise"), num_workers=1, collate_fn=list)
    with pytest.raises(UnreadableImageError, match=r"1\.png"):
        list(loader)


@pytest.mark.parametrize("policy", ["replace", "skip"])
def test_nothing_readable_ends_with_an_error(paths, policy):
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="None of the 6 images is readable"):
        files(paths, policy)[0]


def test_unknown_policy(paths):
    with pytest.raises(ValueError, match="on_unreadable='ignore'"):
        files(paths, "ignore")


def test_boxes_become_masks_and_follow_a_replacement(paths):
    boxes = [(number, 2, number + 3, 4) for number in range(6)]
    images = ImageFiles(paths, [0] * 6, "replace", boxes)
    image, mask, _ = images.with_mask(1)  # 1 and 2 are damaged, 3 stands in
    assert image.getpixel((0, 0))[0] == 3
    inside = {(x, y) for x in range(12) for y in range(9) if mask.getpixel((x, y))}
    assert inside == {(x, y) for x in (3, 4, 5, 6) for y in (2, 3, 4)}
    assert mask.getextrema() == (0, 255)
    with pytest.raises(ValueError, match="no boxes"):
        files(paths, "raise").with_mask(0)


def test_counted_through_a_limit(tmp_path, make_classes):
    make_classes(tmp_path / "train", {"a": 4, "b": 4})
    make_classes(tmp_path / "val", {"a": 2, "b": 2})
    (tmp_path / "train" / "b" / "001.png").write_bytes(b"x")
    splits = image_folder(tmp_path, limit_train=6, on_unreadable="skip")
    assert len(splits.train) == 6
    assert [path.name for path in unreadable_files(splits.train)] == ["001.png"]
    assert unreadable_files(splits.val) == ()
