"""Measuring on the nodes of a real Ray: a node that is lost, one that others use, and what is measured going wrong."""

import os
import time
from collections.abc import Iterator

import pytest

from sweeper.launch import import_ray
from sweeper.launch.joining import ClusterError
from sweeper.launch.nodes import Node

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


def test_a_node_that_others_use_is_waited_for_and_this_is_said(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from sweeper.launch import measuring

    monkeypatch.setattr(measuring, "TELL_SECONDS", 0.2)
    said: list[str] = []
    ray.remote(lambda seconds: time.sleep(seconds)).options(num_cpus=int(ray.cluster_resources()["CPU"])).remote(3)
    assert (
        measuring.place_among([node], "cpu", said.append).call(lambda: os.getpid(), [], cpus=1, gpus=0) != os.getpid()
    )
    assert len(said) == 1
    assert "what a trial needs, as soon as others leave it room" in said[0]
