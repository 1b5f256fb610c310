"""Any class name becomes a metric name that MLflow takes and that can be read back; no message gives a password away.

A database has its name from any directory.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hostile import original_name
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name, _validate_param_name
from sqlalchemy import make_url

from sweeper.text.redaction import has_password, redacted, without_password
from sweeper.tracking.names import MAX_LENGTH, absolute_uri, safe_name, storable

HOSTILE = (
    "", " ", ".", "..", "a/b", "../../etc/passwd", "/", "\\", "<script>alert(1)</script>", "🐟", "سمكة ذهبية", "\u202eabc",
    "=HYPERLINK(1)", "trailing ", "trailing.", "a:3a", ":", "::", "%2e", "a\nb", "a\0b", "\udcff", "İ", "ﬁ", "e\u0301", "é",
    "x" * 300, "é" * 300, "x" * MAX_LENGTH, "x" * (MAX_LENGTH + 1), "\udcff" * 100,
)  # fmt: skip
texts = st.text(st.characters(), max_size=80) | st.text(st.sampled_from("ab:./\\ -_é🐟"), max_size=12)
passwords = st.text(st.characters(exclude_categories=["C"]), max_size=20).map("s3cr3t{}t41l".format)


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
        ("https://h/x#id_token=s3cr3t", "https://h/x#id_token=***"),
        ("https://h/x?X-Amz-Signature=s3cr3t&X-Amz-Date=1", "https://h/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://h/x?sv=2022&sig=s3c%2Fr3t%3D&se=1", "https://h/x?sv=2022&sig=***&se=1"),
        ("https://h/x?design=3&sigma=2", "https://h/x?design=3&sigma=2"),
        ("mysql://h/db?password=s3'c\"r3t%26x&ssl=1", "mysql://h/db?password=***&ssl=1"),
        ("mssql://h/?odbc_connect=UID=me; PWD={s3;cr3t};Server=h", "mssql://h/?odbc_connect=UID=me; PWD=***;Server=h"),
        (
            "mssql:///?odbc_connect=DRIVER%3Da%3BUID%3Dme%3BPWD%3Ds3cr3t",
            "mssql:///?odbc_connect=DRIVER%3Da%3BUID%3Dme%3BPWD%3D***",
        ),
        (
            "mssql:///?odbc_connect=UID%3dme%3b+PWD%3d%7bs3%3bcr3t%7d&x=1",
            "mssql:///?odbc_connect=UID%3dme%3b+PWD%3d***&x=1",
        ),
        ("http://127.0.0.1:5000: no answer, tell me@work", "http://127.0.0.1:5000: no answer, tell me@work"),
        ("http://host:80/a/b is busy, tell me@work", "http://host:80/a/b is busy, tell me@work"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/me@work/sweeps/mlflow.db", "sqlite:////home/me@work/sweeps/mlflow.db"),
        ("refused: ('127.0.0.1', 5000)", "refused: ('127.0.0.1', 5000)"),
    ],
)
def test_what_is_no_secret_stays_readable(uri: str, told: str) -> None:
    assert redacted(uri) == told


@settings(deadline=None)
@given(passwords, st.sampled_from(["http://me:{}@host", "http://me too:{}@host", "ftp://h/x?password={}"]))
def test_a_whole_uri_has_a_password_and_loses_it(password: str, uri: str) -> None:
    whole = uri.format(re.sub("[&;{}]", "", password) if "?" in uri else password)
    assert has_password(whole)
    assert without_password(whole) == uri.partition("://")[0] + ("://h/x?password=***" if "?" in uri else "://***@host")


@pytest.mark.parametrize("uri", ["sqlite:////my sweeps/mlflow.db", "file:///my runs", "my runs", "http://host:5000/x"])
def test_what_has_no_password_stays_as_it_is(uri: str) -> None:
    assert without_password(uri) == uri


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/a:b@c", "ftp://host:21/a@b", "abfs://c@account.dfs/x", "sftp://me@host/x", "/a:b@c", "memory://a"],
)
def test_a_storage_without_a_password_is_known(uri: str) -> None:
    assert not has_password(uri)


@pytest.mark.parametrize(
    "name", ["here.db", "./a/../here.db", "../here.db", "a b#.db", "100%25.db", "q%3F.db?timeout=5"]
)
def test_a_database_is_found_from_any_directory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "50% ?"
    directory.mkdir()
    monkeypatch.chdir(directory)
    relative, whole = make_url(f"sqlite:///{name}"), make_url(absolute_uri(f"sqlite:///{name}"))
    assert whole.database == os.path.abspath(relative.database or "")
    assert whole.query == relative.query
    assert urlsplit(absolute_uri("file:runs")).path == quote(f"{directory}/runs")


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////a/b.db",
        "sqlite:///:memory:",
        "sqlite://",
        "file:///a",
        "http://a/b",
        "databricks",
        "postgresql://a/b",
    ],
)
def test_what_is_found_from_any_directory_stays_as_it_is(uri: str) -> None:
    assert absolute_uri(uri) == uri
