"""A cluster of which no node holds a trial yet: whether it can grow, what it is asked for, and the wait for that."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler._private.util import format_readonly_node_type
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.placement_group import placement_group, remove_placement_group

from sweeper.launch.nodes import Node, check_one_fits, places
from sweeper.launch.reaching import nodes_up
from sweeper.launch.share import Share

UNKNOWN_SECONDS = 60.0
PAUSE_SECONDS = 0.5


def wait_for_nodes(least: Callable[[Sequence[Node]], Share], address: str, say: Callable[[str], object]) -> list[Node]:
    """The nodes that are up, as soon as one holds the least that a trial wants of them; an autoscaler is asked for such a one.

    Raises ResourcesError where nodes are up, none of them is large enough, and the cluster whose head is at `address` does
    not grow by itself.
    """
    nodes, began = nodes_up(), time.monotonic()
    if places(least(nodes), nodes):
        return nodes
    _check_may_come(least(nodes), nodes, address, 0.0)
    wanted = _bundle(least(nodes))
    told = " and ".join(f"{number:g} {name}{'s' * (number != 1)}" for name, number in wanted.items())
    say(f"the cluster has no node with the {told} of a trial yet; waiting for one. Ctrl-C stops")
    with _asked_for(wanted):
        while not places(least(nodes), nodes):
            time.sleep(PAUSE_SECONDS)
            nodes = nodes_up()
            _check_may_come(least(nodes), nodes, address, time.monotonic() - began)
    return nodes


def _check_may_come(least: Share, nodes: Sequence[Node], address: str, waited_seconds: float) -> None:
    if not any(node.cpus for node in nodes):  # a head that takes no trials, before its first node
        return
    grows = can_grow(_types_of_nodes(address))
    if grows is False or (grows is None and waited_seconds > UNKNOWN_SECONDS):
        check_one_fits(least, nodes)


def can_grow(types: Mapping[str, str]) -> bool | None:
    """Whether an autoscaler gave nodes their types, by a node's id; None where no type is known, as just after a head's start.

    Of a node that nobody but its own `ray start` knows, Ray's monitor makes up a type out of its id.
    """
    if not types:
        return None
    return any(kind != format_readonly_node_type(node) for node, kind in types.items())


def _types_of_nodes(address: str) -> dict[str, str]:
    if is_autoscaler_v2(fetch_from_server=True):
        status = get_cluster_status(address)
        return {str(node.node_id): node.ray_node_type_name for node in [*status.active_nodes, *status.idle_nodes]}
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    return dict((status.get("autoscaler_report") or {}).get("node_type_mapping") or {})


def _bundle(share: Share) -> dict[str, float]:
    return {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}


@contextmanager
def _asked_for(bundle: dict[str, float]) -> Iterator[None]:
    """Autoscalers see what is waiting; this ends with the block, and with this process."""
    group = placement_group([bundle])
    try:
        yield
    finally:
        remove_placement_group(group)
