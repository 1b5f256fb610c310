"""Nodes of a joined cluster that look at themselves and prepare the sweep's images, while the driver waits or goes on."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from sweeper.launch.credentials import credentials
from sweeper.launch.joining import ClusterError
from sweeper.launch.looking import Request, prepare, versions_here
from sweeper.launch.nodes import Look, Node
from sweeper.launch.reaching import node_up, on
from sweeper.launch.shipping import user_models
from sweeper.launch.sweeping import Sweeping

LOOK_SECONDS = 300.0
TELL_SECONDS = 10.0


class Inspection:
    """What nodes have been asked and have not answered yet. `here` has the driver's versions."""

    def __init__(self, sweeping: Sweeping, here: Mapping[str, str], say: Callable[[str], object]) -> None:
        self.sweeping, self.here, self.say = sweeping, here, say
        self.looking: dict[Any, tuple[Node, str]] = {}
        self.preparing: dict[Any, tuple[Node, Look]] = {}

    @property
    def under_way(self) -> set[str]:
        """The ids of nodes that have yet to answer."""
        return {node.id for node, _ in (*self.looking.values(), *self.preparing.values())}

    def begin(self, node: Node, device: str) -> None:
        """Let a node look at itself. It sees the sweep's folder, and no other of that name, when it finds a new file there."""
        token = f"seen-{secrets.token_hex(8)}.tmp"
        self.sweeping.sweep.folder.write(token, b"seen")
        # In a list, the request stays unread where sweeper is another version.
        request = [ray.put(self._request(device))]
        self.looking[on(node, 0, _look_when_alike()).remote(self.here, request, token)] = (node, token)

    def _request(self, device: str) -> Request:
        known = self.sweeping.fingerprints
        folder, models = self.sweeping.sweep.folder.url, user_models(self.sweeping.experiment)
        return Request(folder, models, known.access, dict(known.known), device, credentials())

    def found(self, seconds: float) -> dict[Node, Look]:
        """What nodes have found, waiting for one of them; those that were lost meanwhile are left out."""
        looks = {}
        for answer in _ready(self.looking, seconds):
            node, token = self.looking.pop(answer)
            self.sweeping.sweep.folder.remove(token)
            if outcome := _outcome(answer, node):
                looks[node] = self._look(outcome)
        return looks

    def _look(self, outcome: "_Outcome") -> Look:
        """A node's look by how its task ended; one that broke is taken to have the versions of here."""
        if outcome.trouble:
            return Look(self.here, trouble=outcome.trouble)
        versions, found = outcome.returned
        return Look(versions, *(found or ()))

    def prepare(self, node: Node, look: Look) -> None:
        """Let a node prepare the images, which may take as long as it likes."""
        self.preparing[on(node, 0, prepare).remote(self._request(""))] = (node, look)

    def prepared(self, seconds: float) -> dict[Node, Look]:
        """The looks of nodes that now have the images, or have trouble with them; waiting as `found`."""
        looks = {}
        for answer in _ready(self.preparing, seconds):
            node, look = self.preparing.pop(answer)
            if outcome := _outcome(answer, node):
                looks[node] = look._replace(trouble=outcome.returned or outcome.trouble)
        return looks

    def look_at(self, nodes: Sequence[Node], device: str) -> dict[Node, Look]:
        """Every node's look at itself. Raises ClusterError when one does not answer in time."""
        for node in nodes:
            self.begin(node, device)
        deadline, looks = time.monotonic() + LOOK_SECONDS, dict[Node, Look]()
        while self.looking:
            looks |= self.found(deadline - time.monotonic())
            if self.looking and time.monotonic() > deadline:
                silent = ", ".join(str(node) for node, _ in self.looking.values())
                raise ClusterError(f"no answer in {LOOK_SECONDS:g} s from {silent}; take it out of the cluster")
        return _sorted(looks)

    def prepare_all(self, looks: Mapping[Node, Look]) -> dict[Node, Look]:
        """The looks of nodes once all of them have the images. What takes long is told."""
        for node, look in looks.items():
            self.prepare(node, look)
        found = self.prepared(TELL_SECONDS)
        if self.preparing:
            nodes = f"{len(looks)} node{'s' * (len(looks) > 1)}"
            self.say(f"preparing images on {nodes}; trials begin when all have them. Ctrl-C stops")
        while self.preparing:
            found |= self.prepared(TELL_SECONDS)
        return _sorted(found)


def _ready(answers: Mapping[Any, Any], seconds: float) -> Sequence[Any]:
    ready: Sequence[Any] = ray.wait(list(answers), timeout=max(0.0, seconds))[0] if answers else ()
    return ready


def _sorted(looks: Mapping[Node, Look]) -> dict[Node, Look]:
    if not looks:
        raise ClusterError("every node of the cluster was lost as it was looked at; run again when they are up")
    return dict(sorted(looks.items()))


class _Outcome(NamedTuple):
    """What a task has returned, or how it broke."""

    returned: Any
    trouble: str | None = None


def _outcome(answer: Any, node: Node) -> _Outcome | None:
    """How a task has ended; None where its node was lost."""
    try:
        return _Outcome(ray.get(answer))
    except RayError as error:
        if not node_up(node.id):
            return None
        told = str(error).strip().splitlines() or [type(error).__name__]
        return _Outcome(None, f"cannot run a task ({told[-1]})")


def _look_when_alike() -> Callable[[Mapping[str, str], list[Any], str], Any]:
    versions = versions_here()

    def look_when_alike(here: Mapping[str, str], request: list[Any], token: str) -> Any:
        """The versions there, and what was found when they are the same as here. Ray sends this by value."""
        there = versions()
        if there != here:
            return there, None
        import ray

        from sweeper.launch.looking import look

        return there, look(ray.get(request[0]), token)

    return look_when_alike
