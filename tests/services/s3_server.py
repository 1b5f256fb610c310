"""The S3 server of docker/compose.yaml as a process on this machine's loopback, on ports of its own."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mlflow_servers import free_port
from tests.services.stack import compose

SECONDS = 120.0


def weed() -> str | None:
    """SeaweedFS's program, beside this Python or on the path."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


class S3Server:
    """Started at once, and waited for when its `environment` is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, secrets.token_hex(16)
        (folder / "data").mkdir(parents=True)
        credentials = {"accessKey": "sweeper", "secretKey": self.key}
        identity = {"name": "sweeper", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List"]}
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
        self.ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        self.start()

    def start(self) -> None:
        given = compose()["services"]["s3"]["command"]
        own = {"-dir": self.folder / "data", "-s3.config": self.folder / "identities.json", "-s3.ip.bind": "127.0.0.1"}
        own |= {f"-{name}.port": port for name, port in self.ports.items()}
        # A gRPC port is the other plus 10,000 unless it is given, which may be more than there are.
        own |= {f"-{name}.port.grpc": free_port() for name in self.ports} | {"-master.volumeSizeLimitMB": 64}
        words = [word for word in given if word.partition("=")[0] not in own]
        program = weed()
        assert program
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *words, *(f"{name}={value}" for name, value in own.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"]},  # keys in AWS_... it would take for its own
                start_new_session=True,
            )

    def wait(self) -> None:
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/healthz", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError((self.folder / "log.txt").read_text()[-3000:])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def environment(self) -> dict[str, str]:
        self.wait()
        keys = {"AWS_ACCESS_KEY_ID": "sweeper", "AWS_SECRET_ACCESS_KEY": self.key}
        return {**keys, "AWS_ENDPOINT_URL": self.address, "AWS_DEFAULT_REGION": "us-east-1"}

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    try:
        yield server
    finally:
        server.kill()
