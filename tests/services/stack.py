"""The services of docker/compose.yaml as processes, each on a machine of its own (see `tests.clusters`).

Their commands, environment, secrets, volumes, users, health checks and order are the file's; their scripts are where the
Dockerfiles copy them to. What an image brings is taken from this machine: Python's packages, `weed`, Debian's PostgreSQL.
"""

import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.clusters import Machine, Network, send
from tests.command import ROOT

DOCKER = ROOT / "docker"
NEEDED = sorted({ROOT, Path(sys.prefix), Path(sys.base_prefix)})
SECONDS = 600.0
USERS = {"sweeper": 10001, "sweeper-mlflow": 10002}
HOMES = {"sweeper": "/srv/sweeper", "sweeper-mlflow": "/srv/mlflow"}
# Where a machine has what an image keeps at the top, where the machines share this one's files.
TOP = {"/data": "/srv/data"}
DOCKERFILES = {"sweeper": DOCKER / "Dockerfile", "sweeper-mlflow": DOCKER / "mlflow" / "Dockerfile"}


@cache
def postgres_programs() -> Path | None:
    """Where Debian keeps PostgreSQL's programs: the newest version's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def compose(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """docker/compose.yaml with its variables filled in, as `docker compose config` shows it."""
    given = environment or {}

    def value(match: re.Match[str]) -> str:
        return given.get(match["name"]) or match["default"] or ""

    text = re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", value, (DOCKER / "compose.yaml").read_text())
    return dict(yaml.safe_load(text))


class Service:
    """A service on its machine."""

    def __init__(self, machine: Machine, definition: Mapping[str, Any]) -> None:
        self.machine, self.definition = machine, definition
        self.image = definition["image"].partition(":")[0]
        self.process: subprocess.Popen[str] | None = None

    @property
    def user(self) -> int:
        if self.image == "postgres":
            return pwd.getpwnam("postgres").pw_uid
        given, _, _ = self.definition.get("user", "0").partition(":")
        return USERS.get(self.image, int(given))

    def words(self, command: Sequence[str], **more: str) -> list[str]:
        """A command as the container runs it: by its user, with the file's environment and no other."""
        programs = [str(Path(sys.executable).parent), str(postgres_programs() or ""), os.environ["PATH"]]
        home = HOMES.get(self.image, "/srv")
        own = {
            "HOME": home,
            "PATH": ":".join(programs),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }
        own |= {"SWEEPER_CACHE": f"{home}/.cache/sweeper"} if self.image == "sweeper" else {}
        own |= {name: str(value) for name, value in self.definition.get("environment", {}).items()} | more
        become = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--no-new-privs"]
        given = [f"{name}={value}" for name, value in own.items()]
        place = self.definition.get("working_dir", home)
        return [
            *(become if self.user else []),
            "env",
            "-i",
            *given,
            "sh",
            "-c",
            f'cd {place} && exec "$@"',
            "sh",
            *command,
        ]

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start its command, or with other arguments its entrypoint; what it says goes to its log."""
        command = [*self.definition.get("entrypoint", ()), *(arguments or self.definition["command"])]
        for top, place in TOP.items():
            command = [word.replace(f"={top}", f"={place}") for word in command]
        self.process = self.machine.start(*self.words(command, **more), log="service.txt", cwd=Path("/"))
        return self.process

    def stop(self) -> None:
        """Ask its command to end, and wait until it has."""
        assert self.process
        send(self.process, signal.SIGTERM)
        self.process.wait(timeout=60)

    def run(self, *command: str, **more: str) -> str:
        """Run a command in it to its end, as `docker compose exec` does."""
        return self.machine.run(*self.words(command, **more), cwd=Path("/"))

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        path = self.machine.logs / "service.txt"
        return path.read_text() if path.exists() else ""

    def is_healthy(self) -> bool:
        if self.image == "sweeper" and "Ray runtime started" not in self.log:
            return False  # Ray gives a node 30 s, and ends when a busy machine takes longer: it is then started again
        test = self.definition["healthcheck"]["test"]
        done = subprocess.run(
            self.machine.words(self.words(test[1:])), capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )
        return done.returncode == 0


class Stack:
    """The services that have been started, with their secrets and volumes in a folder."""

    def __init__(self, network: Network, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.network, self.folder, self.file = network, folder, compose(environment)
        self.services: dict[str, Service] = {}
        self.hosts = folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        for place in (folder, *folder.parents):  # services of other users look for their secrets and volumes here
            if place.stat().st_uid == os.getuid() and place != Path("/"):
                place.chmod(place.stat().st_mode | 0o011)
        subprocess.run(["bash", DOCKER / "secrets.sh", folder / "secrets"], check=True, capture_output=True)

    def create(self, name: str, machine_name: str | None = None, *volumes: str) -> Service:
        """A machine with the files of a service, on which nothing runs yet; with further volumes, if any are given."""
        definition = self.file["services"][name]
        definition = {**definition, "volumes": [*definition.get("volumes", ()), *volumes]}
        machine = self.network.machine(machine_name or name)
        with self.hosts.open("a") as hosts:
            hosts.write(f"{machine.address} {machine_name or name}\n")
        service = self.services[machine_name or name] = Service(machine, definition)
        self._furnish(service)
        return service

    def up(self, name: str, machine_name: str | None = None, **environment: str) -> Service:
        """Start a service after those it depends on, and wait until it is healthy, or done when that is what it is for."""
        for other in self.file["services"][name].get("depends_on", {}):
            if other not in self.services:
                self.up(other)
        service = self.services.get(machine_name or name) or self.create(name, machine_name)
        if service.is_running:
            return service
        if service.image == "postgres":
            _initialise_postgres(service)
        process = service.start(**environment)
        is_done_once = "healthcheck" not in service.definition
        deadline = time.monotonic() + SECONDS
        while not (process.poll() == 0 if is_done_once else service.is_healthy()):
            if process.poll() and service.definition.get("restart") == "unless-stopped":
                process = service.start(**environment)
            assert process.poll() in (None, 0), f"{name}: exit {process.poll()}\n{service.log}"
            assert time.monotonic() < deadline, f"{name} is not healthy in {SECONDS} s\n{service.log}"
            time.sleep(1)
        return service

    def _furnish(self, service: Service) -> None:
        """Its /etc/hosts, scripts, secrets and volumes, at the places that the files say."""
        definition, user = service.definition, service.user
        lines = ["set -e", "mount -t tmpfs none /run", "mount -t tmpfs none /srv", "mkdir -p /run/secrets /srv/bin"]
        lines += [f"mount --bind {self.hosts} /etc/hosts", *_opened(_private())]
        if service.image == "postgres":
            lines += [
                "mkdir -p /run/postgresql",
                f"chown {user} /run/postgresql",
                "mount -t tmpfs none /var/lib/postgresql",
            ]
        lines += [f"cp {ROOT / source} {target}" for source, target in _copied(service.image)]
        home = HOMES.get(service.image)
        lines += [f"install -d -o {user} {home} {home}/work {home}/.mlflow {home}/.cache"] if home else []
        for given in definition.get("secrets", ()):
            name = given if isinstance(given, str) else given["source"]
            target = f"/run/secrets/{name}" if isinstance(given, str) else given["target"]
            file = self.folder / Path(self.file["secrets"][name]["file"])
            lines += [f"touch {target}", f"mount --bind {shlex.quote(str(file))} {target}"]
        for given in definition.get("volumes", ()):
            source, target, *_ = given.split(":")
            target = TOP.get(target, target)
            is_named = source in self.file["volumes"]
            # A cache is a node's own; other volumes outlive the machine.
            place = self.folder / "volumes" / (service.machine.name if source == "cache" else "") / source
            if not is_named:
                place = DOCKER / source
            else:
                place.mkdir(parents=True, exist_ok=True)
                os.chown(place, user, -1)
            lines += [f"mkdir -p {target}", f"mount --bind {shlex.quote(str(place))} {target}"]
        lines += _opened([Path("/tmp")], mode=1777)  # its own, with nobody's sockets in it
        service.machine.run("bash", "-c", "\n".join(lines), cwd=Path("/"))


def _private() -> list[Path]:
    """The folder, if there is one, that hides Python, its packages or this repository from other users."""
    private = {folder for path in NEEDED for folder in path.parents if not folder.stat().st_mode & 0o001}
    return sorted(private, key=lambda path: len(path.parts))[:1]


def _opened(folders: Sequence[Path], mode: int = 755) -> list[str]:
    """Commands after which nothing is in the folders but Python, its packages and this repository."""
    lines = []
    for folder in folders:
        inside = [path for path in NEEDED if folder in path.parents]
        held = [f"/run/held{folder.name}{number}" for number in range(len(inside))]
        lines += [f"mkdir {at} && mount --bind {path} {at}" for at, path in zip(held, inside, strict=True)]
        lines += [f"mount -t tmpfs -o mode={mode} none {folder}"]
        lines += [f"mkdir -p {path} && mount --bind {at} {path}" for at, path in zip(held, inside, strict=True)]
    return lines


def _copied(image: str) -> list[tuple[str, str]]:
    """What a Dockerfile copies below /srv/bin, as (path in the repository, target)."""
    if image not in DOCKERFILES:
        return []
    lines = re.findall(r"^COPY (docker/.+) (/srv/bin/)$", DOCKERFILES[image].read_text(), re.MULTILINE)
    return [(source, target) for sources, target in lines for source in sources.split()]


def _initialise_postgres(service: Service) -> None:
    """What the image's own entrypoint does with a new volume."""
    settings, data = service.definition["environment"], "/var/lib/postgresql/data"
    user, database = settings["POSTGRES_USER"], settings["POSTGRES_DB"]
    words = f"""
    set -e; test ! -s {data}/PG_VERSION || exit 0; chmod 700 {data}
    initdb -D {data} --username={user} --pwfile={settings["POSTGRES_PASSWORD_FILE"]} {settings["POSTGRES_INITDB_ARGS"]} >&2
    echo 'host all all all scram-sha-256' >> {data}/pg_hba.conf; echo "listen_addresses = '*'" >> {data}/postgresql.conf
    echo 'CREATE DATABASE {database}' | postgres --single -D {data} postgres >&2
    """
    service.run("bash", "-c", words)
    service.definition = {**service.definition, "environment": {**settings, "PGDATA": data}}
