"""The sweep folder: what is written is read back exactly, files are whole whatever dies, and one process holds a sweep."""

import errno
import fcntl
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFile
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.store import Folder, Machine, Record, Result, StoreError, Sweep, TrialFolder, sweeps
from sweeper.trial import Trial, TrialState

TRIAL = Trial.of(3, {"lr": 0.1, "data.augment": ["a"]}, {"data": {"fingerprint": "f"}, "train": {"lr": 0.1}, "seed": 2})
ROWS = ({"epoch": 1.0, "val/top1": 0.5}, {"epoch": 2.0, "val/top1": 0.25, "train/loss": math.nan})


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage root: a folder here, and one on a filesystem that is none of the operating system's."""
    return str(tmp_path) if request.param == "local" else f"memory://sweeper-{uuid.uuid4().hex}"


@pytest.fixture
def sweep(storage: str) -> Sweep:
    return Sweep(storage, "demo")


def same(one: Any, other: Any) -> bool:
    """Equality that takes every nan for the same."""
    return repr(one) == repr(other)


def test_what_to_do_about_a_damaged_table_is_a_command_that_finds_the_sweep(sweep: Sweep) -> None:
    artifacts = sweep.trial(TRIAL.key).left(None)
    artifacts.write("per_class.csv", b"what was not written")
    artifacts.checksums = {"per_class.csv": "0" * 64}
    with pytest.raises(StoreError, match="is damaged") as damaged:
        artifacts.read("per_class.csv")
    words = shlex.split(str(damaged.value).partition("`")[2].partition("`")[0])
    assert words == ["sweeper", "resume", "demo", "--storage", sweep.storage.url]
    assert f"remove {sweep.trial(TRIAL.key).told('result.json')} and run" in str(damaged.value)


# Round trips

FLOATS = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0])
METRICS = st.dictionaries(st.sampled_from(["val/top1", "val/loss", "lr", "test_class/\u00e9t\u00e9"]), FLOATS)
HISTORIES = st.lists(METRICS.map(lambda row: {"epoch": 1.0, **row}), max_size=4).map(tuple)
TEXTS = st.text(st.characters(), max_size=20)  # half surrogate pairs too, as in paths that are not UTF-8
RESULTS = st.builds(
    Result,
    state=st.sampled_from([state for state in TrialState if state.is_finished]), summary=METRICS, history=HISTORIES,
    best_epoch=st.none() | st.integers(1, 99), error=st.none() | TEXTS, saved_epoch=st.integers(0, 99),
    pruning=st.none() | st.just({"name": "threshold", "upper": 0.5}), ended=st.floats(0, 2e9),
)  # fmt: skip
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


@given(RESULTS)
def test_a_result_is_read_back_exactly(result: Result) -> None:
    folder = TrialFolder(f"memory://sweeper-{uuid.uuid4().hex}/{TRIAL.key}")
    folder.write_trial(TRIAL)
    folder.write_result(result)
    assert same(folder.read_result(), result)
    assert same(folder.record(), Record(TRIAL, result.state, result.history, result))


@given(st.dictionaries(TEXTS, VALUES | st.lists(VALUES), max_size=4), st.integers(0, 10**6), st.integers(0, 2**31 - 1))
def test_a_trial_is_read_back_exactly(cell: dict[str, Any], number: int, seed: int) -> None:
    trial = Trial.of(number, cell, {"train": cell, "seed": seed})
    folder = TrialFolder(f"memory://sweeper-{uuid.uuid4().hex}/{trial.key}")
    folder.write_trial(trial)
    assert same(folder.read_trial(), trial)


@given(HISTORIES)
def test_a_running_trial_s_history_is_read_back_exactly(history: tuple[dict[str, float], ...]) -> None:
    folder = TrialFolder(f"memory://sweeper-{uuid.uuid4().hex}/{TRIAL.key}")
    folder.write_trial(TRIAL)
    folder.write_history(history)
    assert same(folder.record(), Record(TRIAL, TrialState.RUNNING, history))


