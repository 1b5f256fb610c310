"""Where on a joined cluster it is measured what a trial needs: the smallest node of the kind on which trials will run."""

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from sweeper.launch.joining import ClusterError
from sweeper.launch.nodes import Node
from sweeper.launch.reaching import node_up, on
from sweeper.launch.share import Place

TELL_SECONDS = 10.0


def place_among(nodes: Sequence[Node], device: str, say: Callable[[str], object]) -> Place:
    """The smallest of nodes of one kind; where it is lost meanwhile the next is called. Raises ClusterError after the last."""
    alike = sorted(nodes, key=lambda node: (node.gpus, node.cpus))

    def call(function: Callable[..., Any], arguments: Sequence[Any], cpus: int, gpus: int) -> Any:
        for node in alike:
            try:
                return _called(on(node, cpus, function, gpus).remote(*arguments), node, say)
            except RayTaskError:  # what the function itself raised
                raise
            except RayError as error:
                if node_up(node.id):
                    told = " ".join(str(error).split())
                    raise ClusterError(f"what a trial needs cannot be measured on {node}: {told}") from error
                say(f"{node} was lost as a trial was measured there ({type(error).__name__})")
        raise ClusterError("no node is left on which to measure what a trial needs; run again when there is one")

    return Place(device, int(alike[0].cpus), int(alike[0].gpus), call)


def _called(answer: Any, node: Node, say: Callable[[str], object]) -> Any:
    """The answer, however long it takes; what takes long is told."""
    if not ray.wait([answer], timeout=TELL_SECONDS)[0]:
        say(f"measuring on {node} what a trial needs, as soon as others leave it room for that. Ctrl-C stops")
    while not ray.wait([answer], timeout=TELL_SECONDS)[0]:
        continue
    return ray.get(answer)
