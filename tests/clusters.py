"""Clusters of machines on this machine: each in namespaces of its own, with its own address, processes, /tmp and name.

A machine ends as one that loses power does: the first process of its namespace is killed, and the kernel ends the others
with it. Nothing is ended by a name. `ray start` is started on machines as its users start it, with token authentication.
Needs root, or a kernel that lets a user make namespaces.
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from itertools import chain
from pathlib import Path

from tests.command import ROOT

SECONDS = 240.0
PORT = 6379
NAMESPACES = ["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
# Its own /tmp/ray and shared memory; then one process that adopts what is orphaned, as a machine's first one does.
BOOT = """
hostname "$1" && mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray && mount -t tmpfs none /dev/shm &&
ip link set lo up && read -r address && ip addr add "$address/16" dev eth0 && ip link set eth0 up && echo up &&
while :; do sleep 3600 & wait $!; done
"""
BRIDGE = "ip link add br0 type bridge && ip link set br0 up && echo up && exec sleep infinity"


@cache
def why_not() -> str | None:
    """Why no machines can be made here; None when they can."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return "there is no unshare, nsenter or ip (util-linux, iproute2)"
    words = [*_unshare(), *NAMESPACES, "sh", "-c", "mount -t tmpfs none /mnt && ip link add br0 type bridge"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    return None if done.returncode == 0 else f"no namespaces can be made here: {done.stderr.strip()}"


def _unshare() -> list[str]:
    return ["unshare"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]


class Machine:
    """A machine on the network, on which commands run; `kill` takes its power away."""

    def __init__(self, network: "Network", name: str, address: str) -> None:
        self.network, self.name, self.address = network, name, address
        self.logs = network.folder / name
        self.logs.mkdir(parents=True, exist_ok=True)
        self.boot = subprocess.Popen(
            [*network.enter, "unshare", *NAMESPACES, "bash", "-c", BOOT, "boot", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        own = Path("/proc/self/ns/net").readlink()
        wait_for(lambda: self._first is not None and Path(f"/proc/{self._first}/ns/net").readlink() != own)
        network.plug(self._first, address.replace(".", "x")[-12:])
        assert self.boot.stdin
        assert self.boot.stdout
        print(address, file=self.boot.stdin, flush=True)
        assert self.boot.stdout.readline() == "up\n"

    @property
    def _first(self) -> int | None:
        """The first process of the machine, as it is numbered outside."""
        return next(iter(_children(self.boot.pid)), None)

    def words(self, command: Sequence[object], cwd: Path = Path("/")) -> list[str]:
        """A command as it is to be run from outside."""
        # `nsenter` forks into the namespace of processes: killed alone, it would leave the command behind.
        target = ["--target", str(self._first), "--net", "--mount", "--uts", "--pid"]
        alive = [sys.executable, "-c", FOLLOW, str(cwd)]
        return [*self.network.enter, "nsenter", *target, *alive, *map(str, command)]

    def start(
        self, *command: object, environment: Mapping[str, str] | None = None, cwd: Path = ROOT, log: str | None = None
    ) -> subprocess.Popen[str]:
        """Start a command there. Its output goes to pipes, or to a file of the machine's `logs` when that is named."""
        with open(self.logs / log, "w") if log else nullcontext() as out:
            return subprocess.Popen(
                self.words(command, cwd),
                stdin=subprocess.DEVNULL,
                stdout=out or subprocess.PIPE,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                text=True,
                env={**os.environ, **self.network.environment, **(environment or {})},
            )

    def run(self, *command: object, environment: Mapping[str, str] | None = None, cwd: Path = ROOT) -> str:
        """Run a command there to its end; returns its output, or raises with it."""
        process = self.start(*command, environment=environment, cwd=cwd)
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, f"{command}: exit {process.returncode}\n{out}\n{errors}"
        return out

    def kill(self) -> None:
        """End every process of the machine at once; its address answers no more."""
        self.boot.kill()
        self.boot.communicate()

    def hide(self, folder: Path) -> None:
        """Let the machine see an empty folder there, as if it shared none with the others."""
        self.run("mount", "-t", "tmpfs", "none", folder)

    @property
    def is_up(self) -> bool:
        return self.boot.poll() is None


# Runs a command and ends with it; and ends it, when whoever asked for it is killed.
FOLLOW = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.chdir(sys.argv[1])
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Network:
    """A switch in a namespace of its own, and the machines on it: 10.77.0.1, 10.77.0.2 and so on."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {"PYTHONPATH": str(ROOT), "COLUMNS": "200", **(environment or {})}
        self.machines: list[Machine] = []
        self.enter: list[str] = []
        self.switch = subprocess.Popen(
            [*_unshare(), "--net", "sh", "-c", BRIDGE], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        assert self.switch.stdout
        assert self.switch.stdout.readline() == "up\n"
        users = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self.enter = ["nsenter", "--target", str(self.switch.pid), *users, "--net"]

    def machine(self, name: str) -> Machine:
        """A new machine on the network."""
        made = Machine(self, name, f"10.77.0.{len(self.machines) + 1}")
        self.machines.append(made)
        return made

    def plug(self, process: int | None, name: str) -> None:
        """Connect the namespace of a process."""
        link = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(process)]
        for words in (link, ["ip", "link", "set", name, "master", "br0", "up"]):
            subprocess.run([*self.enter, *words], check=True, capture_output=True, timeout=SECONDS)

    def close(self) -> None:
        for machine in self.machines:
            machine.kill()
        self.switch.kill()
        self.switch.communicate()


class Cluster:
    """A Ray cluster on a network, its storage on the file system that the machines share.

    It finds out in a few seconds that a machine is lost, where Ray's own settings take half a minute.
    """

    def __init__(self, network: Network, token: str | None = "made up") -> None:
        self.network, self.machines = network, list[Machine]()
        self.starting: dict[str, Callable[[], subprocess.Popen[str]]] = {}
        auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32) if token == "made up" else token}
        self.environment = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "1500",
            "RAY_health_check_failure_threshold": "3",
            **({name: value for name, value in auth.items() if value} if token else {"RAY_AUTH_MODE": "disabled"}),
        }

    @property
    def address(self) -> str:
        return f"{self.machines[0].address}:{PORT}"

    def add(
        self,
        cpus: int = 1,
        *options: str,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        hidden: Path | None = None,
    ) -> Machine:
        """A further machine with a Ray node on it, the first one the head; `wait` until it is up.

        Each keeps prepared images in a cache of its own, unless SWEEPER_CACHE is given. It does not see what is `hidden`.
        """
        is_head = not self.machines
        machine = self.network.machine(name or ("head" if is_head else f"worker-{len(self.machines)}"))
        if hidden:
            machine.hide(hidden)
        self.machines.append(machine)
        start = partial(self._start_ray, machine, cpus, *options, environment=environment)
        first = start()
        tries = chain([first], iter(start, None))
        self.starting[machine.name] = lambda: next(tries)
        if is_head:
            self.wait()
        return machine

    def wait(self) -> None:
        """Until every node that was added is up. Ray gives up after half a minute, on a busy machine too soon."""
        for name in list(self.starting):
            start, log = self.starting.pop(name), self.network.folder / name / "ray.txt"
            for _ in range(5):
                process = start()
                wait_for(
                    lambda process=process, log=log: (
                        "Ray runtime started" in log.read_text() or process.poll() is not None
                    )
                )
                if process.poll() is None:
                    break
            assert process.poll() is None, log.read_text()

    def _start_ray(
        self, machine: Machine, cpus: int, *options: str, environment: Mapping[str, str] | None
    ) -> subprocess.Popen[str]:
        is_head = machine is self.machines[0]
        role = ["--head", f"--port={PORT}", "--include-dashboard=false"] if is_head else [f"--address={self.address}"]
        sizes = [f"--num-cpus={cpus}", "--object-store-memory=80000000", f"--node-ip-address={machine.address}"]
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        own = {**self.environment, "SWEEPER_CACHE": str(machine.logs / "cache"), **(environment or {})}
        return machine.start(*ray, *role, *sizes, *options, environment=own, log="ray.txt")

    def sweeper(
        self,
        *arguments: object,
        on: Machine | None = None,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        log: str | None = None,
    ) -> subprocess.Popen[str]:
        """Start `sweeper` on one of the machines: the head, when none is named."""
        machine = on or self.machines[0]
        own = {**self.environment, "SWEEPER_CACHE": str(machine.logs / "cache"), **(environment or {})}
        return machine.start(sys.executable, "-m", "sweeper", *arguments, environment=own, cwd=cwd, log=log)


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network whose machines end with the block."""
    made = Network(folder)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def cluster(folder: Path, *cpus: int) -> Iterator[Cluster]:
    """A Ray cluster of a head and workers, with so many CPUs each."""
    with network(folder) as connected:
        made = Cluster(connected)
        for count in cpus:
            made.add(count)
        made.wait()
        yield made


def send(process: subprocess.Popen[str], number: int) -> None:
    """A signal to a command on a machine; to `process` itself it would go no further than the machine's door."""
    (command,) = _children(process.pid)
    os.kill(command, number)


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not happened in time"
        time.sleep(0.02)


def _children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
