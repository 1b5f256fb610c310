"""Nodes, heads and tokens of real clusters that get lost, and nodes that do not fit. Minutes: only `make test-faults` runs it."""

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster, Network, cluster, network, send, wait_for, why_not
from tests.command import ROOT, check_mlflow, ended, here, table

GRID = """
name: grid
data: {name: digits, image_size: 8, classes: 5, augment: [random_crop]}
model: {name: "tests.tiny:slow"}
train: {epochs: 12, batch_size: 64, schedule: step, step_size: 4, gamma: 0.5}
search: {space: {lr: [0.1, 0.03], momentum: [0.9, 0.5]}}
pruning: {name: median, n_startup_trials: 1, n_warmup_steps: 4}
checkpoint: {every_seconds: 0}
resources: {max_retries: 0, max_concurrent: 2}
artifacts: {models: none}
"""
TRIALS = 4
SEEDS = 4
WAIT = 400.0


@pytest.fixture(autouse=True)
def long_form(is_long: bool) -> None:
    if not is_long:
        pytest.skip("minutes: only with --long")
    if why := why_not():
        pytest.skip(why)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    storage = tmp_path_factory.mktemp("undisturbed")
    # As many side by side as the cluster has places, by which a pruner's window is made.
    here("run", file, "--storage", storage, "--executor", "inline", "--set", "resources.max_concurrent=1")
    return table(storage, "grid")


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Network]:
    with network(tmp_path / "machines") as made:
        yield made


def begun(storage: Path) -> int:
    """How many trials have a checkpoint or have ended."""
    return len(list(storage.glob("grid/trials/*/checkpoint.pt"))) + ended(storage, "grid")


def same_numbers(storage: Path, other: str) -> bool:
    """Whether the complete trials of a sweep have the numbers of another."""
    ours, theirs = (
        {line.split(",")[0]: line for line in text.splitlines()[1:]} for text in (table(storage, "grid"), other)
    )
    assert ours.keys() == theirs.keys()
    return ours == theirs


@pytest.mark.parametrize("seed", range(SEEDS))
def test_trials_of_lost_nodes_end_elsewhere_with_the_same_numbers(seed: int, file: Path, tmp_path: Path) -> None:
    """Two workers lost at random moments, each replaced by a new one; no try of a trial's own is allowed to fail."""
    chance, storage = random.Random(seed), tmp_path / "storage"
    with cluster(tmp_path / "machines", 0, 1, 1) as ray:
        process = ray.sweeper("run", file, "--storage", storage, "--address", ray.address, log="run.txt")
        for victim in (1, 2):
            results = chance.choice([0, 1, 2])
            wait_for(lambda least=results: begun(storage) >= max(least, 2) and ended(storage, "grid") >= least, WAIT)
            ray.machines[victim].kill()
            ray.add(1)
        assert process.wait(timeout=WAIT) == 0, (ray.machines[0].logs / "run.txt").read_text()
    check_mlflow(storage, TRIALS)
    shutil.copy(storage / "grid" / "machine.json", tmp_path)
    alone = tmp_path / "alone"
    (alone / "grid").mkdir(parents=True)
    shutil.copy(storage / "grid" / "machine.json", alone / "grid")  # the same window
    here("run", file, "--storage", alone, "--executor", "inline")
    assert same_numbers(storage, table(alone, "grid"))


