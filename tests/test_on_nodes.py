"""What runs on the nodes of a real Ray: measurements, and trials where they may not run."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from sweeper.launch import import_ray
from sweeper.launch.driver import Driver
from sweeper.launch.joining import ClusterError
from sweeper.launch.nodes import Node
from sweeper.launch.share import Share
from sweeper.launch.sweeping import Sweeping
from sweeper.reading import read_experiment
from sweeper.store import Sweep
from sweeper.training.machine import decide, kind_here

if TYPE_CHECKING:
    from sweeper.launch.cluster import Cluster
    from sweeper.launch.head import Head

GONE = Node("a" * 56, "gone", "10.0.0.9", 1.0, 0.0)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """The one node of a Ray on this machine, told to be larger than it is."""
    _, connection = import_ray(None)
    with connection.cluster(None):
        from sweeper.launch.reaching import nodes_up

        (only,) = nodes_up()
        yield only._replace(cpus=64.0)


def test_a_node_that_is_lost_as_it_is_measured_gives_way_to_the_next(node: Node) -> None:
    from sweeper.launch.measuring import place_among

    said: list[str] = []
    place = place_among([node, GONE], "cpu", said.append)
    assert place.cores == 1  # of the smallest
    assert place.call(lambda *numbers: sum(numbers), [1, 2], cpus=1, gpus=0) == 3
    assert said == ["gone (10.0.0.9) was lost as a trial was measured there (TaskUnschedulableError)"]
    with pytest.raises(ClusterError, match="no node is left on which to measure"):
        place_among([GONE], "cpu", said.append).call(lambda *numbers: sum(numbers), [1, 2], cpus=1, gpus=0)


def test_what_is_wrong_with_a_trial_is_not_taken_for_a_lost_node(node: Node) -> None:
    from sweeper.launch.measuring import place_among

    with pytest.raises(ValueError, match="invalid literal"):
        place_among([node], "cpu", pytest.fail).call(lambda word: int(word), ["x"], cpus=1, gpus=0)


def test_a_node_that_others_use_is_waited_for_and_this_is_said(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from sweeper.launch import measuring

    monkeypatch.setattr(measuring, "TELL_SECONDS", 0.2)
    said: list[str] = []
    holds, let_go, began = tmp_path / "holds", tmp_path / "let_go", time.monotonic()

    def hold() -> None:
        holds.touch()
        while not let_go.exists():
            time.sleep(0.05)

    def say(line: str) -> None:
        said.append(line)
        let_go.touch()

    ray.remote(hold).options(num_cpus=int(ray.cluster_resources()["CPU"])).remote()
    while not holds.exists():
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    measuring.place_among([node], "cpu", say).call(lambda: os.getpid(), [], cpus=1, gpus=0)
    assert len(said) == 1
    assert "what a trial needs, as soon as others leave it room" in said[0]


FILE = """
name: elsewhere
data: {name: digits, image_size: 8, augment: []}
model: {name: "tests.tiny:linear"}
search: {space: {lr: [0.1]}}
resources: {max_retries: 1}
"""


class Elsewhere:
    """A cluster whose driver has another torch than its workers."""

    def __init__(self) -> None:
        self.here = {"torch": "0.1"}
        self.unfit: dict[str, Node] = {}
        self.left_out: list[tuple[str, str]] = []
        self.told_lost = None

    def watch(self, is_training: object) -> None:
        """Nothing comes or goes."""

    def leave_out(self, node: str, why: str) -> None:
        self.left_out.append((node, why))


def test_where_versions_differ_no_trial_trains_and_the_node_is_left_out(node: Node, tmp_path: Path) -> None:
    from sweeper.launch.ray_tune import run_on_ray

    sweeping = Sweeping.of(Sweep(str(tmp_path), "elsewhere"), read_experiment(FILE, "elsewhere.yaml"))
    sweeping.sweep.write_machine(decide(kind_here("cpu"), 1, 1))
    driver, nodes = Driver(sweeping.sweep, sweeping.experiment, sweeping.search(1), []), Elsewhere()
    run_on_ray(driver, Share("cpu", 1, 0.0, 1), 1, cast("Head", nodes), cast("Cluster", nodes))
    (record,) = sweeping.sweep.all_records()
    assert record.result
    assert str(record.result.error).startswith("has torch ")
    assert "(here 0.1)" in str(record.result.error)
    assert not record.history
    assert {one for one, _ in nodes.left_out} == {node.id}
    assert len(nodes.left_out) == 4  # the first two are its node's doing


# As Ray 2.60 tells it.
TERMINATED = """The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker
exits unexpectedly by a signal. SystemExit is raised (sys.exit is called). Exit code: 1. The process receives a SIGTERM."""


@pytest.mark.parametrize(
    ("death", "told"),
    [
        (TERMINATED, "its node was being taken away"),
        ("killed by SIGSEGV", None),
        ("its node has died", "its node was lost"),
    ],
)
def test_a_worker_that_is_terminated_with_its_node_is_told_from_one_that_crashed(
    node: Node, death: str, told: str | None, tmp_path: Path
) -> None:
    from sweeper.launch.cluster import Cluster
    from sweeper.launch.inspecting import Inspection

    class Settled(Cluster):
        """One node, which was looked at."""

        def __init__(self) -> None:
            sweep = Sweep(str(tmp_path), "elsewhere")
            self.inspection = Inspection(Sweeping.of(sweep, read_experiment(FILE, "elsewhere.yaml")), {}, pytest.fail)
            self.fit = {node.id: node}

    assert Settled().told_lost(node.id, death) == told


NODES_LOST = """
from sweeper.launch import import_ray

_, connection = import_ray(None)
with connection.cluster(None):
    from ray._private.worker import print_to_stdstream  # as Ray tells of a lost node, and of the next one

    for process in ("raylet", "another raylet"):
        print_to_stdstream({"lines": ["a node was lost"], "pid": process, "is_err": False}, ignore_prefix=False)
print("the table")
"""


def test_what_ray_tells_of_lost_nodes_does_not_come_among_the_data() -> None:
    done = subprocess.run([sys.executable, "-c", NODES_LOST], capture_output=True, text=True, check=True)
    assert done.stdout == "the table\n"
