"""The nodes of a Ray cluster: how many trials each holds, how they differ, and which of them a sweep runs on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sweeper.experiment import Resources
from sweeper.launch.joining import ClusterError
from sweeper.launch.share import ResourcesError, Share
from sweeper.store import Machine
from sweeper.training.machine import Kind, MachineError

UNUSABLE = "its GPUs cannot be used"


class Node(NamedTuple):
    """A node that is up, with what it has in all, in use or not."""

    id: str
    name: str
    address: str
    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


class Look(NamedTuple):
    """What was found on a node: versions by name, and when they are the driver's, what kind it is and what is wrong."""

    versions: Mapping[str, str]
    kind: Kind | None = None
    trouble: str | None = None


def places(share: Share, nodes: Iterable[Node]) -> int:
    """How many trials the nodes hold side by side; a trial is on one node."""
    return sum(share.places(node.cpus, node.gpus) for node in nodes)


def check_one_fits(share: Share, nodes: Sequence[Node]) -> None:
    """Raise ResourcesError, with the setting to lower, when no node is large enough for one trial."""
    if places(share, nodes):
        return
    for kind, wanted, sizes in (
        ("CPU", share.cpus, [node.cpus for node in nodes]),
        ("GPU", share.gpus, [node.gpus for node in nodes]),
    ):
        most = max(sizes, default=0.0)
        if wanted > most:
            where = f" ({nodes[sizes.index(most)]})" if most else ""
            raise ResourcesError(
                f"a trial wants {wanted:g} {kind}s, and the largest of the cluster's {len(nodes)} nodes has {most:g}{where}; "
                f"a trial runs on one node. Lower resources.{kind.lower()}s_per_trial, or add a larger node"
            )
    raise ResourcesError(
        f"a trial wants {share.cpus} CPUs and {share.gpus:g} GPUs, and no node of the cluster has both; lower "
        "resources.cpus_per_trial or resources.gpus_per_trial"
    )


def skew(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """How versions elsewhere differ from the driver's, if they do: "has torch 2.14.0 (here 2.15.0)"."""
    parts = [
        f"{name} {there.get(name, 'not there')} (here {version})"
        for name, version in here.items()
        if there.get(name) != version
    ]
    return f"has {', '.join(parts)}" if parts else None


def told_skew(here: Mapping[str, str], node: Node, there: Mapping[str, str]) -> str | None:
    """As `skew`, of a node."""
    told = skew(here, there)
    return f"{node} {told}" if told else None


def check_looks(here: Mapping[str, str], looks: Mapping[Node, Look]) -> None:
    """Raise ClusterError that names every node whose versions differ, or else every one on which something is wrong.

    A node whose GPUs have broken is nobody's mistake: where another is well, it is only left out.
    """
    skews = [told for node, look in looks.items() if (told := told_skew(here, node, look.versions))]
    if skews:
        raise ClusterError(
            f"the cluster's nodes and this machine have different versions: {'; '.join(skews)}. Install the same everywhere, "
            "from requirements.lock"
        )
    is_one_well = any(look.trouble is None for look in looks.values())
    troubles = [
        f"{node}: {look.trouble}"
        for node, look in looks.items()
        if look.trouble and not (is_one_well and look.trouble.startswith(UNUSABLE))
    ]
    if troubles:
        raise ClusterError("; ".join(troubles))


def choose_kind(machine: Machine | None, share: Share, looks: Mapping[Node, Look]) -> Kind:
    """The kind of node on which a sweep runs: that which it began on, else that with the most room for trials.

    Raises MachineError that tells what kinds there are, when the sweep began on another.
    """
    room: Counter[Kind] = Counter()
    for node, look in looks.items():
        if look.kind:
            room[look.kind] += share.places(node.cpus, node.gpus)
    if machine is None:
        return min(room, key=lambda kind: (-room[kind], kind))
    for kind in room:
        if (kind.device, kind.processor) == (machine.device, machine.processor):
            return kind
    there = ", ".join(sorted({f"{look.kind.processor} on {node}" for node, look in looks.items() if look.kind}))
    raise MachineError(
        f"this sweep began on {machine.processor}, and no node of the cluster is of that kind; there is {there}. Results would "
        "differ in their last bits. Go on there, or give the experiment another name to begin anew here"
    )


def told_left_out(node: Node, there: Kind, kind: Kind) -> str:
    told = f"{node} is left out: it has {there.processor}, and the sweep runs on {kind.processor}"
    return f"{told}; results would differ in their last bits"


def device_on(machine: Machine | None, gpus_per_trial: float | str, nodes: Iterable[Node]) -> str:
    """Where trials run: as the sweep began, else on GPUs when they are asked for, or left to what the nodes have."""
    if machine:
        return machine.device
    if gpus_per_trial == "auto":
        return "cuda" if any(node.gpus for node in nodes) else "cpu"
    return "cuda" if gpus_per_trial else "cpu"


def least_share(machine: Machine | None, resources: Resources, nodes: Iterable[Node]) -> Share:
    """What a trial reserves of one node, at the least: `auto` has yet to be measured, but is a CPU and at most a whole GPU."""
    device = device_on(machine, resources.gpus_per_trial, nodes)
    auto_cpus = machine.threads if machine else 1
    auto_gpus = 1.0 if device == "cuda" else 0.0
    return Share(
        device,
        auto_cpus if resources.cpus_per_trial == "auto" else resources.cpus_per_trial,
        auto_gpus if resources.gpus_per_trial == "auto" else float(resources.gpus_per_trial),
        None,
    )


def candidates(least: Share, nodes: Iterable[Node]) -> list[Node]:
    """The nodes that hold a trial which reserves no more than `least`."""
    return [node for node in nodes if least.places(node.cpus, node.gpus)]
