"""One sweep under one fault: its processes, how far they have come, and the person who starts it again."""

import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess as Process
from pathlib import Path

from benchmarks.breaking.checks import Reference, finished_all
from benchmarks.breaking.starting import started
from benchmarks.breaking.surroundings import Surroundings
from benchmarks.breaking.tools import Spec, Tool
from benchmarks.peers.digits import JOURNAL, NOTE_BYTES

STARTS, LIMIT_SECONDS, MARK = 3, 400.0, "FAULTS_ATTEMPT"


class Attempt:
    """`folder` is for what must not be among the tool's own files, which are in `spec.out`."""

    def __init__(
        self, tool: Tool, spec: Spec, surroundings: Surroundings, folder: Path, reference: Reference, seed: str
    ) -> None:
        self.tool, self.spec, self.surroundings, self.folder = tool, spec, surroundings, folder
        self.reference = reference
        self.random = random.Random(seed)  # noqa: S311  # when to break what, not a secret
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.exits: list[int | None] = []
        self.processes: list[Process] = []
        self.lies = 0
        self.flaws: dict[str, int] = {}
        self.damaged: Path | None = None

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def batches(self) -> int:
        """How many batches have been trained by all starts together."""
        return self.journal.stat().st_size // NOTE_BYTES if self.journal.exists() else 0

    def trainer(self) -> int:
        """The process that trained the last batch."""
        return int(self.journal.read_bytes()[-NOTE_BYTES:])

    def start(self) -> Process:
        environment = {JOURNAL: str(self.journal), MARK: self.mark, "PYTHONPATH": os.getcwd(), "COLUMNS": "300"}
        environment |= {"SWEEPER_CACHE": str(self.folder / "cache"), "RAY_USAGE_STATS_ENABLED": "0"}
        words = self.tool.words(self.spec)
        process = started(self.tool.module, words, environment, self.folder / "log.txt")
        self.processes.append(process)
        return process

    def until(self, process: Process, share: float) -> None:
        """Wait until a share of all batches has been trained, or the process has ended."""
        limit = time.monotonic() + LIMIT_SECONDS
        while self.batches() < share * self.reference.batches and process.is_alive() and time.monotonic() < limit:
            time.sleep(0.01)

    def begun(self) -> Process:
        """A start that has come as far as chance will have it."""
        process = self.start()
        self.until(process, self.random.uniform(0.05, 0.9))
        return process

    def end(self, process: Process) -> None:
        """Wait for a process and note its exit code, None when it had to be ended; 0 before all is done is a lie."""
        process.join(LIMIT_SECONDS)
        is_hung = process.is_alive()
        if is_hung:
            self.kill_all()
        process.join()
        code = None if is_hung else process.exitcode
        self.exits.append(code)
        self.lies += code == 0 and not finished_all(self.tool.rows(self.spec), self.spec, self.reference)

    def go_on(self, *, at_least_once: bool) -> None:
        """What a person does: start it again after having stopped it, and as long as it says that something went wrong."""
        is_wanted = at_least_once
        while (is_wanted or self.exits[-1] != 0) and len(self.exits) < STARTS + 1:
            is_wanted = False
            self._heed()
            self.end(self.start())

    def said(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")

    def _heed(self) -> None:
        """Remove the damaged file if the tool has named it."""
        if self.damaged and self.damaged.name in self.said() and self.damaged.parent.name in self.said():
            self.damaged.unlink(missing_ok=True)

    def kill_all(self) -> None:
        """Kill every process of this attempt, those that were not forked by the mark in their environment."""
        for process in self.processes:
            process.kill()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes()
            except OSError:  # it has ended, or is another's
                continue
            if is_ours:
                os.kill(int(folder.name), signal.SIGKILL)

    def close(self) -> None:
        self.kill_all()
        self.surroundings.close()
