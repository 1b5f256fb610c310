"""What the services keep, saved by the commands of docker/README.md and brought back by them where there is nothing."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.services.stack import DOCKER, Service, Stack

pytestmark = pytest.mark.timeout(900)

SECTION = (DOCKER / "README.md").read_text().partition("## Backup")[2].partition("\n## ")[0]
SAVE, BRING_BACK = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
(UNPACK,) = re.findall(r"`(tar --extract [^`]*)`", SECTION)
WRITE = """
import mlflow, s3fs, sys
name = sys.argv[1]
mlflow.set_experiment("kept")
with mlflow.start_run(run_name=name):
    mlflow.log_metric("val/top1", 0.5)
    mlflow.log_text(f"of {name}", "notes/a text.txt")
s3fs.S3FileSystem().pipe(f"sweeps/a sweep é/trials/{name}/result.json", b"{}")
"""
READ = """
import json, mlflow, s3fs
runs = mlflow.search_runs(experiment_names=["kept"], output_format="list")
s3 = s3fs.S3FileSystem()
print(json.dumps({
    "runs": {run.info.run_name: run.data.metrics for run in runs},
    "texts": {run.info.run_name: mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/a text.txt") for run in runs},
    "files": {bucket: sorted(s3.find(bucket)) for bucket in ("sweeps", "mlflow")},
}))
"""


class Terminal:
    """The commands of the README, given in a folder with `docker/secrets`; `docker compose` is the stack's part."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder, self.mask = stack, folder, ":"

    def type(self, lines: str) -> None:
        for line in re.split(r"\n| && (?=\$compose)", lines.replace("\\\n", "").strip()):
            if line.startswith("umask"):
                self.mask = line
            elif line.startswith("$compose"):
                words, _, file = re.fullmatch(r"\$compose (.*?)(?: ([<>]) (\S+))?", line).groups()  # type: ignore[union-attr]
                self.compose(*shlex.split(words), file=file and self.folder / file)
            else:
                subprocess.run(["bash", "-ec", f"{self.mask}; {line}"], cwd=self.folder, check=True)

    def compose(self, *words: str, file: Path | None) -> None:
        match words:
            case ["exec", "-T", name, *command]:
                self.execute(self.stack.services[name], command, file)
            case ["run", "--rm", "--no-deps", "--volume", volume, "--entrypoint", program, name, *arguments]:
                volume = volume.replace("$PWD", str(self.folder)).replace(":/backup", ":/srv/backup")
                service = self.stack.create(name, f"{name}-{len(self.stack.services)}", volume)
                service.run(program, *(word.replace("/backup", "/srv/backup") for word in arguments))
            case ["stop", name]:
                if name in self.stack.services:
                    self.stack.services[name].stop()
            case ["build"]:
                """What images bring is on this machine."""
            case ["up", "--detach", "--wait", name] | ["up", "--detach", name] | ["run", "--rm", name]:
                self.stack.up(name)
            case _:
                raise AssertionError(f"not known: {words}")

    def execute(self, service: Service, command: list[str], file: Path | None) -> None:
        """Run a command in a container, from a file or to a new one."""
        assert file
        words = service.machine.words(service.words(command))
        is_input = file.exists()
        with file.open("rb" if is_input else "xb") as pipe:
            of = {"stdin": pipe} if is_input else {"stdout": pipe}
            subprocess.run(words, **of, check=True, cwd="/", timeout=120)


def test_what_was_lost_is_brought_back(stack: Stack, tmp_path: Path) -> None:
    (old := tmp_path / "old" / "docker").mkdir(parents=True)
    stack.up("mlflow")
    laptop = stack.create("sweeper", "laptop")
    for name in ("one", "two"):
        laptop.run("python", "-c", WRITE, name)
    known = json.loads(laptop.run("python", "-c", READ))
    assert set(known["runs"]) == {"one", "two"}
    assert all(known["files"].values())

    shutil.copytree(stack.folder / "secrets", old / "secrets")
    Terminal(stack, old.parent).type(SAVE)
    assert (old.parent / "backup").stat().st_mode & 0o077 == 0
    for service in stack.services.values():
        service.machine.kill()

    (new := tmp_path / "new" / "docker").mkdir(parents=True)
    (old.parent / "backup").rename(new.parent / "backup")
    terminal = Terminal(stack, new.parent)
    terminal.type(UNPACK)
    terminal.stack = elsewhere = Stack(stack.network, new, {"MLFLOW_WORKERS": "1"})
    terminal.type(BRING_BACK)
    laptop = elsewhere.create("sweeper", "desktop")
    assert json.loads(laptop.run("python", "-c", READ)) == known

    # Where there is something: MLflow is as it was, and what came since stays in S3.
    laptop.run("python", "-c", WRITE, "three")
    terminal.type(BRING_BACK)
    again = json.loads(laptop.run("python", "-c", READ))
    assert (again["runs"], again["texts"]) == (known["runs"], known["texts"])
    (since,) = set(again["files"]["sweeps"]) - set(known["files"]["sweeps"])
    assert since.endswith("/trials/three/result.json")