@given(st.binary(max_size=200))
@settings(max_examples=20)
def test_bytes_are_read_back_exactly(content: bytes) -> None:
    folder = Folder(f"memory://sweeper-{uuid.uuid4().hex}")
    folder.write("a", content)
    assert folder.read("a") == content


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_what_a_disk_fails_to_tell_is_not_taken_for_gone(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(str(tmp_path))
    folder.write("sweep.json", b"{}")

    def fail(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "stat", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        folder.exists("sweep.json")


def test_keys_of_an_object_store_that_lead_out_of_a_folder_are_not_listed() -> None:
    folder = Folder(f"memory://sweeper-{uuid.uuid4().hex}")
    for name in ("a", "../out", "/etc", "b/../../out", "b/c"):
        folder.fs.store[f"{folder.path}/{name}"] = MemoryFile(folder.fs, name, b"")
    assert folder.files(depth=4) == {"a": 0, "b/c": 0}


def test_non_finite_numbers_are_valid_json_on_disk(tmp_path: Path) -> None:
    folder = TrialFolder(str(tmp_path))
    folder.write_history(({"epoch": 1.0, "train/loss": math.nan, "val/loss": -math.inf},))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    written = json.loads((tmp_path / "history.json").read_text(), parse_constant=refuse)
    assert written["history"] == [{"epoch": 1.0, "train/loss": "nan", "val/loss": "-inf"}]


# The life of a trial


def test_a_trial_s_state_is_what_its_files_say(sweep: Sweep) -> None:
    folder = sweep.trial(TRIAL.key)
    assert folder.record() is None
    folder.write_trial(TRIAL)
    assert folder.record() == Record(TRIAL, TrialState.WAITING)
    folder.write_history(ROWS[:1])
    assert folder.record() == Record(TRIAL, TrialState.RUNNING, ROWS[:1])
    folder.write("checkpoint.pt", b"weights")
    pruned = Result(TrialState.PRUNED, {}, ROWS[:1], saved_epoch=1)
    folder.write_result(pruned)
    assert folder.record() == Record(TRIAL, TrialState.PRUNED, ROWS[:1], pruned)
    assert folder.names() == ["checkpoint.pt", "result.json", "trial.json"]
    folder.reopen()
    folder.reopen()
    assert folder.record() == Record(TRIAL, TrialState.WAITING)
    assert folder.read("checkpoint.pt") == b"weights"


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("complete", []),
        ("diverged", []),
        ("pruned", ["checkpoint.pt"]),
        ("failed", ["checkpoint.before.pt", "checkpoint.pt"]),
    ],
)
def test_checkpoints_stay_as_long_as_the_trial_can_go_on_from_them(sweep: Sweep, state: str, kept: list[str]) -> None:
    folder = sweep.trial(TRIAL.key)
    folder.write("checkpoint.pt", b"weights")
    folder.write("checkpoint.before.pt", b"earlier weights")
    folder.write_result(Result(TrialState(state)))
    assert [name for name in folder.names() if name.startswith("checkpoint")] == kept


def test_a_pruned_trial_that_went_on_from_the_checkpoint_before_keeps_that_one(sweep: Sweep) -> None:
    folder = sweep.trial(TRIAL.key)
    folder.write("checkpoint.before.pt", b"earlier weights")
    folder.write_result(Result(TrialState.PRUNED, saved_epoch=1))
    assert folder.checkpoint() == "checkpoint.before.pt"


def test_several_files_are_written_at_once(sweep: Sweep) -> None:
    contents = {"a.csv": b"a", "b c.png": b"\0b", "ü.txt": b""}
    folder = sweep.trial(TRIAL.key).pictures
    for there in ({}, contents, {**contents, "a.csv": b"anew"}):
        folder.write_all(there)
        assert {name: folder.read(name) for name in folder.names()} == there


