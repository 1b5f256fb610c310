"""Files that an ended trial left, damaged or gone: whoever would read them names the file, nobody tells a wrong number."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.store import Row, StoreError, Sweep
from sweeper.store.left import TABLES
from sweeper.training import histograms
from sweeper.training.loop import Trainer
from sweeper.trial import TrialState
from tests.command import check_mlflow, here, table

EXPERIMENT = """
name: grid
data: {name: digits, image_size: 8, classes: 3}
model: {name: one_hidden, hidden: 8}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.03]}}
artifacts: {models: all, histograms: 1}
"""
PRUNING = """
name: grid
data: {name: digits, image_size: 8, classes: 3}
model: {name: one_hidden, hidden: 8}
train: {epochs: 3, batch_size: 64}
search: {space: {lr: [0.001, 0.1, 0.01, 0.03, 0.02]}}
pruning: {name: median, n_startup_trials: 1}
artifacts: {models: none}
"""
FIVE_EPOCHS = (
    EXPERIMENT.replace("epochs: 2", "epochs: 5") + "checkpoint: {every_seconds: 0}\nresources: {max_retries: 0}\n"
)
BORROWING = EXPERIMENT.replace("grid", "borrowing").replace("train: {", "train: {class_weights: {from_sweep: grid}, ")
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "a flipped bit": lambda content: flipped(content, random.Random(len(content)).randrange(8 * len(content))),
    "torn": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "more": lambda content: content + b"\n",
    "gone": lambda content: None,
}
CLASSES, PAGE = ("export", "grid", "--table", "per-class"), ("dashboard", "grid")
READERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "per_class.csv": (CLASSES, ("results", "grid", "--per-class"), PAGE, ("sync", "grid"), ("plan", "borrowing.yaml")),
    "predictions.parquet": (PAGE, ("explain", "grid"), ("sync", "grid")),
    "confusion.csv": (("sync", "grid"),),
    "histograms.parquet": (("explain", "grid"), ("sync", "grid")),
    "model.pt": (("explain", "grid"), ("sync", "grid")),
}


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("ended")
    for name, text in {"grid.yaml": EXPERIMENT, "borrowing.yaml": BORROWING}.items():
        (storage / name).write_text(text)
    here("run", storage / "grid.yaml", "--storage", storage, "--executor", "inline")
    return storage


@pytest.fixture(scope="module")
def best(ended: Path) -> str:
    """The best trial, which every command reads."""
    rows = json.loads(here("results", "grid", "--json", "--storage", ended).stdout)
    return str(rows[0]["key"])


def test_every_file_that_a_trial_left_is_read_by_some_command_or_has_a_checksum_of_its_own(
    ended: Path, best: str
) -> None:
    left = {file.name for file in (ended / "grid" / "trials" / best / "artifacts").iterdir() if file.is_file()}
    assert left == set(READERS) == {*TABLES, "model.pt"}


@pytest.mark.parametrize("name", READERS)
def test_whoever_reads_a_damaged_file_names_it_and_the_trials_work_can_be_done_again(
    name: str, ended: Path, best: str, tmp_path: Path, is_long: bool
) -> None:
    chosen = list(DAMAGES) if is_long else ["a flipped bit"]
    for number, damage in enumerate(chosen):
        storage = tmp_path / str(number)
        shutil.copytree(ended, storage)
        file = storage / "grid" / "trials" / best / "artifacts" / name
        damaged = DAMAGES[damage](file.read_bytes())
        file.unlink() if damaged is None else file.write_bytes(damaged)
        for command in READERS[name] if is_long else READERS[name][:1]:
            check_refused(command, file, storage)
        if not is_long and name != "per_class.csv":
            continue
        file.parent.with_name("result.json").unlink()
        here("run", storage / "grid.yaml", "--storage", storage, "--executor", "inline")
        assert table(storage, "grid") == table(ended, "grid")
        assert here(*CLASSES, "--storage", storage).stdout == here(*CLASSES, "--storage", ended).stdout
        if is_long:
            check_mlflow(storage, 2)


def check_refused(command: tuple[str, ...], file: Path, storage: Path) -> None:
    """`model.pt` may be gone: then the best trial's model was not kept, and nothing is asked of it but to be explained."""
    first, what, *rest = command
    elsewhere = ("--tracking-uri", f"sqlite:///{storage}/other.db") if first == "sync" else ()
    output = ("-o", storage / "out") if first in ("dashboard", "explain") else ()
    what = str(storage / what) if what.endswith(".yaml") else what
    if (file.name, file.exists(), first) == ("model.pt", False, "sync"):
        return
    done = here(first, what, *rest, *elsewhere, *output, "--storage", storage, expect=(2, 4))
    assert "Traceback" not in done.stderr
    assert (str(file) if file.exists() or file.name != "model.pt" else file.name) in done.stderr, (command, done.stderr)


