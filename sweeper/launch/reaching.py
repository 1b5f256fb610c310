"""What Ray tells of a joined cluster's nodes, and tasks that run on one of them."""

from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.launch.nodes import Node


def nodes_up() -> list[Node]:
    return [
        Node(
            found["NodeID"],
            found["NodeManagerHostname"],
            found["NodeManagerAddress"],
            found["Resources"].get("CPU", 0.0),
            found["Resources"].get("GPU", 0.0),
        )
        for found in ray.nodes()  # type: ignore[no-untyped-call]
        if found["Alive"]
    ]


def node_up(id: str) -> Node | None:
    """The node of that id; None when it is not up any more."""
    return next((node for node in nodes_up() if node.id == id), None)


def on(node: Node, cpus: int, function: Callable[..., Any], gpus: int = 0) -> Any:
    """A function as a task that runs on that node alone."""
    place = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return ray.remote(function).options(num_cpus=cpus, num_gpus=gpus, scheduling_strategy=place, max_retries=0)
