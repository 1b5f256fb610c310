"""Names and places as nobody should have them: a whole sweep with each, published, exported, shown and resumed."""

import csv
import json
import sqlite3
from pathlib import Path

import pytest

from tests.command import check_mlflow, here, table
from tests.hostile import original_name
from tests.images import encoded, write_folder

PLACE = "a b'c\"d#e?f%20g[h]{i}*é🐟 $HOME `x` ;&|<y> :z ::y me@work\u202e"
TWINS = ("éclair", "e\u0301clair", "Cat", "cat", "a", "a ", " a")
CLASSES = (
    *TWINS, "nan", "None", "true", "1", "=SUM(A1)", "<script>alert(1)<", "-rf", "%s", "{}", "a,b", "tab\there",
    "two\nlines", "סלמנדרה", "🐸👩‍👩‍👧 frog", "x" * 250, "~", "a:b", "'\"", "[x]", "*", "\\", "x..", "\x1b[2Jx",
    b"\xff\xfe bytes".decode(errors="surrogateescape"),
)  # fmt: skip
VALUES = (
    "two\nlines", "../..", "nan", "None", "true", "1", "=SUM(A1)", "<script>", "-rf", "%s", "{}", "a,b", "a/b", "x" * 300,
    "סל", "~", "é", "e\u0301", "\\", "", "a b", "🐟",
)  # fmt: skip
MODEL = """
from tests.tiny import linear
def odd(classes, tag="", image_size=8):
    return linear(classes)
"""
COMMANDS = (
    *(f"export NAME --format {form} --table {table} -o out-{table}.{form}"
      for form in ("csv", "json", "parquet", "markdown", "latex", "html", "xlsx")
      for table in ("trials", "cells", "history", "per-class")),
    "results NAME --json", "results NAME --per-class", "status NAME", "list", "dashboard NAME", "explain NAME",
)  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a name of its own, holding images, a model and an experiment file, all of them named likewise."""
    work = tmp_path / PLACE
    images = {
        f"{name}/{n} {PLACE[:40]}.jpg": encoded(10 * k + n, (16, 16))
        for k, name in enumerate(CLASSES)
        for n in range(5)
    }
    write_folder(work / f"images {PLACE}", images)
    (work / "odd_names.py").write_text(MODEL)
    monkeypatch.syspath_prepend(work)
    return work


def test_a_sweep_among_hostile_names_runs_publishes_and_resumes(work: Path, is_long: bool) -> None:
    name, values = "0 _.-a", VALUES if is_long else VALUES[:2]
    experiment = {
        "name": name,
        "data": {"name": "folder", "root": f"images {PLACE}", "image_size": 8, "augment": [],
                 "split": {"train": 0.6, "val": 0.2, "test": 0.2}},
        "model": {"name": "odd_names:odd"},
        "train": {"epochs": 1, "batch_size": 64},
        "search": {"space": {"model.tag": values}},
    }  # fmt: skip
    file, storage = work / f"{PLACE}.yaml", work / f"sweeps {PLACE}"
    file.write_text(json.dumps(experiment))
    here("run", file, "--executor", "inline", "--storage", storage, cwd=work)
    before = table(storage, name)
    assert before.count(",complete,") == len(values)
    for line in COMMANDS if is_long else COMMANDS[-2:-1]:
        words = [name if word == "NAME" else word for word in line.split(" ")]
        here(*words, "--storage", storage, cwd=work)
    here("resume", name, "--executor", "inline", "--storage", storage, cwd=work)
    here("sync", name, "--storage", storage, cwd=work)
    assert table(storage, name) == before
    assert check_mlflow(storage, len(values)) == {"FINISHED": len(values) + 1}
    elsewhere = [path for path in work.parent.rglob("*") if path.is_file() and not path.is_relative_to(work)]
    assert elsewhere == []  # MLflow leaves an empty folder by the name that the place has in a URI
    _check_classes(storage, name)


def _check_classes(storage: Path, name: str) -> None:
    """Every class is in the table and in MLflow by a name of its own that reads back as it was."""
    per_class = next(storage.glob(f"{name}/trials/*/artifacts/per_class.csv"))
    with per_class.open(newline="") as rows:
        told = {row["class"] for row in csv.DictReader(rows) if row["split"] == "test"}
    expected = {one.encode(errors="backslashreplace").decode() for one in CLASSES}
    assert told == expected
    database = sqlite3.connect(storage / "mlflow.db")
    keys = {row[0] for row in database.execute("select distinct key from metrics where key like 'test_class/%'")}
    database.close()
    assert {original_name(key.removeprefix("test_class/")) for key in keys} >= {
        one for one in expected if len(one) < 200
    }
    assert len(keys) == len(expected)


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "a/b", "../x", "/etc", "a\\b", "a\nb", "a\0b", "-rf", "~", "é", "a:b", "x" * 101, "mlflow.db",
     "mlflow-artifacts", "mlflow.db.lock", ".hidden", " a", "%2e%2e", "$HOME", "a*"],
)  # fmt: skip
def test_names_that_lead_out_of_the_storage_are_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    experiment = {"name": name, "data": {"name": "digits"}, "model": {"name": "logistic_regression"}}
    file.write_text(json.dumps(experiment))
    done = here("run", file, "--storage", tmp_path / "sweeps", "--executor", "inline", expect=2)
    assert "file.yaml:1: name: given" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"]
    if "\0" not in name:
        refused = here("status", "--storage", tmp_path / "sweeps", "--", name, expect=2)
        assert "there are no sweeps" in refused.stderr