@pytest.mark.parametrize("name", TABLES)
def test_any_flipped_bit_of_a_table_is_noticed(
    name: str, ended: Path, best: str, tmp_path: Path, is_long: bool
) -> None:
    trial = Sweep(str(ended), "grid").trial(best)
    result, whole = trial.read_result(), trial.artifacts.read(name)
    copied = Sweep(str(tmp_path), "grid").trial(best)
    left = copied.left(result)

    @settings(max_examples=2000 if is_long else 30, deadline=None)
    @given(st.integers(0, 8 * len(whole) - 1))
    def noticed(bit: int) -> None:
        copied.artifacts.write(name, flipped(whole, bit))
        with pytest.raises(StoreError, match="damaged"):
            left.read(name)

    noticed()
    copied.artifacts.write(name, whole)
    assert left.read(name) == whole


def test_a_flipped_bit_in_a_running_trials_histograms_is_noticed_or_changes_nothing(
    ended: Path, best: str, tmp_path: Path, is_long: bool
) -> None:
    """They are written anew at every epoch, so that no other file can hold their checksum."""
    artifacts = Sweep(str(ended), "grid").trial(best).artifacts
    content, rows = artifacts.read(histograms.FILE), histograms.read(artifacts)
    copied = Sweep(str(tmp_path), "grid").trial(best).artifacts

    @settings(max_examples=2000 if is_long else 50, deadline=None)
    @given(st.integers(0, 8 * len(content) - 1))
    def noticed(bit: int) -> None:
        copied.write(histograms.FILE, flipped(content, bit))
        try:
            found, told = histograms.read(copied), copied.at(histograms.FILE)
        except StoreError as error:
            found, told = rows, str(error)
        assert found == rows
        assert copied.at(histograms.FILE) in told

    noticed()


def test_tables_of_a_sweep_from_before_their_checksums_were_kept_are_read_as_they_are(
    ended: Path, best: str, tmp_path: Path
) -> None:
    shutil.copytree(ended / "grid", tmp_path / "grid")
    trial = Sweep(str(tmp_path), "grid").trial(best)
    fields = trial.read_json("result.json")
    trial.write_json(
        "result.json", {name: value for name, value in fields.items() if name not in ("artifacts", "sha256")}
    )
    assert here(*CLASSES, "--storage", tmp_path).stdout == here(*CLASSES, "--storage", ended).stdout


