"""What docker/slurm/sweep.sbatch does when Slurm signals it. Slurm's commands, Ray's and sweeper's are stood in for."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.stack import DOCKER

SCRIPT = DOCKER / "slurm" / "sweep.sbatch"
COMMANDS = {
    "scontrol": 'case $1 in show) printf "%s\\n" node1 node2;; *) echo "scontrol $*" >>"$TOLD";; esac',
    "srun": 'case "$*" in *hostname*) echo 10.0.0.1;; *) echo "srun $* $SLURM_EXPORT_ENV" >>"$TOLD"; exec sleep 600;; esac',
    "ray": "exit 0",
    "sweeper": """
        trap 'sleep 0.5; echo saved >>"$TOLD"; exit 143' TERM
        echo "sweeper $*" >>"$TOLD"
        if [ "$2" = short.yaml ]; then exit 3; fi
        while :; do sleep 0.05; done""",
}


class Job:
    """The batch script with its commands, which write what was asked of them into a file."""

    def __init__(self, folder: Path, file: str) -> None:
        (folder / "bin").mkdir()
        for name, words in COMMANDS.items():
            (folder / "bin" / name).write_text(f"#!/usr/bin/env bash\n{words}\n")
            (folder / "bin" / name).chmod(0o755)
        (folder / "bin" / "activate").write_text(f"PATH={folder}/bin:$PATH\n")
        self.told = folder / "told.txt"
        given = {"SWEEPER_VENV": folder, "TOLD": self.told, "SLURM_JOB_ID": 7, "SLURM_JOB_NODELIST": "node[1-2]"}
        given |= {"SLURM_EXPORT_ENV": "NONE", "SLURM_TMPDIR": f"/localscratch/{'user' * 8}.12345678.0"}
        environment = {**os.environ, **{name: str(value) for name, value in given.items()}, "SLURM_CPUS_PER_TASK": "6"}
        self.process = subprocess.Popen(["bash", SCRIPT, file, "--storage", "/shared"], env=environment)
        self.wait_for("sweeper run")

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 60
        while not (self.told.exists() and words in self.told.read_text()):
            assert self.process.poll() is None or words in self.told.read_text()
            assert time.monotonic() < deadline, words
            time.sleep(0.02)

    @property
    def after(self) -> list[str]:
        """What happened after the sweep began."""
        lines = [line for line in self.told.read_text().splitlines() if not line.startswith("srun")]
        assert lines[0] == f"sweeper run {lines[0].split()[2]} --storage /shared --address 10.0.0.1:20007"
        return lines[1:]


@pytest.fixture
def job(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Job]:
    made = Job(tmp_path, getattr(request, "param", "long.yaml"))
    yield made
    if made.process.poll() is None:
        made.process.terminate()
        made.process.wait()


def test_a_job_whose_time_is_up_is_queued_again_once_all_is_saved(job: Job) -> None:
    job.process.send_signal(signal.SIGUSR1)
    assert job.process.wait(timeout=60) == 143
    assert job.after == ["saved", "scontrol requeue 7"]


def test_a_job_that_was_cancelled_saves_and_is_not_queued_again(job: Job) -> None:
    job.process.terminate()
    assert job.process.wait(timeout=60) == 143
    assert job.after == ["saved"]


@pytest.mark.parametrize("job", ["short.yaml"], indirect=True)
def test_a_job_that_has_ended_tells_how(job: Job) -> None:
    assert job.process.wait(timeout=60) == 3
    assert job.after == []


def test_every_node_of_ray_has_the_cpus_of_its_task(job: Job) -> None:
    job.wait_for("--nodelist node2")
    steps = [line for line in job.told.read_text().splitlines() if line.startswith("srun")]
    assert len(steps) == 2
    assert all("--cpus-per-task 6 " in step and "ray start" in step for step in steps)


def test_every_step_has_the_environment_of_a_job_that_was_submitted_without_one(job: Job) -> None:
    """Slurm hands `--export=NONE` on to the steps, which would have neither Ray nor its token."""
    job.wait_for("--nodelist node2")
    steps = [line for line in job.told.read_text().splitlines() if line.startswith("srun")]
    assert all(step.endswith(" ALL") for step in steps)


def test_the_paths_of_rays_sockets_are_short_enough_wherever_a_site_has_its_disks(job: Job) -> None:
    (place,) = re.findall(r"--temp-dir (\S+)", job.told.read_text())
    longest = "session_2026-11-23_13-45-06_123456_4194304/sockets/plasma_store"
    assert len(f"{place.removesuffix('7')}4294967295/{longest}") <= 107, "what Linux allows"


def test_slurm_warns_the_script_alone_and_a_job_that_is_queued_again_adds_to_its_log() -> None:
    asked = [line.partition(" ")[2] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--signal=B:USR1@120", "--requeue", "--open-mode=append"} <= set(asked)
