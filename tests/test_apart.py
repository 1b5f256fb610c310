"""Work in a process beside this one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper.system.apart import START, Apart, ApartError
from sweeper.system.processes import children


class SecretError(Exception):
    """One that cannot be made again from its words alone, and so not be pickled."""

    def __init__(self, part: str, other: str) -> None:
        super().__init__(f"{part} {other}")


def fail(words: str) -> None:
    raise KeyError(words)


def fail_oddly() -> None:
    raise SecretError("one", "two")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    sys.exit("I would rather not")


def has_ended(process: int) -> bool:
    """Whether a process ends soon; one that nobody waits for is a zombie."""
    for _ in range(500):
        try:
            if Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def apart() -> Iterator[Apart]:
    before = children(os.getpid())
    with Apart() as apart:
        yield apart
    assert children(os.getpid()) == before


def test_calls_run_in_one_other_process_that_finds_the_same_modules(apart: Apart) -> None:
    apart.begin("colorsys")
    process = apart(os.getpid)
    assert process not in (os.getpid(), None)
    assert apart(eval, "'colorsys' in __import__('sys').modules") is True
    assert apart(os.getpid) == process
    assert apart(eval, "__import__('sys').path") == sys.path
    apart.end()
    assert apart(os.getpid) != process


def test_where_nothing_would_be_saved_they_run_here() -> None:
    with Apart(is_here=True) as apart:
        apart.begin("colorsys")
        assert apart(os.getpid) == os.getpid()


def test_what_a_function_raises_is_raised_here_with_where_it_was(apart: Apart) -> None:
    with pytest.raises(KeyError, match="words") as raised:
        apart(fail, "words")
    assert "in fail" in raised.value.__notes__[0]
    with pytest.raises(RuntimeError, match="SecretError: one two"):
        apart(fail_oddly)
    with pytest.raises(SystemExit, match="rather not"):
        apart(leave)
    assert apart(abs, -1) == 1


def test_modules_that_cannot_be_imported_are_told_by_who_needs_them(apart: Apart) -> None:
    apart.begin("no_such_module")
    assert apart(abs, -1) == 1


def test_a_process_that_was_killed_in_a_call_is_told_and_the_next_call_starts_another(apart: Apart) -> None:
    with pytest.raises(ApartError, match=r"something else \(exit code -9\).*Run the same command again"):
        apart(die)
    assert apart(abs, -1) == 1


def test_one_that_was_killed_between_calls_is_started_again(apart: Apart) -> None:
    for ask in (apart.begin, apart):
        process = apart(os.getpid)
        os.kill(process, signal.SIGKILL)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # all of its threads; it stays to be waited for
        ask(abs, -1) if ask == apart else ask("colorsys")
        assert apart(abs, -1) == 1


def test_one_that_has_long_had_nothing_to_do_is_gone_until_it_is_needed(
    apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sweeper.system.apart.START",
        START.replace("serve(pipe)", "serve.__globals__.update(IDLE_SECONDS=0.5); serve(pipe)"),
    )
    process = apart(os.getpid)
    assert has_ended(process)
    assert apart(os.getpid) != process


def test_what_it_has_started_ends_with_it(apart: Apart) -> None:
    started = apart(eval, "__import__('subprocess').Popen(['sleep', '60']).pid")
    assert Path(f"/proc/{started}").exists()
    apart.end()
    assert has_ended(started)


def test_after_a_run_nothing_is_called_any_more(apart: Apart) -> None:
    with apart:
        apart(abs, -1)
    apart.begin("colorsys")
    with pytest.raises(ApartError, match="over"):
        apart(abs, -1)


def test_signals_that_end_a_run_leave_it_to_the_process_that_started_it(apart: Apart) -> None:
    process = apart(os.getpid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process, number)
    assert apart(os.getpid) == process


def test_a_call_that_a_signal_cuts_short_is_answered_to_nobody(apart: Apart) -> None:
    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(KeyboardInterrupt):
            apart(time.sleep, 60)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert apart(abs, -1) == 1


def test_it_ends_with_the_process_that_started_it_whatever_it_does(tmp_path: Path) -> None:
    imported = "import os, time; from sweeper.system.apart import Apart; "
    code = imported + "a = Apart(); print(a(os.getpid), flush=True); a(time.sleep, 60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        process = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.kill()
    assert has_ended(process)