def test_a_latest_checkpoint_gives_way_to_the_one_before_and_never_to_none(sweep: Sweep) -> None:
    folder = sweep.trial(TRIAL.key)
    folder.keep_as("checkpoint.pt", "checkpoint.before.pt")
    assert folder.checkpoint() is None
    folder.write("checkpoint.pt", b"first")
    assert not folder.set_back()
    folder.keep_as("checkpoint.pt", "checkpoint.before.pt")
    assert folder.read("checkpoint.before.pt") == b"first"
    folder.write("checkpoint.pt", b"second")
    assert folder.checkpoint() == "checkpoint.pt"
    assert folder.set_back()
    assert folder.checkpoint() == "checkpoint.before.pt"
    assert not folder.set_back()


def test_what_a_killed_worker_left_half_written_goes_when_the_trial_ends(tmp_path: Path) -> None:
    folder = Sweep(str(tmp_path), "demo").trial(TRIAL.key)
    folder.write_trial(TRIAL)
    folder.write("checkpoint.pt.0a1b2c3d.tmp", b"half")
    folder.artifacts.write("model.pt.0a1b2c3d.tmp", b"half")
    folder.artifacts.write("per_class.csv", b"whole")
    folder.write_result(Result(TrialState.COMPLETE))
    assert folder.names() == ["artifacts", "result.json", "trial.json"]
    assert folder.artifacts.names() == ["per_class.csv"]


def test_records_come_by_number(sweep: Sweep) -> None:
    for number in (5, 0, 11, 2):
        trial = Trial.of(number, {}, {"seed": number})
        sweep.trial(trial.key).write_trial(trial)
    (sweep.folder.sub("trials", "empty")).write("checkpoint.pt", b"left over")
    assert [record.trial.number for record in sweep.records()] == [0, 2, 5, 11]


def test_a_sweep_that_is_not_there_has_no_records(sweep: Sweep) -> None:
    assert sweep.records() == []
    assert not sweep.exists()
    assert sweep.machine() is None
    assert not sweep.is_running()


def test_the_sweeps_of_a_root_are_those_with_an_experiment(storage: str) -> None:
    for name in ("b", "a", "not.one"):
        Sweep(storage, name).folder.write("experiment.yaml" if name != "not.one" else "other.yaml", b"name: x\n")
    Folder(storage).write("mlflow.db", b"")
    assert [sweep.name for sweep in sweeps(storage)] == ["a", "b"]


def test_what_the_machine_decided_and_the_folder_s_identity_stay(sweep: Sweep) -> None:
    machine = Machine("cpu", "AVX512", "bfloat16", 1, 4)
    sweep.write_machine(machine)
    assert sweep.machine() == machine
    identity = sweep.identity()
    assert re.fullmatch("[0-9a-f]{16}", identity)
    assert Sweep(sweep.storage.url, "demo").identity() == identity
    assert Sweep(sweep.storage.url, "other").identity() != identity


def test_a_folder_lists_nothing_before_it_is_made_and_forgets_what_is_removed(storage: str) -> None:
    folder = Folder(storage).sub("a b", "\u00e9")
    assert folder.names() == []
    folder.remove("nothing")
    folder.write("x", b"1")
    assert (folder.exists("x"), folder.names()) == (True, ["x"])
    folder.remove("x")
    assert (folder.exists("x"), folder.names()) == (False, [])


