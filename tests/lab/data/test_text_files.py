"""Lists and annotations in odd encodings: read, or refused with the file's name."""

import pytest

from salmask_plugin.lab.data.folders import read_class_names
from salmask_plugin.lab.data.text_files import read_json
from salmask_plugin.lab.downstream.depth.kitti import read_frames


def test_the_mark_at_the_start_of_a_file_is_no_part_of_a_name(tmp_path):
    (tmp_path / "list.txt").write_bytes("bär\nköter\n".encode("utf-8-sig"))
    assert read_class_names(tmp_path / "list.txt") == ("bär", "köter")
    (tmp_path / "a.json").write_bytes('{"a": "ä"}'.encode("utf-8-sig"))
    assert read_json(tmp_path / "a.json") == {"a": "ä"}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named_with_its_file(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes("cat\nbär\n".encode(encoding))
    for reader in (read_class_names, read_json, read_frames):
        with pytest.raises(ValueError, match=r"list\.txt' is not in UTF-8 \(line [12]: byte 0x"):
            reader(tmp_path / "list.txt")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000, ""])
def test_what_is_no_json_is_named_with_its_file(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json' is not JSON"):
        read_json(tmp_path / "a.json")
