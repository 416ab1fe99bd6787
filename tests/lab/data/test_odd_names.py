"""Names that are not UTF-8, as archives from other systems leave them: read, and shown escaped."""

import json
import os
import sys

import pytest

from salmask_plugin.lab.data import UnreadableImageError, image_folder, read_image
from salmask_plugin.lab.data.text_files import shown
from salmask_plugin.lab.runs.data_of_run import keep_data
from salmask_plugin.lab.runs.unreadable import UnreadableFiles

CAFE = os.fsdecode(b"caf\xe9")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_class_and_file_names_that_are_not_utf_8(tmp_path, make_classes, save_picture):
    for split in ("train", "val"):
        make_classes(tmp_path / split, {CAFE: 2, "tea": 2})
    broken = save_picture(tmp_path / "train" / CAFE / f"{CAFE}.png", 1)
    broken.write_bytes(b"no picture")
    splits = image_folder(tmp_path, on_unreadable="skip")
    assert splits.classes == ("caf\\udce9", "tea")
    assert splits.train.labels == splits.val.labels == (0, 0, 1, 1)
    assert splits.train[0][1] == 0
    assert UnreadableFiles(splits).names == {"caf\\udce9/caf\\udce9.png"}
    assert UnreadableFiles(splits).state_key == "PassedOver"  # as checkpoints have it
    with pytest.raises(UnreadableImageError) as caught:
        read_image(broken)
    assert "caf\\udce9/caf\\udce9.png': empty" in str(caught.value)
    str(caught.value).encode()
    keep_data(tmp_path / "run", splits)
    kept = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))
    assert kept["classes"] == ["caf\\udce9", "tea"]


def test_only_what_cannot_be_written_is_escaped():
    for name in ("café", "かばん", "a b", "क्‍ष", "emoji 🙂", "back\\slash"):
        assert shown(name) == name
    assert shown("a\nb\x1b[31m\udc80\ud800") == "a\\nb\\x1b[31m\\udc80\\ud800"
