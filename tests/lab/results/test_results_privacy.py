"""What a record keeps tells neither where files lie nor what is secret."""

import json

import pytest

from salmask_plugin.lab.results.apart import measurement_json
from salmask_plugin.lab.results.privacy import shorten_text, shortened
from salmask_plugin.lab.results.store import read_record, write_record


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("file:///home/ann/x y", ".../x y"),
        ("see file://host/home/ann/x.png", "see .../x.png"),
        ("ann@host:/home/ann/b c", ".../b c"),
        ("from ann@host.org:data/b", "from .../b"),
        ("see ~ann/x/y.png", "see .../y.png"),
        ("~/x/y", ".../y"),
        ("sftp://ann:p@host:22/home/ann/x", ".../x"),
        ("//server/share/x", ".../x"),
        ("x=/home/ann/c", "x=.../c"),
    ],
)
def test_places_on_machines_are_cut(text, kept):
    assert shortened(text) == kept
    assert shortened(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "3/4 of the images",
        "about 3/4 of the images",
        "~3/4 of them",
        "a /4/5 b",
        "https://x.org/a/b",
        "profile:/x",
        "sampler@masking.query.sampler=top",
        "tokens=196",
        "epoch: 3",
    ],
)
def test_fractions_addresses_and_settings_stay(text):
    assert shortened(text) == text
    assert shorten_text(text) == text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accessToken", "x"),
        ("secretKey", "x"),
        ("password", 1234),
        ("API_KEY", 7.5),
        ("api.keys", ["a"]),
        ("awsSecretAccessKey", "x"),
        ("auth", {"user": "ann"}),
        ("db-passwd", "x"),
    ],
)
def test_secrets_are_known_by_their_key(key, value):
    assert shortened({"a": [{key: value}]}) == {"a": [{key: "(removed)"}]}


@pytest.mark.parametrize(
    "harmless",
    [
        {"num_tokens": 196},
        {"pin_memory": True},
        {"use_token": False},
        {"key": "x"},
        {"key_encoder": "momentum"},
        {"hard_key": 3},
        {"token": ""},
        {"author": "ann"},
    ],
)
def test_what_only_looks_like_a_secret_stays(harmless):
    assert shortened(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("u:p@ss@h", "(removed)@h"),
        ("https://u:p@ss@h/path", "https://(removed)@h/path"),
        ("logger.api_key=abc, x", "logger.api_key=(removed), x"),
        ("https://h/x?token=a&sig=b", "https://h/x?token=(removed)&sig=b"),
        ("password: 1234", "password: (removed)"),
        ("Authorization: Bearer abc.def", "Authorization: (removed)"),
    ],
)
def test_secrets_inside_texts_are_removed(text, kept):
    assert shortened(text) == kept
    assert shortened(kept) == kept


def test_all_of_a_record_is_gone_through(make_record, tmp_path):
    secret = "hunter2"
    record = make_record(
        config={"logger": {"apiToken": secret}, "rows": [f"x.password={secret}"]},
        warnings=(f"no https://ann:{secret}@h/x, see ~ann/deep/y.png",),
        optimizer={"secret": secret},
    )
    text = write_record(tmp_path, record).read_text()
    assert secret not in text
    assert "deep" not in text
    assert read_record(tmp_path).optimizer == {"secret": "(removed)"}


def test_protocols_of_measurements_are_gone_through():
    """They name the overrides, with the folders of the data."""
    text = measurement_json({"overrides": ["data.root=/home/ann/x", "a.token=t-1"]}, [])
    kept = ["data.root=.../x", "a.token=(removed)"]
    assert json.loads(text)["protocol"]["overrides"] == kept
