"""Any class name becomes a metric name that MLflow takes and that can be read back; no message gives a password away."""

import re

import pytest
from hostile import original_name
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name, _validate_param_name

from sweeper.redaction import redacted
from sweeper.tracking.names import MAX_LENGTH, safe_name, storable

HOSTILE = (
    "", " ", ".", "..", "a/b", "../../etc/passwd", "/", "\\", "<script>alert(1)</script>", "🐟", "سمكة ذهبية", "\u202eabc",
    "=HYPERLINK(1)", "trailing ", "trailing.", "a:3a", ":", "::", "%2e", "a\nb", "a\0b", "\udcff", "İ", "ﬁ", "e\u0301", "é",
    "x" * 300, "é" * 300, "x" * MAX_LENGTH, "x" * (MAX_LENGTH + 1), "\udcff" * 100,
)  # fmt: skip
texts = st.text(st.characters(), max_size=80) | st.text(st.sampled_from("ab:./\\ -_é🐟"), max_size=12)
passwords = st.text(st.characters(exclude_categories=["Z", "C"]), max_size=20).map("s3cr3t{}t41l".format)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("prefix", ["test_class/", ""])
def test_mlflow_takes_hostile_names(name: str, prefix: str) -> None:
    taken = prefix + safe_name(name)
    _validate_metric_name(taken)
    _validate_param_name(taken)
    assert len(taken) <= MAX_ENTITY_KEY_LENGTH


@settings(deadline=None)
@given(texts)
@example("..")
def test_mlflow_takes_every_name_and_it_can_be_read_back(name: str) -> None:
    safe = safe_name(name)
    _validate_metric_name(f"test_class/{safe}")
    if len(safe) < MAX_LENGTH:
        assert original_name(safe) == name


@settings(deadline=None)
@given(texts, texts)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_hostile_names_stay_different() -> None:
    assert len({safe_name(name) for name in HOSTILE}) == len(HOSTILE)


@settings(deadline=None)
@given(st.text(min_size=MAX_LENGTH, max_size=260), st.text(min_size=1, max_size=3))
def test_long_names_that_begin_alike_stay_different(begin: str, end: str) -> None:
    assert safe_name(begin) != safe_name(begin + end)


def test_ordinary_names_are_left_as_they_are() -> None:
    assert [safe_name(name) for name in ("goldfish", "fire salamander", "T-shirt_2")] == [
        "goldfish",
        "fire salamander",
        "T-shirt_2",
    ]


@settings(deadline=None)
@given(st.text(st.characters(), max_size=50), st.integers(1, 40))
def test_a_storable_text_is_one_that_databases_take(text: str, length: int) -> None:
    stored = storable(text, length)
    stored.encode()
    assert "\0" not in stored
    assert len(stored) <= length
    if len(text) <= length and not re.search("[\0\ud800-\udfff]", text):
        assert stored == text


@settings(deadline=None)
@given(passwords, st.sampled_from(["http://me:{}@host:5000", "http://me:{}@host/api/2.0?x=1", "postgresql://:{}@h/db"]))
def test_a_password_is_told_to_no_one(password: str, uri: str) -> None:
    told = redacted(f"API request to {uri.format(password)} failed (see http://docs)")
    assert "s3cr3t" not in told
    assert "t41l" not in told
    assert told.startswith("API request to ")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("https://dapi123@host", "https://***@host"),
        ("postgresql://h/db?user=me&password=s3cr3t&sslmode=on", "postgresql://h/db?user=me&password=***&sslmode=on"),
        ("mssql://h/?odbc_connect=DRIVER;PWD=s3cr3t;Server=h", "mssql://h/?odbc_connect=DRIVER;PWD=***;Server=h"),
        ("https://h/x?access_token=s3cr3t", "https://h/x?access_token=***"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/me@work/sweeps/mlflow.db", "sqlite:////home/me@work/sweeps/mlflow.db"),
        ("refused: ('127.0.0.1', 5000)", "refused: ('127.0.0.1', 5000)"),
    ],
)
def test_what_is_no_secret_stays_readable(uri: str, told: str) -> None:
    assert redacted(uri) == told
