"""A sweep stopped by a signal at any moment, or by a terminal that closes: run again it ends as if never stopped."""

import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sweeper.system.stopping import Stopping, hearing
from tests.command import ROOT, check_mlflow, ended, here, started, sweeper, until
from tests.faults.sweeps import BUSY, GRID, SECONDS, TRIALS, check_alike, environment, statuses, undisturbed_storage

EXECUTORS = ("inline", "ray")
QUICKLY = 10.0
FIRST_MOMENTS = 0.5  # in which Python starts, and a signal ends it as any program
EARLY = {signal.SIGINT: (130, -2), signal.SIGTERM: (143, -15), signal.SIGHUP: (129, -1)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed_storage(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(autouse=True)
def told_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")


@pytest.fixture(autouse=True, scope="module")
def heard() -> Iterator[None]:
    """Commands hear every signal, even where the tests were begun under `nohup` or in a shell's background."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def only_long(is_long: bool) -> None:
    if not is_long:
        pytest.skip("many real sweeps: make test-faults")


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, words: list[str]) -> None:
        self.master, slave = pty.openpty()
        os.set_blocking(self.master, False)
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment(), text=True,
            preexec_fn=lambda: os.login_tty(0),
        )  # fmt: skip
        os.close(slave)

    def has(self, condition: Callable[[], bool]) -> bool:
        """Whether something has happened, the screen being read meanwhile."""
        with suppress(BlockingIOError, OSError):
            while os.read(self.master, 65536):
                pass
        return condition()

    def close(self) -> None:
        os.close(self.master)


@contextmanager
def in_terminal(*words: str) -> Iterator[Terminal]:
    terminal = Terminal(list(words))
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.process.wait(timeout=SECONDS)


def errors_of(process: subprocess.Popen[str]) -> str:
    """What a process has told on stderr once it has ended; of one that hangs, what each of its threads does."""
    try:
        return process.communicate(timeout=SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # Python tells of its threads, even where one keeps the others from running
        return pytest.fail(process.communicate(timeout=SECONDS)[1])


def run_words(file: Path, storage: Path, executor: str, *more: str) -> list[str]:
    words = ["run", str(file), "--storage", str(storage), "--executor", executor, *more]
    return [sys.executable, "-m", "sweeper", *words]


def has_trained(storage: Path) -> bool:
    return bool(list(storage.glob("grid/trials/*/checkpoint.pt")))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_closed_terminal_saves_and_stops(executor: str, file: Path, tmp_path: Path, is_long: bool) -> None:
    if executor == "ray" and not is_long:
        pytest.skip("make test-faults")
    with in_terminal(*run_words(file, tmp_path, executor, *BUSY)) as terminal:
        until(lambda: terminal.has(lambda: has_trained(tmp_path) and "RUNNING" in statuses(tmp_path)), terminal.process)
        terminal.close()
        assert terminal.process.wait(timeout=SECONDS) == 129
    begun = len(list(tmp_path.glob("grid/trials/*")))
    assert check_mlflow(tmp_path, begun) == {"KILLED": begun + 1}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.usefixtures("only_long")
def test_where_hanging_up_is_ignored_the_sweep_goes_on_without_its_terminal(
    executor: str, file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """As under `nohup`, but for its redirections: every write to the terminal fails from then on."""
    ignoring = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    with in_terminal(*ignoring, *run_words(file, tmp_path, executor)) as terminal:
        until(lambda: terminal.has(lambda: has_trained(tmp_path)), terminal.process)
        terminal.close()
        assert terminal.process.wait(timeout=SECONDS) == 0
    check_alike(tmp_path, undisturbed)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.usefixtures("only_long")
def test_output_whose_reader_has_gone_stops_nothing(
    executor: str, file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """As `sweeper run FILE 2>&1 | head -1`."""
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    words = run_words(file, tmp_path, executor)
    with subprocess.Popen(words, stdout=pipe, stderr=both, cwd=ROOT, env=environment()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=SECONDS) == 0
    check_alike(tmp_path, undisturbed)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.usefixtures("only_long")
def test_interrupted_twice_it_stops_at_once_and_can_go_on(
    executor: str, file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    arguments = ("run", file, "--storage", tmp_path, "--executor", executor)
    slow = ("--set", "data.image_size=64", "--set", "model.name=tests.tiny:slow", "--set", "train.epochs=50")
    with started(*arguments, *slow) as process:
        until((tmp_path / "grid" / "machine.json").exists, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)  # a person's second key
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=QUICKLY) == 130
    shutil.rmtree(tmp_path / "grid")
    (tmp_path / "mlflow.db").unlink(missing_ok=True)
    with started(*arguments) as process:
        until(lambda: ended(tmp_path, "grid") > 1, process)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(timeout=QUICKLY) == 130
    here("run", file, "--storage", tmp_path, "--executor", "inline")
    check_alike(tmp_path, undisturbed)


@pytest.mark.usefixtures("only_long")
def test_a_trial_in_a_long_epoch_is_cut_off_when_the_sender_will_not_wait(file: Path, tmp_path: Path) -> None:
    longer = [*BUSY, "--set", "data.image_size=64", "--set", "model.name=tests.faults.networks:very_slow"]
    with started("run", file, "--storage", tmp_path, "--executor", "inline", *longer) as process:
        until((tmp_path / "grid" / "machine.json").exists, process)
        until(lambda: "RUNNING" in statuses(tmp_path), process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 143
    assert "stopped; what 1 of the trials did since the last checkpoint is done again" in errors
    assert statuses(tmp_path) == {"KILLED"}


def test_stopped_before_there_are_trials_it_says_so(file: Path, tmp_path: Path) -> None:
    model = "model={name: 'tests.interrupting:network'}"
    done = sweeper("run", file, "--storage", tmp_path, "--set", model, "--executor", "inline", expect=130)
    assert done.stderr == "stopped; what is saved stays. The same command goes on with it\n"


def test_a_signal_while_hearing_ends_is_noted_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before, wakeup = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd

    def then_signalled(*arguments: int) -> int:
        had = wakeup(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        return had

    with hearing(stopping := Stopping()):
        monkeypatch.setattr(signal, "set_wakeup_fd", then_signalled)
    assert stopping.received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


AS_RAY_STARTS = """
import os
import signal

from sweeper.launch import import_ray
from sweeper.system.stopping import Stopped, Stopping, hearing

_, connection = import_ray(None)
initialise = connection.ray.init


def signalled(**options):
    initialise(**options)
    os.kill(os.getpid(), signal.SIGTERM)


connection.ray.init = signalled
with hearing(Stopping()):
    try:
        with connection.cluster(None):
            print("not heard")
    except Stopped:
        print("heard")
"""


def test_a_signal_before_ray_has_quite_started_is_heard() -> None:
    """Ray's core has a handler of its own, which writes stacks and lets an alarm end the process three seconds later."""
    found = subprocess.run([sys.executable, "-c", AS_RAY_STARTS], capture_output=True, text=True, timeout=SECONDS)
    assert (found.returncode, found.stdout, found.stderr) == (0, "heard\n", "")


WHEN_RAY_HAS_STARTED = """
import os
from pathlib import Path

from sweeper.launch import import_ray
from sweeper.system.processes import descendants

_, connection = import_ray(None)
with connection.cluster(None):
    names = {one: Path(f"/proc/{one}/cmdline").read_bytes() for one in descendants(os.getpid())}
print([one for one, name in names.items() if name.startswith(b"ray::IDLE")])
"""


def test_while_ray_starts_it_waits_for_no_worker() -> None:
    """It would do so within its core, where Python hears no signal."""
    found = subprocess.run(
        [sys.executable, "-c", WHEN_RAY_HAS_STARTED], capture_output=True, text=True, timeout=SECONDS
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "[]\n", "")


STALLED = """
import os
from contextlib import suppress
from sweeper.system.stopping import leave_now
os.set_blocking(2, False)
with suppress(BlockingIOError):
    while True:
        os.write(2, b"." * 4096)
os.set_blocking(2, True)
leave_now(143)
"""


def test_a_terminal_that_takes_no_more_output_does_not_hold_up_the_end() -> None:
    with in_terminal(sys.executable, "-c", STALLED) as terminal:
        assert terminal.process.wait(timeout=SECONDS) == 143


@pytest.mark.parametrize(("numbers", "code"), [((signal.SIGTERM,), 143), ((signal.SIGINT, signal.SIGINT), 130)])
@pytest.mark.usefixtures("only_long")
def test_a_step_that_no_signal_interrupts_ends_with_its_process(
    numbers: tuple[signal.Signals, ...], code: int, file: Path, tmp_path: Path
) -> None:
    longer = [*BUSY, "--set", "model.name=tests.faults.networks:one_long_step"]
    with started("run", file, "--storage", tmp_path, "--executor", "inline", *longer) as process:
        until(lambda: "RUNNING" in statuses(tmp_path), process)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.3)  # a person's second key
        assert process.wait(timeout=QUICKLY) == code
        assert "stopped at once" in process.communicate()[1]
    sweeper("run", file, "--storage", tmp_path, "--executor", "inline")
    assert "RUNNING" not in statuses(tmp_path)


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.usefixtures("only_long")
def test_stopped_at_any_moment_it_ends_as_if_never_stopped(
    seed: int, file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """To every process of the sweep, as a terminal sends them, or to the driver alone; several times in a row."""
    draw = random.Random(seed)
    for _ in range(20):
        executor, number = draw.choice(EXECUTORS), draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        with started("run", file, "--storage", tmp_path, "--executor", executor) as process:
            delay = draw.uniform(FIRST_MOMENTS, 20)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=delay)
            if process.poll() is None:
                (os.killpg if draw.random() < 0.5 else os.kill)(process.pid, number)
            since = time.monotonic()
            errors = errors_of(process)
        told = f"{executor} {number.name} after {delay:.1f} s: {errors}"
        if process.returncode == 0:
            break
        assert process.returncode in EARLY[number], told
        assert number == signal.SIGINT or time.monotonic() - since < QUICKLY, told
        assert "Traceback" not in errors, told
    sweeper("run", file, "--storage", tmp_path, "--executor", "inline")
    check_alike(tmp_path, undisturbed)
    assert ended(tmp_path, "grid") == TRIALS
