"""Files of a sweep folder that are torn, empty or have a flipped bit: refused by name, or read as they were."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.store import Machine, Result, StoreError, Sweep
from sweeper.store.seals import opened_text, sealed_text
from sweeper.trial import TrialState
from tests.command import check_mlflow, here, table
from tests.test_store import ROWS, TRIAL

EXPERIMENT = """
name: grid
data: {name: digits, image_size: 8, classes: 3}
model: {name: logistic_regression}
train: {epochs: 2, batch_size: 64}
search: {space: {lr: [0.1, 0.03]}}
artifacts: {models: none}
"""
DRAWN = "{method: random, trials: 2, space: {lr: {uniform: [0.01, 0.1]}}}"
DAMAGES = (b'{"state": "comp', b"", b"\0" * 100)
FILES = ("experiment.yaml", "machine.json", "trial.json", "result.json", "history.json")


def written(root: Path, name: str) -> tuple[Path, Callable[[], object]]:
    """A file as sweeper writes it, and what reads it."""
    sweep = Sweep(str(root), "grid")
    trial = sweep.trial(TRIAL.key)
    trial.write_trial(TRIAL)
    sweep.write_experiment(EXPERIMENT)
    sweep.write_machine(Machine("cpu", "AMX", "bfloat16", 1, 4))
    trial.write_history(ROWS)
    if name == "result.json":
        trial.write_result(Result(TrialState.COMPLETE, {"val/top1": 0.8125}, ROWS, best_epoch=1))
    readers = {"experiment.yaml": sweep.experiment, "machine.json": sweep.machine}
    folder = sweep.folder.path if name in readers else trial.path
    return Path(folder, name), readers.get(name, trial.record)


def check(file: Path, read: Callable[[], object], whole: object, damaged: bytes) -> None:
    file.write_bytes(damaged)
    try:
        found, told = read(), str(file)
    except StoreError as error:
        found, told = whole, str(error)
    assert found == whole
    assert str(file) in told


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_noticed_or_changes_nothing(name: str, tmp_path: Path, is_long: bool) -> None:
    file, read = written(tmp_path, name)
    content, whole = file.read_bytes(), read()
    bits = range(8 * len(content))

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(bits))
    def flipped(bit: int) -> None:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        check(file, read, whole, bytes(damaged))

    if is_long:
        for bit in bits:
            flipped.hypothesis.inner_test(bit)
    else:
        flipped()


def test_an_experiment_damaged_at_both_of_its_ends_is_not_taken_for_one_by_another_hand() -> None:
    """Its first line and its last say that it is sweeper's; each byte of the one is spoilt with each of the other."""
    sealed = sealed_text(EXPERIMENT)
    head, end = sealed.index(b"\n") + 1, sealed.rindex(b"# sha256")
    for first in range(head):
        for last in range(end, len(sealed)):
            spoilt = bytearray(sealed)
            spoilt[first], spoilt[last] = 0, 0
            assert opened_text(bytes(spoilt)) is None, (first, last)
    assert opened_text(sealed) == opened_text(EXPERIMENT.encode()) == EXPERIMENT


@pytest.mark.parametrize("name", FILES)
def test_a_torn_file_is_noticed_or_changes_nothing(name: str, tmp_path: Path) -> None:
    file, read = written(tmp_path, name)
    content, whole = file.read_bytes(), read()
    for length in range(len(content)):
        check(file, read, whole, content[:length])


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("ended")
    file = storage / "grid.yaml"
    file.write_text(EXPERIMENT)
    here("run", file, "--storage", storage, "--executor", "inline")
    return storage


@pytest.mark.parametrize("name", ["experiment.yaml", "machine.json", "trials/*/trial.json", "trials/*/result.json"])
def test_a_command_names_the_damaged_file_and_goes_on_when_it_is_removed(
    name: str, ended: Path, tmp_path: Path, is_long: bool
) -> None:
    for number, damage in enumerate(DAMAGES if is_long else DAMAGES[:1]):
        storage = tmp_path / str(number)
        shutil.copytree(ended, storage)
        file = next((storage / "grid").glob(name))
        file.write_bytes(damage)
        for command in ("resume",) if name == "machine.json" else ("resume", "results", "status"):
            done = here(command, "grid", "--storage", storage, expect=2)
            assert str(file) in done.stderr
            assert "Traceback" not in done.stderr
        file.unlink()
        here("run", storage / "grid.yaml", "--storage", storage, "--executor", "inline")
        assert table(storage, "grid") == table(ended, "grid")


def test_a_trial_of_a_sampler_whose_folder_is_removed_is_replaced_by_another_draw(tmp_path: Path) -> None:
    """As the remedy says: a sampler has no way to draw it again under its number."""
    (tmp_path / "grid.yaml").write_text(EXPERIMENT.replace("{space: {lr: [0.1, 0.03]}}", DRAWN))
    command = ("run", tmp_path / "grid.yaml", "--storage", tmp_path, "--executor", "inline")
    here(*command)
    sweep = Sweep(str(tmp_path), "grid")
    gone, last = sweep.records()
    (Path(sweep.trial(gone.trial.key).path) / "trial.json").write_bytes(b"{")
    told = here(*command, expect=2).stderr.replace("\n", " ")
    assert "a sampler draws another in its place" in told
    shutil.rmtree(sweep.trial(gone.trial.key).path)
    here(*command)
    kept, drawn = sweep.records()
    assert kept == last
    assert drawn.trial.number == 2
    assert drawn.trial.key != gone.trial.key
    assert check_mlflow(tmp_path, 3) == {"FINISHED": 4}
    assert "nothing to publish" in here("sync", "grid", "--storage", tmp_path).stderr
