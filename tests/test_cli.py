"""Every command as a user types it, on one small sweep."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
import pytest
import yaml
from folders import write_sweep
from mlflow_servers import free_port
from rich.console import Console
from rich.control import Control
from rich.text import Text

from sweeper.cli import app
from sweeper.exports import export
from sweeper.progress import View
from sweeper.publishing import finish
from sweeper.reading import read_experiment
from sweeper.store import Result, Sweep
from sweeper.text.durations import duration
from sweeper.text.terminal import Terminal, printable
from sweeper.tracking import Publisher
from sweeper.trial import Trial, TrialState
from tests.command import ROOT, check_mlflow, environment, here, in_shell, sweeper
from tests.images import class_files, write_folder

NETWORK = """
from torch import nn
def net(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
"""  # for images of 8 px
FILE = """
name: small
data: {name: digits, image_size: 8, augment: []}
model: {name: "tests.tiny:linear"}
train: {epochs: 3, batch_size: 64}
search: {space: {lr: [0.1, 0.01], model.width: [4, 16]}, seeds: [0, 1]}
"""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with one finished sweep and its experiment file beside it."""
    folder = tmp_path_factory.mktemp("storage")
    (folder / "small.yaml").write_text(FILE)
    here("run", folder / "small.yaml", "--storage", folder, "--executor", "inline")
    return folder


def test_help_names_every_command_of_the_contract() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    contract = {
        "run",
        "resume",
        "plan",
        "list",
        "status",
        "results",
        "export",
        "dashboard",
        "ui",
        "sync",
        "schema",
        "init",
        "doctor",
        "explain",
    }
    assert contract <= commands
    assert "run" in sweeper("--help").stdout


def test_plan_counts_what_is_done_and_what_is_left(storage: Path) -> None:
    told = json.loads(here("plan", storage / "small.yaml", "--storage", storage, "--json").stdout)
    assert (told["trials"], told["left"], told["ended"]) == (8, 0, {"complete": 8})
    wider = ["--set", "search.space.lr=[0.1, 0.01, 0.5]"]
    told = json.loads(here("plan", storage / "small.yaml", *wider, "--storage", storage, "--json").stdout)
    assert (told["trials"], told["left"]) == (12, 4)
    assert [model["trials_left"] for model in told["models"]] == [2, 2]
    parameters = sorted(model["cost"]["parameters"] for model in told["models"])
    assert parameters == [192 * 4 + 4 + 4 * 10 + 10, 192 * 16 + 16 + 16 * 10 + 10]
    assert told["seconds"] > 0
    assert told["left_out"] is None
    assert not list(storage.glob("small/trials/*/history.json"))


def test_plan_notices_results_that_are_gone_or_damaged(storage: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(storage, tmp_path / "storage")
    words = ("plan", kept / "small.yaml", "--storage", kept, "--json")
    one, other, third, *_ = sorted((kept / "small" / "trials").iterdir())
    (one / "result.json").unlink()
    shutil.rmtree(other)
    told = json.loads(here(*words).stdout)
    assert (told["trials"], told["left"], told["ended"]) == (8, 2, {"complete": 6})
    for name in ("result.json", "trial.json"):
        whole = (third / name).read_bytes()
        (third / name).write_bytes(whole.replace(b"0", b"1", 1))
        assert f"{third / name} is damaged" in here(*words, expect=2).stderr
        (third / name).write_bytes(whole)


def test_plan_tells_which_trials_would_be_left_out(storage: Path) -> None:
    told = here("plan", storage / "small.yaml", "--set", "train.batch_size=32", "--storage", storage).stdout
    assert "small: 8 trials, 8 to run" in told
    assert f"8 trials in {storage}/small are not of this file as it now is: train.batch_size was 64, is 32." in told
    assert len(json.loads(here("results", "small", "--storage", storage, "--json").stdout)) == 8  # nothing has changed


def test_what_was_not_published_is_published_by_the_command_that_is_told(storage: Path) -> None:
    sweep, experiment, out = Sweep(str(storage), "small"), read_experiment(FILE, "small.yaml"), io.StringIO()
    uri = f"http://me:s3cr3t@127.0.0.1:{free_port()}"
    publisher = Publisher(uri, sweep, experiment, patience_seconds=0.1)
    publisher.start()
    finish(publisher, sweep, experiment, sweep.all_records(), Console(file=out, width=1000), "two words")
    words = shlex.split(out.getvalue().partition("publish with: ")[2])
    hidden = uri.replace("me:s3cr3t", "***")
    assert words == [
        "sweeper", "sync", "small", "--storage", str(storage), "--register", "two words", "--tracking-uri", hidden,
    ]  # fmt: skip


def test_a_trial_that_nothing_runs_any_more_is_told_as_interrupted(storage: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(storage, tmp_path / "storage")
    sweep = Sweep(str(kept), "small")
    record = sweep.records()[0]
    sweep.trial(record.trial.key).write_history(record.history)
    sweep.trial(record.trial.key).remove("result.json")
    assert "7 complete, 1 interrupted." in here("results", "small", "--storage", kept).stdout
    assert "1 interrupted, 7 complete" in here("status", "small", "--storage", kept).stdout
    page = tmp_path / "page.html"
    here("dashboard", "small", "--storage", kept, "-o", page)
    assert "interrupted" in page.read_text()
    shutil.rmtree(kept / "small" / "trials" / record.trial.key)
    assert "small: 7 complete, 1 to begin; best" in here("list", "--storage", kept).stdout
    assert json.loads(here("status", "small", "--storage", kept, "--json").stdout)["to_begin"] == 1


def test_where_no_model_was_kept_to_register_the_command_that_is_told_does_not_ask_for_one(
    storage: Path, tmp_path: Path
) -> None:
    kept = shutil.copytree(storage, tmp_path / "storage")
    for model in kept.glob("small/trials/*/artifacts/model.pt"):
        model.unlink()
    told = here("sync", "small", "--storage", kept, "--register", "best", expect=4).stderr.replace("\n", " ")
    assert "the best trial has kept no model to register; `artifacts: {models: best}` keeps" in told
    words = shlex.split(told.partition("publish with: ")[2])
    assert "--register" not in words
    here(*words[1:])


def test_files_that_may_be_images_are_missed_aloud(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", dict(class_files("a", "b", each=10)))
    write_folder(root, {"a/1.heic": b"", "b/2.heic": b"", "b/notes.txt": b""})
    file = tmp_path / "aloud.yaml"
    file.write_text(
        f"name: aloud\ndata: {{name: folder, root: {root}, image_size: 8, augment: []}}\n"
        "model: {name: logistic_regression}\ntrain: {epochs: 1}\nartifacts: {models: none}\n"
    )
    told = "2 files in the classes' folders are passed over, for they do not end as images do (.heic 2)"
    words = (file, "--storage", tmp_path)
    planned = here("plan", *words).stdout
    assert told in planned
    assert "20 images of 2 classes: 16 to train, 2 to validate, 2 to test\n" in planned
    assert "is a folder; give the experiment's YAML file" in here("plan", tmp_path, expect=2).stderr
    assert json.loads(here("plan", *words, "--json").stdout)["passed_over"] == ["a/1.heic", "b/2.heic"]
    assert told in here("run", *words, "--executor", "inline").stderr


NOTES = {"class_weights.json", "code.json", "excluded.csv", "experiment.yaml", "machine.json", "sweep.json"}
REFUSED = [
    ("--executor", "inline", "--set", "resources.gpus_per_trial=9"),
    ("--executor", "inline", "--set", "model.name=alexnet"),
    ("--address", "127.0.0.1:1"),
]


def test_a_run_that_is_refused_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", dict(class_files("a", "b", each=10)))
    write_folder(root, {"a/broken.jpg": b"broken"})
    text = (
        f"name: NAME\ndata: {{name: folder, root: {root}, image_size: 8, augment: [], on_corrupt: skip}}\n"
        "model: {name: logistic_regression}\ntrain: {epochs: 1, class_weights: WEIGHTS}\nartifacts: {models: none}\n"
    )
    first, file = tmp_path / "first.yaml", tmp_path / "next.yaml"
    first.write_text(text.replace("NAME", "first").replace("WEIGHTS", "null"))
    file.write_text(text.replace("NAME", "next").replace("WEIGHTS", "{from_sweep: first}"))
    here("run", first, "--storage", tmp_path, "--executor", "inline")
    for words in REFUSED:
        here("run", file, "--storage", tmp_path, *words, expect=2)
        assert contents(tmp_path / "next") == {}
    done = here("run", file, "--storage", tmp_path, "--executor", "inline")
    begun = contents(tmp_path / "next")
    assert begun.keys() >= NOTES
    assert f"left out. By class: a 1; the list is {tmp_path}/next/excluded.csv" in done.stderr
    write_folder(root, {"b/broken.jpg": b"broken"})
    for words in REFUSED:
        here("run", file, "--storage", tmp_path, *words, "--set", "train.epochs=2", expect=2)
        assert contents(tmp_path / "next") == begun


def contents(folder: Path) -> dict[str, bytes]:
    """A sweep's files but for its lock."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name != ".lock"}


def test_plan_reads_every_experiment_of_the_project(tmp_path: Path) -> None:
    for file in sorted((ROOT / "experiments").glob("*.yaml")):
        experiment = read_experiment(file.read_text(), str(file))
        assert experiment.name == file.stem
        assert file.read_text().startswith("# Promise:")


def test_list_and_status_say_how_far_a_sweep_is(storage: Path, tmp_path: Path) -> None:
    assert "small: 8 complete; best val/top1" in here("list", "--storage", storage).stdout
    status = json.loads(here("status", "small", "--storage", storage, "--json").stdout)
    assert status["states"] == {"complete": 8}
    assert not status["is_running"]
    assert "there are no sweeps" in here("list", "--storage", tmp_path).stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list",), "start one with: sweeper run FILE --storage {}"),
        (("run", "small"), "`sweeper resume small --storage {}` goes on with a sweep of that name"),
        (("dashboard", "small", "--pictures", "zz"), "`sweeper export small --storage {}` lists them"),
        (("explain", "small", "--trial", "zz"), "`sweeper export small --storage {}` lists them"),
    ],
    ids=lambda told: told[0] if isinstance(told, tuple) else "",
)
def test_commands_that_are_proposed_name_the_storage(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    there = tmp_path / "two words"
    if words[0] in ("dashboard", "explain"):
        write_sweep(str(there), "small", space={"lr": [0.1]}, endings=("complete",))
    done = here(*words, "--storage", os.path.relpath(there, ROOT), expect=0 if words == ("list",) else 2)
    assert told.format(f"'{there}'") in done.stderr


def test_a_sweep_that_cannot_be_read_keeps_no_other_off_the_list(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Sweep(str(tmp_path), name).write_experiment(FILE.replace("small", name))
    (tmp_path / "a" / "experiment.yaml").write_bytes(b"# Written by sweeper, with its")
    (tmp_path / "c" / "experiment.yaml").write_text("nonsense: 1")
    told = here("list", "--storage", tmp_path, expect=2)
    assert told.stdout == "b: no trials yet, 8 to begin\n"
    assert str(tmp_path / "a" / "experiment.yaml") in told.stderr
    assert str(tmp_path / "c" / "experiment.yaml") in told.stderr


def test_results_has_classes_and_is_json_for_scripts(storage: Path) -> None:
    shown = here("results", "small", "--storage", storage, "--per-class").stdout
    assert "10 classes of the test images" in shown
    trials = json.loads(here("results", "small", "--storage", storage, "--json", "--top", 3).stdout)
    values = [row["val/top1"] for row in trials]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    classes = json.loads(here("results", "small", "--storage", storage, "--json", "--per-class", "--top", 2).stdout)
    assert list(dict.fromkeys(row["key"] for row in classes)) == [row["key"] for row in trials[:2]]
    assert len(classes) == 2 * 2 * 10


def test_results_ranks_trials_and_top_cuts(storage: Path) -> None:
    lines = here("results", "small", "--storage", storage, "--top", 3).stdout.splitlines()
    assert sum("complete" in line and "0." in line for line in lines) == 3


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "xlsx"])
def test_export_writes_the_trials_table_in_full(storage: Path, tmp_path: Path, form: str) -> None:
    file = tmp_path / "new" / f"table.{form}"
    assert here("export", "small", "--storage", storage, "-o", file).stdout == f"{file}\n"
    readers = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet, "xlsx": pd.read_excel}
    table = readers[form](file)
    assert list(table.columns[:9]) == [
        "key", "number", "name", "state", "seed", "epochs_run", "best_epoch", "lr", "model.width",
    ]  # fmt: skip
    results = {path.parent.name: json.loads(path.read_text()) for path in storage.glob("small/trials/*/result.json")}
    for row in table.to_dict("records"):
        assert row["val/top1"] == pytest.approx(results[str(row["key"])]["summary"]["val/top1"], rel=1e-12)


def test_export_has_cells_for_people_and_programs(storage: Path) -> None:
    exact = here("export", "small", "--storage", storage, "--table", "cells").stdout
    trials = pd.read_csv(io.StringIO(here("export", "small", "--storage", storage).stdout))
    for row in pd.read_csv(io.StringIO(exact)).to_dict("records"):
        own = trials[(trials["lr"] == row["lr"]) & (trials["model.width"] == row["model.width"])]["test/top1"]
        assert (row["seeds"], row["complete"]) == (2, 2)
        assert row["test/top1_mean"] == pytest.approx(own.mean(), rel=1e-12)
        assert row["test/top1_std"] == pytest.approx(own.std(ddof=1), rel=1e-9)
    shown = here("export", "small", "--storage", storage, "--table", "cells", "--format", "latex").stdout
    assert r"test/top1 &" in shown
    assert shown.count(r" \pm ") >= 4


@pytest.mark.parametrize(
    ("command", "encoding"),
    [(["results"], "ascii"), (["results", "--per-class"], "ascii"), (["export", "--table", "per-class"], "utf-8")],
)
def test_a_terminal_without_unicode_gets_what_it_can_and_data_whole(
    tmp_path: Path, command: list[str], encoding: str
) -> None:
    sweep = write_sweep(str(tmp_path), space={"loss": ["cross_entropy", "smooth_cross_entropy"]}, classes=["סלמנדרה"])
    sweep.folder.write("experiment.yaml", FILE.replace("small", "synthetic").encode())
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) as out:
        app([command[0], "synthetic", *command[1:], "--storage", str(tmp_path)], standalone_mode=False)
        out.flush()
    shown = out.buffer.getvalue().decode(encoding)
    assert ("סלמנדרה" in shown) == (encoding == "utf-8")
    assert "0." in shown


def test_export_has_history_and_classes(storage: Path) -> None:
    history = pd.read_csv(io.StringIO(here("export", "small", "--storage", storage, "--table", "history").stdout))
    assert len(history) == 8 * 3
    classes = pd.read_csv(io.StringIO(here("export", "small", "--storage", storage, "--table", "per-class").stdout))
    assert len(classes) == 8 * 2 * 10
    assert (
        "did you mean `per-class`"
        in here("export", "small", "--storage", storage, "--table", "perclass", expect=2).stderr
    )


def test_dashboard_writes_one_page(storage: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert str(page) in here("dashboard", "small", "--storage", storage, "-o", page).stdout
    assert page.read_text().startswith("<!DOCTYPE html>") or page.read_text().startswith("<!doctype html>")


def test_sync_publishes_to_another_store_and_says_when_it_cannot(storage: Path, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    assert other in here("sync", "small", "--storage", storage, "--tracking-uri", other).stderr


def test_schema_is_json_schema_and_init_writes_a_file_that_reads(tmp_path: Path) -> None:
    schema = json.loads(here("schema").stdout)
    assert {"name", "data", "model", "search", "pruning"} <= set(schema["properties"])
    file = tmp_path / "mine.yaml"
    sweeper("init", file)
    assert read_experiment(file.read_text(), "mine.yaml").name == yaml.safe_load(file.read_text())["name"]
    assert "exists" in sweeper("init", file, expect=2).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "smal"], "did you mean `small`"),
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "FILE", "--executor", "inlin"], "allowed ray or inline"),
        (["run", "FILE", "--set", "train.lr=fast"], '--set train.lr: train.lr: given "fast", allowed a number'),
        (
            ["run", "FILE", "--set", "model.widht=3", "--set", "train.epochs=0"],
            "train.epochs: given 0, allowed 1 or more",
        ),
        (["export", "small", "--format", "cvs"], "did you mean `csv`"),
        (["runn"], "runn"),
    ],
)
def test_bad_input_is_told_with_exit_code_2_and_no_traceback(storage: Path, arguments: list[str], told: str) -> None:
    words = [str(storage / "small.yaml") if word == "FILE" else word for word in arguments]
    where = ["--storage", storage] if words[0] != "runn" else []
    error = sweeper(*words, *where, expect=2).stderr
    assert told in error
    assert "Traceback" not in error


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_run_does_its_work_whichever_streams_are_closed(tmp_path: Path, closed: str) -> None:
    (tmp_path / "small.yaml").write_text(FILE)
    words = ["run", tmp_path / "small.yaml", "--storage", tmp_path, "--executor", "inline"]
    words += ["--set", "train.epochs=1", "--set", "search.space={lr: [0.1]}", "--set", "search.seeds=[0]"]
    done = in_shell(f'exec "$@" {closed}', *words)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    rows = json.loads(here("results", "small", "--json", "--storage", tmp_path).stdout)
    assert [row["state"] for row in rows] == ["complete"]


def test_names_of_files_are_read_as_utf_8_or_not_at_all(storage: Path) -> None:
    other = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    refused = in_shell('"$@"', "status", "small", "--storage", storage, **other)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "PYTHONUTF8=1" in refused.stderr
    assert in_shell('"$@"', "status", "small", "--storage", storage, **(other | {"PYTHONUTF8": "1"})).returncode == 0


def test_a_current_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    refused = in_shell(f'mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && "$@"', "list")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "the current directory has been removed" in refused.stderr


def test_view_prints_plain_lines_where_there_is_no_terminal() -> None:
    text = io.StringIO()
    experiment = read_experiment(FILE, "small.yaml")
    trial = Trial.of(3, {"lr": 0.1}, {"data": {}, "model": {}, "train": {"epochs": 3}, "seed": 0})
    rows = tuple({"epoch": float(epoch), "val/top1": epoch / 10} for epoch in (1, 2, 3))
    with View(Console(file=text), experiment, 8, {TrialState.COMPLETE: 2}) as view:
        view.started(trial)
        for count in (1, 2, 3):
            view.reported(trial, rows[:count], 0)
        view.retried(trial, "ValueError: no")
        view.ended(trial, Result(TrialState.COMPLETE, {"val/top1": 0.3, "test/top1": 0.25}, rows, best_epoch=3))
    assert "trial 3 (lr=0.1 seed=0) will be tried again: ValueError: no" in text.getvalue()
    assert "3/8  ✓ complete  lr=0.1 seed=0  val/top1 0.3000  test/top1 0.2500" in text.getvalue()
    assert "\x1b" not in text.getvalue()


def test_view_in_a_terminal_has_a_line_a_running_trial_and_the_best_so_far() -> None:
    experiment = read_experiment(FILE, "small.yaml")
    view = View(Console(file=io.StringIO()), experiment, 8, {})
    trials = [Trial.of(n, {"lr": n / 10}, {"data": {}, "model": {}, "train": {"epochs": 3}, "seed": n}) for n in (1, 2)]
    for trial in trials:
        view.started(trial)
        view.reported(trial, ({"epoch": 1.0, "val/top1": trial.number / 4},), 0)
    shown = Console(file=io.StringIO(), width=120, record=True)
    shown.print(view.panel())
    text = shown.export_text()
    assert "0/8 trials" in text
    assert text.count("epoch 1/3") == 2
    assert "best val/top1 0.5000  lr=0.2 seed=2" in text


ESCAPES = "x\x1b]0;pwned\x07\x1b[2J\x9b31m\u202etxt"


def test_no_name_of_a_class_or_file_commands_the_terminal(tmp_path: Path) -> None:
    images = write_folder(tmp_path / "images", dict(class_files(ESCAPES, "cat", each=9)))
    (images / ESCAPES / f"{ESCAPES}.jpg").touch()
    file = tmp_path / "mine.yaml"
    data = {"name": "folder", "root": str(images), "image_size": 8, "augment": [], "on_corrupt": "skip"}
    model, train = {"name": "tests.tiny:linear"}, {"epochs": 1}
    file.write_text(json.dumps({"name": "mine", "data": data, "model": model, "train": train}))
    for words, expect in (
        (("plan", file), 0),
        (("run", file, "--executor", "inline"), 0),
        (("results", "mine", "--per-class"), 0),
        (("plan", file, "--set", "data.on_corrupt=fail"), 2),
    ):
        done = here(*words, "--storage", tmp_path, expect=expect)
        assert "x ]0;pwned" in done.stdout + done.stderr, words
        assert printable(done.stdout + done.stderr) == done.stdout + done.stderr


def test_no_name_of_a_trial_commands_the_terminal(tmp_path: Path) -> None:
    sweep = write_sweep(str(tmp_path), space={"model.tag": [ESCAPES]})
    sweep.folder.write("experiment.yaml", FILE.replace("small", "synthetic").encode())
    for words in (("list",), ("status", "synthetic")):
        told = here(*words, "--storage", tmp_path).stdout
        assert "=x ]0;pwned" in told
        assert printable(told) == told


def test_exports_are_whole_but_where_they_would_command_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame({"class": [ESCAPES]})
    export(table, "csv", None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    export(table, "csv", None)
    assert capsys.readouterr().out == f'class\n"{ESCAPES}"\nclass\n"{printable(ESCAPES)}"\n'


def test_a_terminal_has_its_own_colours_and_no_one_else_s() -> None:
    terminal = Terminal(file=io.StringIO(), force_terminal=True, color_system="standard", highlight=False)
    terminal.print(Text(f"two\nlines{ESCAPES}", "yellow"), f"plain{ESCAPES}")
    terminal.control(Control.home())
    shown = terminal.file.getvalue()
    assert "\x1b[33mtwo" in shown
    assert shown.endswith("\x1b[H")
    assert set(re.findall(r"\x1b\S*?[A-Za-z]", shown)) == {"\x1b[33m", "\x1b[0m", "\x1b[H"}
    assert "\x9b" not in shown


@pytest.mark.parametrize(
    ("seconds", "told"), [(7.41, "7.4 s"), (95, "95 s"), (600, "10 min"), (12_000, "3 h 20 min"), (200_000, "2 d 8 h")]
)
def test_durations_are_told_in_words(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_a_sweeps_folder_says_where_each_thing_is(storage: Path) -> None:
    records = Sweep(str(storage), "small").records()
    assert [record.trial.number for record in records] == list(range(8))
    folder = storage / "small" / "trials" / records[0].trial.key
    assert sorted(path.name for path in folder.iterdir()) == ["artifacts", "result.json", "trial.json"]
    models = list(storage.glob("small/trials/*/artifacts/model.pt"))
    assert len(models) == 1


def test_a_model_that_cannot_be_built_is_told_before_anything_runs(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "narrow.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    for settings, told in (
        (["--set", "model={name: alexnet}", "--set", "search.space={lr: [0.1]}"], "63"),
        (["--set", "model.name=nowhere:net"], "there is no module 'nowhere'"),
        (["--set", "search.space={model.depth: [2]}"], "unexpected keyword argument 'depth'"),
        (["--set", "search.space={model: [one_hidden, {name: vgg11, hidden: 8}]}"], "vgg11 needs images of 32 px"),
        (
            ["--set", "model={name: 'narrow:net'}", "--set", "search.space={lr: [0.1]}", "--set", "data.image_size=16"],
            "of 16 px: ",
        ),
    ):
        error = here("run", storage / "small.yaml", *settings, "--storage", tmp_path, "--executor", "inline", expect=2)
        assert told in error.stderr
    assert not list(tmp_path.glob("small/trials/*"))


DRAWN = "search={method: random, trials: 2, space: {lr: {log_uniform: [0.001, 0.1]}, model.name: [%s, one_hidden]}}"


def test_models_that_a_sampler_may_draw_are_built_first_and_no_other(storage: Path, tmp_path: Path) -> None:
    run = ["run", storage / "small.yaml", "--storage", tmp_path, "--executor", "inline", "--set", "train.epochs=1"]
    error = here(*run, "--set", "model={name: one_hidden}", "--set", DRAWN % "vgg16", expect=2).stderr
    assert "vgg16 needs images of 32 px" in error
    assert not list(tmp_path.glob("small/trials/*"))
    model = "model={name: alexnet}"  # which needs larger images than these
    told = json.loads(here("plan", *run[1:4], "--set", model, "--set", DRAWN % "logistic_regression", "--json").stdout)
    assert [json.loads(one["model"])["name"] for one in told["models"]] == ["logistic_regression", "one_hidden"]
    here(*run, "--set", model, "--set", DRAWN % "logistic_regression")
    assert len(list(tmp_path.glob("small/trials/*/result.json"))) == 2


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("data.split={train: 0.8, val: 0.001, test: 0.1}", "leaves no validation images. Raise data.split.val"),
        ("search.space={data.split.train: [0.8, 0.001]}", "leaves no training image of '0'"),
        ("search={method: random, trials: 2, space: {data.split.train: {uniform: [0.001, 0.8]}}}", "no training image"),
        ("search.space={data.split: [{train: 0.5}, official]}", "this data set has no labelled images apart"),
        ("data.classes=1", "one class, 0, and to tell classes apart takes two"),
    ],
)
def test_a_split_that_these_images_do_not_have_is_told_before_anything_runs(
    command: str, settings: str, told: str, storage: Path, tmp_path: Path
) -> None:
    error = here(command, storage / "small.yaml", "--set", settings, "--storage", tmp_path, expect=2).stderr
    assert told in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("small/trials/*"))


@pytest.mark.parametrize("module", ["mine", "models.mine"])
def test_a_network_of_the_user_s_is_found_in_the_current_directory(module: str, storage: Path, tmp_path: Path) -> None:
    place = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    place.parent.mkdir(exist_ok=True)
    if "." in module:
        place.with_name("__init__.py").touch()
    place.write_text(NETWORK)
    words = [sys.executable, "-m", "sweeper", "run", storage / "small.yaml", "--executor", "inline"]
    words += ["--set", "search={space: {lr: [0.1]}, seeds: [0]}", "--set", f"model={{name: '{module}:net'}}"]
    words += ["--set", "train.epochs=1", "--storage", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("small/trials/*/result.json"))


@pytest.mark.parametrize(
    "given", [["--tracking-uri", "sqlite:///here.db"], ["--set", "tracking.uri=sqlite:///here.db"]]
)
def test_the_command_that_goes_on_publishes_where_the_sweep_did_from_any_directory(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, broken, file = (tmp_path / name for name in ("first", "second", "broken", "small.yaml"))
    for folder in (first, second):
        folder.mkdir()
    broken.touch()
    file.write_text(FILE.replace("linear", "fragile").replace("model.width: [4, 16]", "model.breaks: [false, true]"))
    monkeypatch.setenv("SWEEPER_TEST_BROKEN", str(broken))
    inline = ["--executor", "inline", "--storage", tmp_path, "--set", "resources.max_retries=0"]
    told = here("run", file, *given, *inline, cwd=first, expect=3).stderr
    broken.unlink()
    again = shlex.split(told.partition("try them again: sweeper ")[2].splitlines()[0])
    here(*again, cwd=second)
    assert not list(second.iterdir())
    (first / "here.db").rename(tmp_path / "mlflow.db")
    assert check_mlflow(tmp_path, 8) == {"FINISHED": 9}
