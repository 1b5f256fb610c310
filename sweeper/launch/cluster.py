"""The joined cluster as a sweep sees it: every node is looked at before a trial runs there, also those that come later."""

import math
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError

from sweeper.launch.credentials import credentials
from sweeper.launch.growing import wait_for_nodes
from sweeper.launch.head import Head
from sweeper.launch.joining import ClusterError, has_no_token_authentication
from sweeper.launch.looking import Request, versions_here
from sweeper.launch.nodes import (
    Look,
    Node,
    candidates,
    check_looks,
    choose_kind,
    least_share,
    places,
    told_left_out,
    told_skew,
)
from sweeper.launch.reaching import nodes_up, on
from sweeper.launch.share import Place, Share, share_of
from sweeper.launch.shipping import user_models
from sweeper.launch.sweeping import Sweeping
from sweeper.training.machine import Kind, honour_settings

LOOK_SECONDS = 300.0
IDLE_SECONDS = 60.0
OPEN = (
    "caution: the cluster has no token authentication, so that whoever reaches it can run code on its nodes; docs/clusters.md "
    "says how to turn it on"
)
LOST = "its node has died"
UNREACHED = "may or may not have been executed on the actor"  # half a minute before its node is known to be dead
PAUSE_SECONDS = 2.0
Say = Callable[[str], object]