def test_without_its_head_the_sweep_ends_and_goes_on_on_a_new_cluster(file: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    with cluster(tmp_path / "first", 0, 1, 1) as ray:
        driver = ray.machines[1]
        endless = ["--set", "train.epochs=2000", "--set", "pruning=null"]
        process = ray.sweeper(
            "run", file, *endless, "--storage", storage, "--address", ray.address, on=driver, log="run.txt"
        )
        wait_for(lambda: begun(storage) >= 2 or process.poll() is not None, WAIT)
        ray.machines[0].kill()
        code = process.wait(timeout=90)
        said = (driver.logs / "run.txt").read_text()
        assert code == 3, said
        assert "head at 10.77.0.1:6379 has not answered" in said
        assert "Traceback" not in said
    check_mlflow(storage, len(list(storage.glob("grid/trials/*"))))
    for kept in storage.glob("grid/trials/*/checkpoint.pt"):
        assert kept.stat().st_size
    shutil.rmtree(storage)
    with cluster(tmp_path / "second", 0, 1, 1) as ray:
        process = ray.sweeper("run", file, "--storage", storage, "--address", ray.address, log="run.txt")
        wait_for(lambda: begun(storage) >= 2 or process.poll() is not None, WAIT)
        for machine in ray.machines:  # the driver's own machine, too
            machine.kill()
    with cluster(tmp_path / "third", 1) as ray:
        process = ray.sweeper("run", file, "--storage", storage, "--address", ray.address, log="run.txt")
        assert process.wait(timeout=WAIT) == 0, (ray.machines[0].logs / "run.txt").read_text()
    check_mlflow(storage, TRIALS)
    assert ended(storage, "grid") == TRIALS


def test_what_is_wrong_with_a_cluster_is_told_before_anything_trains(
    file: Path, tmp_path: Path, connected: Network
) -> None:
    ray = Cluster(connected)
    for _ in range(3):
        ray.add(1)
    ray.wait()
    outsider = connected.machine("outsider")

    def refused(*arguments: object, address: str = ray.address, **options: object) -> str:
        name = f"{len(list(ray.machines[0].logs.glob('*')))}.txt"
        process = ray.sweeper("run", file, "--storage", tmp_path, "--address", address, *arguments, log=name, **options)
        code = process.wait(timeout=WAIT)
        said: str = ((options.get("on") or ray.machines[0]).logs / name).read_text()
        assert code == 2, said
        assert "Traceback" not in said
        assert not list(tmp_path.glob("grid/trials/*"))
        return said

    assert "no Ray cluster answers at 10.77.0.1:6380" in refused(address="10.77.0.1:6380")
    assert "no Ray node runs on this machine" in refused(on=outsider)
    assert "refuses this machine's token" in refused(environment={"RAY_AUTH_TOKEN": "x" * 64})
    assert "wants 2 CPUs, and the largest of the cluster's 3 nodes has 1" in refused(
        "--set", "resources.cpus_per_trial=2"
    )
    assert "lower resources.gpus_per_trial" in refused("--set", "resources.gpus_per_trial=1").replace("Lower", "lower")
    copied = tmp_path / "older"
    shutil.copytree(ROOT / "sweeper", copied / "sweeper", ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "sweeper" / "__init__.py").write_text('"""Older."""\n\n__version__ = "0.0.9"\n')
    ray.add(1, environment={"PYTHONPATH": str(copied)})
    ray.wait()
    # From elsewhere: Ray has a driver's current folder searched first on every node, this project's own where that is it.
    assert "worker-3 (10.77.0.5) has sweeper 0.0.9" in refused(cwd=tmp_path)


def test_a_node_that_joins_and_does_not_fit_is_left_out_and_the_sweep_goes_on(
    file: Path, tmp_path: Path, connected: Network
) -> None:
    """It does not see the storage: every trial on it would fail."""
    storage = tmp_path / "storage"
    storage.mkdir()
    ray = Cluster(connected)
    ray.add(0)
    ray.add(1)
    ray.wait()
    process = ray.sweeper("run", file, "--storage", storage, "--address", ray.address, log="run.txt")
    said = ray.machines[0].logs / "run.txt"
    wait_for(lambda: begun(storage) >= 1 or process.poll() is not None, WAIT)
    ray.add(1, name="blind", hidden=storage)
    ray.wait()
    assert process.wait(timeout=WAIT) == 0, said.read_text()
    assert "blind (10.77.0.3): does not see" in said.read_text()
    assert "No trial runs there" in said.read_text()
    check_mlflow(storage, TRIALS)


def test_a_signal_saves_and_stops_on_a_cluster_too(file: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    with cluster(tmp_path / "machines", 0, 1) as ray:
        arguments = ["run", file, "--storage", storage, "--address", ray.address, "--set", "train.epochs=2000"]
        process = ray.sweeper(*arguments, log="run.txt")
        wait_for(lambda: begun(storage) >= 1 or process.poll() is not None, WAIT)
        send(process, signal.SIGINT)
        assert process.wait(timeout=WAIT) == 130
        assert "stopped" in (ray.machines[0].logs / "run.txt").read_text()
    check_mlflow(storage, len(list(storage.glob("grid/trials/*"))))
