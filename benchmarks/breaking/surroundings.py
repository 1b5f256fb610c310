"""What a sweep needs beside its process to be broken: a server of MLflow with a proxy before it, or a small disk."""

import random
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.mlflow_servers import MlflowServer, Proxy

DISK_BYTES = 256 * 2**20


class UnreliableProxy(Proxy):
    """Loses the reply to a share of the requests; what was asked for is done all the same."""

    lost_share = 0.0
    random = random.Random(0)  # noqa: S311  # which replies are lost, not a secret

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.lost_share:
            self.mode = "lose" if self.random.random() < self.lost_share else "pass"
        super().answer(request)


def empty_database(file: Path) -> Path:
    """MLflow's database before its first run, made once since that takes seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{file}", str(file.parent / "artifacts"))  # type: ignore[no-untyped-call]
    return file


class Surroundings:
    """`needs` is "server", "disk" or neither; `out` is where the tool keeps all that it keeps; `database` is MLflow's, empty."""

    def __init__(self, folder: Path, needs: str, database: Path | None) -> None:
        self.out, self.needs = folder / "out", needs
        self.out.mkdir(parents=True)
        self.server: MlflowServer | None = None
        self.proxy: UnreliableProxy | None = None
        if needs == "disk":
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(self.out)]
            subprocess.run(mount, check=True, capture_output=True)
        if database:
            shutil.copyfile(database, self.out / "mlflow.db")
        if needs == "server":
            self.server, self.proxy = MlflowServer(folder, self.out / "mlflow.db"), UnreliableProxy()
            self.proxy.target = self.server.port
            assert self.server.uri

    def leave(self, room_bytes: int) -> None:
        """Fill the disk but for some room."""
        free = shutil.disk_usage(self.out).free
        (self.out / "ballast").write_bytes(bytes(max(0, free - room_bytes)))

    def close(self) -> None:
        if self.needs == "disk":
            subprocess.run(["umount", "--lazy", str(self.out)], check=True)
        if self.server and self.proxy:
            self.proxy.close()
            self.server.kill()
