"""The faults that `benchmarks.faults` injects into every tool alike, and what the person before it then does."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.breaking.attempt import Attempt
from benchmarks.breaking.checks import Reference, cell_of, flaws

OUTAGE_SECONDS, LOST_SHARE, DIVERGING_RATE = 6.0, 0.25, 1e30
Judge = Callable[[Attempt, Reference], dict[str, int]]


class DoesNotApplyError(Exception):
    """The tool has nothing that this fault could break."""


class Fault(NamedTuple):
    """What is done to a sweep, in words and in deed; what it needs beside its process; how the outcome is judged."""

    how: str
    inject: Callable[[Attempt], None]
    needs: str = ""
    judge: Judge = flaws


def driver_killed(attempt: Attempt) -> None:
    process = attempt.begun()
    process.kill()
    attempt.end(process)
    attempt.go_on(at_least_once=True)


def worker_killed(attempt: Attempt) -> None:
    process = attempt.begun()
    with suppress(ProcessLookupError):
        os.kill(attempt.trainer(), signal.SIGKILL)
    attempt.end(process)
    attempt.go_on(at_least_once=False)


def interrupted(attempt: Attempt) -> None:
    _signalled(attempt, signal.SIGINT, os.killpg)


def terminated(attempt: Attempt) -> None:
    _signalled(attempt, signal.SIGTERM, os.kill)


def _signalled(attempt: Attempt, number: int, send: Callable[[int, int], None]) -> None:
    process = attempt.begun()
    if process.is_alive():
        send(process.pid or 0, number)
    attempt.end(process)
    attempt.go_on(at_least_once=True)


def torn(attempt: Attempt) -> None:
    """Cut the newest record in half."""
    _damaged(attempt, attempt.tool.records, lambda content: content[: len(content) // 2])


def flipped(attempt: Attempt) -> None:
    """Flip a bit of the newest record, anywhere."""
    _damaged(attempt, attempt.tool.records, _one_bit(attempt))


def checkpoint_torn(attempt: Attempt) -> None:
    _damaged(attempt, attempt.tool.checkpoints, lambda content: content[: len(content) // 2])


def _one_bit(attempt: Attempt) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        place, bit = attempt.random.randrange(len(content)), attempt.random.randrange(8)
        return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

    return flip


def _damaged(attempt: Attempt, pattern: str | None, damage: Callable[[bytes], bytes]) -> None:
    if pattern is None:
        raise DoesNotApplyError
    process = attempt.begun()
    attempt.kill_all()
    attempt.end(process)
    attempt.damaged = attempt.tool.newest(attempt.spec, pattern)
    if attempt.damaged is None:
        raise DoesNotApplyError
    attempt.damaged.write_bytes(damage(attempt.damaged.read_bytes()))
    attempt.go_on(at_least_once=True)


def server_killed(attempt: Attempt) -> None:
    process, server = attempt.begun(), attempt.surroundings.server
    assert server
    server.kill()
    time.sleep(OUTAGE_SECONDS)
    server.start()
    attempt.end(process)
    attempt.go_on(at_least_once=False)


def server_errors(attempt: Attempt) -> None:
    process, proxy = attempt.begun(), attempt.surroundings.proxy
    assert proxy
    proxy.mode = "500"
    time.sleep(OUTAGE_SECONDS)
    proxy.mode = "pass"
    attempt.end(process)
    attempt.go_on(at_least_once=False)


def server_gone(attempt: Attempt) -> None:
    process, proxy = attempt.begun(), attempt.surroundings.proxy
    assert proxy
    proxy.mode = "500"
    attempt.end(process)
    proxy.mode = "pass"
    attempt.go_on(at_least_once=False)


def replies_lost(attempt: Attempt) -> None:
    proxy = attempt.surroundings.proxy
    assert proxy
    proxy.random, proxy.lost_share = attempt.random, LOST_SHARE
    attempt.end(attempt.start())
    attempt.go_on(at_least_once=False)


def disk_full(attempt: Attempt) -> None:
    attempt.surroundings.leave(round(attempt.random.uniform(0.2, 0.8) * attempt.reference.disk_bytes))
    attempt.end(attempt.start())
    (attempt.surroundings.out / "ballast").unlink()
    attempt.go_on(at_least_once=False)


def two_at_once(attempt: Attempt) -> None:
    first = attempt.begun()
    second = attempt.start()
    attempt.end(second)
    attempt.end(first)
    attempt.go_on(at_least_once=False)


def loss_is_nan(attempt: Attempt) -> None:
    rates = [DIVERGING_RATE, *attempt.spec.grid["lr"][1:]]
    attempt.spec = replace(attempt.spec, grid={**attempt.spec.grid, "lr": rates})
    attempt.end(attempt.start())
    attempt.go_on(at_least_once=False)


def judged_with_nan(attempt: Attempt, reference: Reference) -> dict[str, int]:
    """The other grid points as always; those that diverged must not be told as complete ones."""
    rows = [row for row in attempt.tool.rows(attempt.spec) if (cell_of(row) or (0,))[0] == DIVERGING_RATE]
    unsaid = sum(row["state"] == "complete" for row in rows)
    return flaws(attempt, reference) | ({"NaN told as complete": unsaid} if unsaid else {})


def image_damaged(attempt: Attempt) -> None:
    copy = attempt.folder / "images"
    shutil.copytree(attempt.spec.images, copy)
    file = _some_image(attempt, copy)
    file.write_bytes(file.read_bytes()[:100])
    attempt.damaged, attempt.spec = file, replace(attempt.spec, images=copy)
    attempt.end(attempt.start())


def _some_image(attempt: Attempt, folder: Path) -> Path:
    return attempt.random.choice(sorted(folder.glob("*/*.png")))


def judged_with_damage(attempt: Attempt, reference: Reference) -> dict[str, int]:
    """The file is named, nothing was trained before, and the exit code says that something is wrong."""
    assert attempt.damaged
    is_named = f"{attempt.damaged.parent.name}/{attempt.damaged.name}" in attempt.said()
    found = {"damaged file not named": int(not is_named), "batches trained first": attempt.batches()}
    found |= {"exit 0 though not finished": int(attempt.exits[-1] == 0), "hung": int(attempt.exits[-1] is None)}
    return {flaw: number for flaw, number in found.items() if number}


FAULTS = {
    "driver killed": Fault("SIGKILL to the started process at a random moment; started again", driver_killed),
    "worker killed": Fault("SIGKILL to the process that trained the last batch, at a random moment", worker_killed),
    "SIGINT": Fault("to the process group at a random moment, as a terminal does; started again", interrupted),
    "SIGTERM": Fault("to the started process at a random moment; started again", terminated),
    "record torn": Fault("all processes killed, the newest record cut in half; started again", torn),
    "record flipped": Fault("all processes killed, one bit of the newest record flipped; started again", flipped),
    "checkpoint torn": Fault("all processes killed, the newest checkpoint cut in half; started again", checkpoint_torn),
    "MLflow killed": Fault(
        f"its server killed at a random moment, back after {OUTAGE_SECONDS:g} s", server_killed, "server"
    ),
    "MLflow answers 500": Fault(f"from a random moment, for {OUTAGE_SECONDS:g} s", server_errors, "server"),
    "MLflow gone": Fault("answers 500 from a random moment to the end; back; started again", server_gone, "server"),
    "replies lost": Fault(
        f"{LOST_SHARE:.0%} of MLflow's writes are done and their replies lost", replies_lost, "server"
    ),
    "disk full": Fault("room for 20-80 % of what the sweep writes; freed; started again", disk_full, "disk"),
    "two at once": Fault("the same command again while the first runs", two_at_once),
    "loss is NaN": Fault(
        f"a third of the grid has a learning rate of {DIVERGING_RATE:g}", loss_is_nan, judge=judged_with_nan
    ),
    "image damaged": Fault("one image of 400 cut off after 100 bytes", image_damaged, judge=judged_with_damage),
}