def test_a_damaged_checkpoint_is_named_and_with_it_gone_the_same_command_trains_the_trial_again(
    ended: Path, best: str, tmp_path: Path
) -> None:
    storage = shutil.copytree(ended, tmp_path / "storage")
    folder, command = storage / "grid" / "trials" / best, ("run", storage / "grid.yaml", "--executor", "inline")
    (folder / "result.json").unlink()
    (folder / "checkpoint.pt").write_bytes(b"torn")
    for _ in range(2):
        done = here(*command, "--storage", storage, expect=3)
        assert f"{folder / 'checkpoint.pt'} is damaged" in done.stderr.replace("\n", "")
    (folder / "checkpoint.pt").unlink()
    here(*command, "--storage", storage)
    assert table(storage, "grid") == table(ended, "grid")
    check_mlflow(storage, 2)


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_trial_whose_latest_checkpoint_is_damaged_goes_on_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    file, whole, storage = tmp_path / "grid.yaml", tmp_path / "whole", tmp_path / "storage"
    file.write_text(FIVE_EPOCHS)
    here("run", file, "--executor", "inline", "--storage", whole)
    train_epoch = Trainer.train_epoch

    def break_late(trainer: Trainer, epoch: int, history: tuple[Row, ...]) -> Row:
        if epoch == 4 and trainer.settings.train.lr == 0.1:
            raise RuntimeError("on purpose")
        return train_epoch(trainer, epoch, history)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_epoch", break_late)
        here("run", file, "--executor", "inline", "--storage", storage, expect=3)
    [torn] = storage.glob("grid/trials/*/checkpoint.before.pt")
    torn = torn.with_name("checkpoint.pt")
    torn.write_bytes(torn.read_bytes()[:-1])
    done = here("resume", "grid", "--executor", executor, "--storage", storage, "--retry-failed")
    assert f"{torn} was damaged, and is removed; it goes on from the one before" in done.stderr.replace("\n", "")
    assert table(storage, "grid") == table(whole, "grid")
    check_mlflow(storage, 2)
    assert not list(torn.parent.glob("checkpoint*"))


def test_a_damaged_checkpoint_stops_a_sweep_that_prunes_before_others_are_judged_without_its_trial(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole"
    (tmp_path / "grid.yaml").write_text(PRUNING)
    command = ("run", tmp_path / "grid.yaml", "--executor", "inline", "--storage")
    here(*command, whole)
    storage = shutil.copytree(whole, tmp_path / "storage")
    _, begun, *later = [
        storage / "grid" / "trials" / record.trial.key for record in Sweep(str(whole), "grid").records()
    ]
    for folder in later:
        shutil.rmtree(folder)
    (begun / "result.json").unlink()
    torn = begun / "checkpoint.pt"
    torn.write_bytes(b"torn")
    for _ in range(2):
        done = here(*command, storage, expect=3)
        assert f"{torn} is damaged: its checksum is wrong. Remove it" in done.stderr.replace("\n", "")
        assert "Go on with" in done.stderr
        assert [record.state for record in Sweep(str(storage), "grid").records()[1:]] == [TrialState.WAITING]
    torn.unlink()
    here(*command, storage)
    assert table(storage, "grid") == table(whole, "grid")
    check_mlflow(storage, 5)


def test_a_damaged_identity_of_a_sweep_is_told_before_anything_trains(ended: Path, best: str, tmp_path: Path) -> None:
    storage = shutil.copytree(ended, tmp_path / "storage")
    (storage / "grid" / "trials" / best / "result.json").unlink()
    (storage / "grid" / "sweep.json").write_text("{")
    done = here("run", storage / "grid.yaml", "--storage", storage, "--executor", "inline", expect=2)
    assert "without it every run would come into MLflow a second time" in done.stderr.replace("\n", " ")
    assert not (storage / "grid" / "trials" / best / "result.json").exists()


def test_a_damaged_list_of_what_is_left_out_is_written_anew_by_the_next_run(ended: Path, tmp_path: Path) -> None:
    storage = shutil.copytree(ended, tmp_path / "storage")
    (storage / "grid" / "left_out.json").write_text("{")
    told = here("results", "grid", "--storage", storage, expect=2).stderr.replace("\n", " ")
    assert "left_out.json is damaged" in told
    assert "Run the sweep again" in told
    here("run", storage / "grid.yaml", "--storage", storage, "--executor", "inline")
    assert table(storage, "grid") == table(ended, "grid")