# Damage

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2],
    "zeros": lambda content: b"\0" * len(content),
    "noise": lambda content: bytes(range(128, 256)),
    "a number": lambda content: b"12",
    "a list": lambda content: b"[]",
    "null": lambda content: b"null",
    "another mapping": lambda content: b'{"hello": 1}',
    "an unknown field": lambda content: json.dumps({**json.loads(content), "hello": 1}).encode(),
    "a huge number": lambda content: b'{"number": 1' + b"0" * 5000 + b"}",
}
FILES: dict[str, Callable[[TrialFolder], Any]] = {
    "trial.json": lambda folder: folder.write_trial(TRIAL),
    "result.json": lambda folder: folder.write_result(Result(TrialState.COMPLETE, {"val/top1": 0.5}, ROWS)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_never_taken_for_something_else(tmp_path: Path, name: str, damage: str) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    folder = sweep.trial(TRIAL.key)
    folder.write_trial(TRIAL)
    FILES[name](folder)
    folder.write(name, DAMAGE[damage](folder.read(name)))
    with pytest.raises(StoreError, match=re.escape(folder.at(name)) + r"(?s:.)*[Rr]emove") as caught:
        sweep.records()
    assert str(caught.value).count(name) == 1


@pytest.mark.parametrize("field", [*asdict(TRIAL), *asdict(Result(TrialState.COMPLETE))])
def test_a_field_that_is_missing_or_of_the_wrong_kind_is_noticed(tmp_path: Path, field: str) -> None:
    name = "trial.json" if field in asdict(TRIAL) else "result.json"
    folder = TrialFolder(str(tmp_path / TRIAL.key))
    folder.write_trial(TRIAL)
    FILES[name](folder)
    whole = folder.read_json(name)
    if field in ("state", "summary", "history") or name == "trial.json":
        folder.write_json(name, {key: value for key, value in whole.items() if key != field})
        with pytest.raises(StoreError, match=re.escape(folder.at(name))):
            folder.record()
    if field in ("number", "state", "summary", "history"):
        for wrong in ("word", 1.5 if field != "number" else "1.5", None, ["word"], {"a": "word"}):
            folder.write_json(name, {**whole, field: wrong})
            with pytest.raises(StoreError, match=re.escape(folder.at(name))):
                folder.record()


@pytest.mark.parametrize(
    "change", [{"key": "../../../elsewhere"}, {"config": {"model": {"name": "os:system"}, "seed": 2}}]
)
def test_a_trial_that_another_hand_wrote_under_a_key_is_refused(sweep: Sweep, change: dict[str, Any]) -> None:
    folder = sweep.trial(TRIAL.key)
    folder.write_json("trial.json", {**asdict(TRIAL), **change})
    with pytest.raises(StoreError, match=re.escape(folder.told("trial.json"))):
        sweep.records()
    with pytest.raises(StoreError, match=re.escape(folder.told("trial.json"))):
        folder.read_trial()


@pytest.mark.parametrize(
    "artifacts", [{"/tmp/elsewhere": None}, {"../../x": "0"}, {"per_class.csv": 1}, ["per_class.csv"]]
)
def test_a_result_that_names_files_of_its_own_is_refused(sweep: Sweep, artifacts: Any) -> None:
    folder = sweep.trial(TRIAL.key)
    folder.write_trial(TRIAL)
    folder.write_json("result.json", {**asdict(Result(TrialState.COMPLETE)), "artifacts": artifacts})
    with pytest.raises(StoreError, match=re.escape(folder.told("result.json"))):
        sweep.records()


@pytest.mark.parametrize("content", [b"", b'{"device": "cpu"}', b"[]"])
def test_damage_to_the_sweep_s_own_files_is_named(tmp_path: Path, content: bytes) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    sweep.folder.write("machine.json", content)
    sweep.folder.write("sweep.json", content)
    with pytest.raises(StoreError, match=re.escape(sweep.folder.at("machine.json"))):
        sweep.machine()
    with pytest.raises(StoreError, match=re.escape(sweep.folder.at("sweep.json"))):
        sweep.identity()


def test_a_damaged_note_of_the_owner_is_named(tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    with another_owner(sweep):
        sweep.folder.write("owner.json", b'{"pid": ')
        with pytest.raises(StoreError, match=re.escape(sweep.folder.at("owner.json"))):
            enter(sweep)


# Whole files


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a.json", b"old")

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            folder.write("a.json", b"new")
        with pytest.raises(OSError, match="No space left"):
            folder.write("b.json", b"new")
    assert folder.names() == ["a.json"]
    assert folder.read("a.json") == b"old"
    folder.write("a.json", b"new")
    assert folder.read("a.json") == b"new"


def test_an_interrupt_while_writing_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a.json", b"old")

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            folder.write("a.json", b"new")
    assert (folder.names(), folder.read("a.json")) == (["a.json"], b"old")


WRITER = """
import sys
from sweeper.store import Folder
folder, size = Folder(sys.argv[1]), int(sys.argv[2])
for turn in range(10**9):
    folder.write("big.bin", bytes([turn % 256]) * size)
    print(turn, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    size = 4_000_000
    for writes in (1, 3, 8):
        with started(WRITER, str(tmp_path), str(size)) as writer:
            for _ in range(writes):
                read_line(writer)
            kill(writer)
        content = Folder(str(tmp_path)).read("big.bin")
        assert len(content) == size
        assert content == content[:1] * size
        assert content[0] >= writes - 1  # what was reported as written is there, or what came after it


def test_whoever_reads_while_another_writes_sees_whole_files(tmp_path: Path) -> None:
    size = 2_000_000
    with started(WRITER, str(tmp_path), str(size)) as writer:
        read_line(writer)
        turns, end = set[int](), time.monotonic() + 60
        while len(turns) < 8:  # it goes on writing meanwhile
            assert time.monotonic() < end, f"of all that was written in a minute, {turns} was seen"
            content = Folder(str(tmp_path)).read("big.bin")
            assert content == content[:1] * size
            turns.add(content[0])
        kill(writer)


def test_a_folder_that_is_gone_or_another_s_has_no_identity_any_more(tmp_path: Path) -> None:
    sweep, place = Sweep(str(tmp_path), "demo"), tmp_path / "demo"
    identity = sweep.identity()
    place.rename(tmp_path / "elsewhere")
    assert Sweep(str(tmp_path), "elsewhere").identity() == identity
    with pytest.raises(StoreError, match=f"{place} was moved or removed"):
        sweep.identity()
    assert not place.exists()
    Sweep(str(tmp_path), "demo").identity()
    with pytest.raises(StoreError, match=f"{place} was moved or removed"):
        sweep.identity()


# The lock

OWNER = """
import sys, time
from sweeper.store import Sweep
with Sweep(sys.argv[1], sys.argv[2]).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_whoever_may_only_read_a_sweep_sees_whether_it_runs(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    sweep = Sweep(str(tmp_path / "storage"), "demo")
    enter(sweep)
    mount = f"mount --bind '{tmp_path}/storage' '{seen}' && mount -o remount,ro,bind '{seen}'"
    if os.geteuid() or subprocess.run(["sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("a folder can be mounted by root alone")
    try:
        assert not Sweep(str(seen), "demo").is_running()
        with pytest.raises(
            StoreError, match=rf"{seen}/demo may not be written to \(Read-only file system\)\. Allow that"
        ):
            enter(Sweep(str(seen), "demo"))
        with another_owner(sweep):
            assert Sweep(str(seen), "demo").is_running()
    finally:
        subprocess.run(["umount", "--lazy", str(seen)], check=True)


def test_a_second_run_is_told_who_holds_the_sweep(tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    with another_owner(sweep) as owner:
        assert sweep.is_running()
        begun = time.monotonic()
        with pytest.raises(StoreError, match=rf"another sweeper is running 'demo' \(process {owner.pid} on .+since 2"):
            enter(sweep)
        assert time.monotonic() - begun < 5
        assert Sweep(str(tmp_path), "other").is_running() is False
        enter(Sweep(str(tmp_path), "other"))  # another sweep of the same root is free
        assert owner.stdin is not None
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert owner.wait(10) == 0
    assert not sweep.is_running()
    assert not sweep.folder.exists("owner.json")
    enter(sweep)


def test_an_owner_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    with another_owner(sweep) as owner:
        assert sweep.is_running()
        kill(owner)
    assert sweep.folder.exists("owner.json")  # left behind, and of no consequence
    assert not sweep.is_running()
    enter(sweep)


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    with suppress(ZeroDivisionError), sweep.lock():
        assert sweep.is_running()
        _ = 1 / 0
    assert not sweep.is_running()
    enter(sweep)


def test_a_file_system_without_locks_is_told_and_no_file_stands_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Lustre has it when it is mounted without `-o flock`."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"cannot be locked \(Function not implemented\).*give --storage another"):
        enter(Sweep(str(tmp_path), "demo"))


def test_a_sweep_on_another_filesystem_can_be_held_too() -> None:
    sweep = Sweep("memory://sweeper-lock", "demo")
    enter(sweep)
    assert not sweep.is_running()


def enter(sweep: Sweep) -> None:
    with sweep.lock():
        pass


@contextmanager
def another_owner(sweep: Sweep) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the sweep."""
    with started(OWNER, sweep.storage.url, sweep.name) as owner:
        assert read_line(owner) == "held"
        yield owner


@contextmanager
def started(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A real process, which is gone at the end."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        kill(process)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def test_a_folder_lists_its_files_with_their_sizes_as_deep_as_asked_and_reads_those_that_are_there(
    storage: str,
) -> None:
    folder = Folder(storage)
    assert folder.sub("missing").files(9) == {}
    written = {"a/one.json": b"1", "a/deep/two.bin": b"22", "b/three.txt": b"333", "top": b""}
    for name, content in written.items():
        folder.write(name, content)
    assert folder.files(1) == {"top": 0}
    assert folder.files(2) == {"a/one.json": 1, "b/three.txt": 3, "top": 0}
    assert folder.files(3) == {name: len(content) for name, content in written.items()}
    assert list(folder.read_each(["top", "a/missing", *written])) == [b"", None, *written.values()]
    assert list(folder.read_each([])) == []


def test_records_read_at_once_are_those_read_trial_by_trial_while_some_wait_and_some_run(sweep: Sweep) -> None:
    trials = [Trial.of(number, {}, {"seed": number}) for number in range(3)]
    for trial in trials:
        sweep.trial(trial.key).write_trial(trial)
    sweep.trial(trials[1].key).write_history(({"epoch": 1.0},))
    sweep.trial(trials[2].key).write_result(Result(TrialState.COMPLETE, {"val/top1": 0.5}))
    sweep.folder.write("trials/empty/checkpoint.pt", b"begun, not known")
    assert [record.state.value for record in sweep.records()] == ["waiting", "running", "complete"]
    assert sweep.records() == [sweep.trial(trial.key).record() for trial in trials]
    assert sweep.trial("empty").record() is None


def test_what_lies_among_the_trials_and_is_none_is_passed_by(tmp_path: Path) -> None:
    sweep = Sweep(str(tmp_path), "demo")
    sweep.trial(TRIAL.key).write_trial(TRIAL)
    (tmp_path / "demo" / "trials" / "Thumbs.db").write_bytes(b"a file")
    (tmp_path / "demo" / "trials" / "gone").symlink_to(tmp_path / "nowhere")
    assert [record.trial for record in sweep.all_records()] == [TRIAL]


def test_the_rows_of_trials_that_have_ended_may_be_left_out_and_nothing_else(sweep: Sweep) -> None:
    running, ended = (Trial.of(number, {}, {"seed": number}) for number in range(2))
    for trial in (running, ended):
        sweep.trial(trial.key).write_trial(trial)
    sweep.trial(running.key).write_history(ROWS)
    sweep.trial(ended.key).write_result(
        result := Result(TrialState.PRUNED, {"lr": 1.0}, ROWS, 2, pruning={"name": "nop"})
    )
    one, other = sweep.all_records(has_rows=False)
    assert same(one, Record(running, TrialState.RUNNING, ROWS))
    assert same(other, Record(ended, TrialState.PRUNED, (), replace(result, history=())))