class Cluster:
    """The nodes on which a sweep's trials may run (`fit`), and those that are left out (`unfit`), by their ids."""

    def __init__(self, sweeping: Sweeping, head: Head, say: Say) -> None:
        self.sweeping, self.head, self.say = sweeping, head, say
        self.here = versions_here()()
        self.fit: dict[str, Node] = {}
        self.unfit: dict[str, Node] = {}
        self.looking: dict[Any, tuple[Node, str]] = {}
        self.watched_at = self.trained_at = time.monotonic()
        self.share, self.kind = self._settle()

    @property
    def places(self) -> int:
        """How many trials the cluster now holds side by side, whatever limit the file sets."""
        return places(self.share, self.fit.values())

    def watch(self, is_training: Callable[[], bool]) -> None:
        """Look at nodes that have come since, without waiting for their answers; tell of those that are lost."""
        if time.monotonic() - self.watched_at < PAUSE_SECONDS or not self.head.answers():
            return
        self.watched_at = time.monotonic()
        up = {node.id: node for node in nodes_up()}
        self._forget_lost(up)
        known = {*self.fit, *self.unfit, *(node.id for node, _ in self.looking.values())}
        for node in up.values():
            if node.id not in known and self.share.places(node.cpus, node.gpus):
                self._ask(node)
        for node, found in self._answers(0.0).items():
            if self._take(node, found):
                self.say(f"{node} has joined; the cluster holds {self.places} trials side by side")

        self._note_idleness(is_training())

    def _note_idleness(self, is_training: bool) -> None:
        if is_training:
            self.trained_at = time.monotonic()
        elif time.monotonic() - self.trained_at > IDLE_SECONDS and self.fit:
            self.trained_at = math.inf
            self.say(
                "no trial has found room yet: others use the cluster, or its workers are starting. Waiting; Ctrl-C stops"
            )

    def leave_out(self, node: str, why: str) -> None:
        """No further trial starts on a node on which one found that it cannot be trained there."""
        if node not in self.unfit:
            self.unfit[node] = self.fit.pop(node) if node in self.fit else _node(node)
            self.say(f"{self.unfit[node]} is left out: {why}")

    def told_lost(self, node: str | None, death: str) -> str | None:
        """Why a worker's death is its node's doing and not its trial's, if it is: lost, out of reach, or not looked at yet."""
        up = {one.id for one in nodes_up()}
        if (node and node not in up) or LOST in death:
            return "its node was lost"
        if UNREACHED in death:
            return "its node cannot be reached"
        return "its node was not looked at yet" if self.looking and node not in self.fit else None

    def _settle(self) -> tuple[Share, Kind]:
        """Look at every node that may hold a trial, and decide what a trial reserves and on what kind it runs."""
        resources, machine = self.sweeping.experiment.resources, self.sweeping.sweep.machine()
        if has_no_token_authentication():
            self.say(OPEN)
        if machine:
            honour_settings(machine, resources)
        wanted = partial(least_share, machine, resources)
        nodes = wait_for_nodes(wanted, self.head.address, self.say)
        least = wanted(nodes)
        self.device = least.device
        looks = self._look_at(candidates(least, nodes))
        check_looks(self.here, looks)
        share = share_of(self.sweeping, self._place(list(looks)))
        if share.told:
            self.say(share.told)
        kind = choose_kind(machine, share, looks)
        for node, found in looks.items():
            self._take(node, found, kind)
        return share, kind

    def _take(self, node: Node, found: Look, kind: Kind | None = None) -> bool:
        """Let trials run on a node that was looked at; or leave it out, and say why."""
        kind = kind or self.kind
        why = told_skew(self.here, node, found.versions) or (f"{node}: {found.trouble}" if found.trouble else None)
        if why:
            why = f"{why}. No trial runs there"
        elif found.kind and found.kind != kind:
            why = told_left_out(node, found.kind, kind)
        (self.unfit if why else self.fit)[node.id] = node
        if why:
            self.say(why)
        return not why

    def _forget_lost(self, up: Iterable[str]) -> None:
        for lost in [one for one in self.fit if one not in up]:
            node = self.fit.pop(lost)
            self.say(f"{node} is lost; its trials go on elsewhere, from their checkpoints")
            if not self.fit:
                self.say("no node is left that can hold a trial; waiting for one. Ctrl-C stops")

    def _look_at(self, nodes: Sequence[Node]) -> dict[Node, Look]:
        for node in nodes:
            self._ask(node)
        deadline, looks = time.monotonic() + LOOK_SECONDS, dict[Node, Look]()
        while self.looking:
            looks |= self._answers(deadline - time.monotonic())
            if time.monotonic() > deadline:
                silent = ", ".join(str(node) for node, _ in self.looking.values())
                raise ClusterError(f"no answer in {LOOK_SECONDS:g} s from {silent}; take it out of the cluster")
        if not looks:
            raise ClusterError("every node of the cluster was lost as it was looked at; run again when they are up")
        return dict(sorted(looks.items()))

    def _ask(self, node: Node) -> None:
        """Let a node look at itself. It sees the sweep's folder, and no other of that name, when it finds a new file there."""
        token, known = f"seen-{secrets.token_hex(8)}.tmp", self.sweeping.fingerprints
        folder, models = self.sweeping.sweep.folder, user_models(self.sweeping.experiment)
        folder.write(token, b"seen")
        request = Request(folder.url, token, models, known.access, dict(known.known), self.device, credentials())
        task = on(node, 0, _look_when_alike())
        # In a list, the request stays unread where sweeper is another version.
        self.looking[task.remote(self.here, [ray.put(request)])] = (node, token)

    def _answers(self, seconds: float) -> dict[Node, Look]:
        """What nodes have found, waiting for one of them; those that were lost meanwhile are left out."""
        ready, _ = ray.wait(list(self.looking), timeout=max(0.0, seconds)) if self.looking else ([], [])
        found = {}
        for answer in ready:
            node, token = self.looking.pop(answer)
            self.sweeping.sweep.folder.remove(token)
            try:
                versions, rest = ray.get(answer)
                found[node] = Look(versions, *(rest or ()))
            except RayError as error:
                if any(one.id == node.id for one in nodes_up()):
                    told = str(error).strip().splitlines()[-1]
                    found[node] = Look(self.here, trouble=f"cannot run a task ({told})")
        return found

    def _place(self, nodes: Sequence[Node]) -> Place:
        """The smallest node, for what has to be measured."""
        node = min(nodes, key=lambda node: (node.gpus, node.cpus))

        def call(function: Callable[..., Any], arguments: Sequence[Any], cpus: int, gpus: int) -> Any:
            return ray.get(on(node, cpus, function, gpus).remote(*arguments))

        return Place(self.device, int(node.cpus), int(node.gpus), call)


def _node(node: str) -> Node:
    return next(one for one in nodes_up() if one.id == node)


def _look_when_alike() -> Callable[[dict[str, str], list[Any]], Any]:
    versions = versions_here()

    def look_when_alike(here: dict[str, str], request: list[Any]) -> Any:
        """The versions there, and what was found when they are the same as here. Ray sends this by value."""
        there = versions()
        if there != here:
            return there, None
        import ray

        from sweeper.launch.looking import look

        return there, look(ray.get(request[0]))

    return look_when_alike
