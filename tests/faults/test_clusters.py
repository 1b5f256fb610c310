"""A sweep on a real Ray cluster of separate machines, as its user runs it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster, network, wait_for, why_not
from tests.command import check_mlflow, ended, here, table

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def long_form(is_long: bool) -> None:
    if not is_long:
        pytest.skip("three machines start: only with --long")
    if why := why_not():
        pytest.skip(why)


MODEL = """
from layers import head

def net(classes):
    return head(classes)
"""
LAYERS = """
from torch import nn

def head(classes):
    return nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16 * 30 * 30, classes))
"""
GRID = """
name: grid
data: {name: digits, image_size: 8, classes: 3, augment: []}
model: {name: "mine:net"}
train: {epochs: 12, batch_size: 64}
search: {space: {lr: [0.03, 0.01]}}
checkpoint: {every_seconds: 0}
resources: {max_retries: 0}
artifacts: {models: none}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the user works: the experiment and a model in two modules, which are installed nowhere."""
    folder = tmp_path_factory.mktemp("work")
    for name, text in (("mine.py", MODEL), ("layers.py", LAYERS), ("grid.yaml", GRID)):
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose head takes no trials, without workers at first."""
    with network(tmp_path_factory.mktemp("cluster")) as connected:
        cluster = Cluster(connected)
        cluster.add(0)
        yield cluster


def test_a_sweep_waits_for_workers_and_goes_on_when_one_is_lost(head: Cluster, work: Path, tmp_path: Path) -> None:
    """With patience for no failure of a trial's own, and the user's modules on the driver's machine alone."""
    process = head.sweeper(
        "run", "grid.yaml", "--storage", tmp_path, "--address", head.address, cwd=work, log="run.txt"
    )
    said = head.machines[0].logs / "run.txt"
    wait_for(lambda: "waiting for one" in said.read_text() or process.poll() is not None)
    first, second = head.add(1, hidden=work), head.add(1, hidden=work)
    head.wait()
    wait_for(lambda: len(list(tmp_path.glob("grid/trials/*/checkpoint.pt"))) + ended(tmp_path, "grid") == 2)
    second.kill()
    assert process.wait(timeout=240) == 0, said.read_text()
    assert "worker-2 (10.77.0.3) is lost" in said.read_text() or "2/2" in said.read_text()
    prepared = [len(list(worker.logs.glob("cache/prepared/*"))) for worker in (first, second)]
    assert prepared[0] == 1
    assert prepared[1] <= 1  # it may have joined when all was under way
    check_mlflow(tmp_path, 2)
    undisturbed = tmp_path / "undisturbed"
    here("run", "grid.yaml", "--storage", undisturbed, "--executor", "inline", cwd=work)
    assert table(tmp_path, "grid") == table(undisturbed, "grid")


def test_a_storage_that_a_node_does_not_share_is_refused_with_the_node(
    head: Cluster, work: Path, tmp_path: Path
) -> None:
    if len(head.machines) == 1:
        head.add(1)
        head.wait()
    head.machines[1].hide(tmp_path)
    process = head.sweeper(
        "run", "grid.yaml", "--storage", tmp_path, "--address", head.address, cwd=work, log="hidden.txt"
    )
    code, told = process.wait(timeout=240), (head.machines[0].logs / "hidden.txt").read_text()
    assert code == 2, told
    assert f"worker-1 (10.77.0.2): does not see {tmp_path}/grid, where the sweep is" in told
    assert "s3://" in told
    assert not list(tmp_path.glob("grid/trials/*"))


KINDS = {
    "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
    "gpus": {"resources": {"CPU": 1, "GPU": 1, "object_store_memory": 80_000_000}, "node_config": {}, "max_workers": 1},
}
EMPTY = ("auth", "docker", "file_mounts")
EMPTY_LISTS = (
    "cluster_synced_files", "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "rsync_exclude", "rsync_filter",
)  # fmt: skip
GROWING = {
    "cluster_name": "growing",
    "max_workers": 1,
    "idle_timeout_minutes": 5,
    "upscaling_speed": 1.0,
    "provider": {"type": "fake_multinode"},
    "available_node_types": KINDS,
    "head_node_type": "ray.head.default",
    "file_mounts_sync_continuously": False,
    **{name: {} for name in EMPTY},
    **{name: [] for name in EMPTY_LISTS},
}


def test_an_autoscaler_is_asked_for_a_gpu_though_a_node_without_one_is_up(work: Path, tmp_path: Path) -> None:
    """Ray's own autoscaler starts a node that says it has a GPU; that there is none is told of it once it is up."""
    config = tmp_path / "growing.json"
    config.write_text(json.dumps(GROWING))
    with network(tmp_path / "machines") as connected:
        ray = Cluster(connected)
        environment = {"RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0"}
        head = ray.add(1, f"--autoscaling-config={config}", environment=environment)
        arguments = ["run", "grid.yaml", "--storage", tmp_path, "--set", "resources.gpus_per_trial=1"]
        process = ray.sweeper(*arguments, "--address", ray.address, cwd=work, log="run.txt")
        code, told = process.wait(timeout=240), (head.logs / "run.txt").read_text()
    assert code == 2, told
    assert "its GPUs cannot be used (RuntimeError: " in told
    assert "no node with the 1 CPU and 1 GPU of a trial yet; waiting for one" in told
