"""The joined cluster as a sweep sees it: every node is looked at before a trial runs there, also those that come later."""

import math
import time
from collections.abc import Callable, Iterable
from functools import partial

from sweeper.launch.growing import wait_for_nodes
from sweeper.launch.head import Head
from sweeper.launch.inspecting import Inspection
from sweeper.launch.joining import has_no_token_authentication
from sweeper.launch.looking import versions_here
from sweeper.launch.measuring import place_among
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
from sweeper.launch.reaching import node_up, nodes_up
from sweeper.launch.share import Share, share_of
from sweeper.launch.sweeping import Sweeping
from sweeper.training.machine import Kind, honour_settings

IDLE_SECONDS = 60.0
OPEN = (
    "caution: the cluster has no token authentication, so that whoever reaches it can run code on its nodes; docs/clusters.md "
    "says how to turn it on"
)
LOST = "its node has died"
TERMINATED = "The process receives a SIGTERM"  # a trial does not send itself one; a node that is taken away does
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
        self.inspection = Inspection(sweeping, self.here, say)
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
        known = {*self.fit, *self.unfit, *self.inspection.under_way}
        for node in up.values():
            if node.id not in known and self.share.places(node.cpus, node.gpus):
                self.inspection.begin(node, self.device)
        self._take_in()
        self._note_idleness(is_training())

    def _take_in(self) -> None:
        """The answers of nodes that have joined, without waiting for one."""
        for node, found in self.inspection.found(0.0).items():
            if self._told_unfit(node, found, self.kind):
                self._take(node, found)
            else:
                self.inspection.prepare(node, found)
        for node, found in self.inspection.prepared(0.0).items():
            if self._take(node, found):
                self.say(f"{node} has joined; the cluster holds {self.places} trials side by side")

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
        if node in self.unfit:
            return
        left_out = self.fit.pop(node, None) or node_up(node)
        if left_out is None:  # lost meanwhile
            return
        self.unfit[node] = left_out
        self.say(f"{left_out} is left out: {why}")
        self._tell_if_none_is_left()

    def told_lost(self, node: str | None, death: str) -> str | None:
        """Why a worker's death is its node's doing and not its trial's, if it is: lost, out of reach, or not looked at yet."""
        if (node and not node_up(node)) or LOST in death:
            return "its node was lost"
        if TERMINATED in death:
            return "its node was being taken away"
        if UNREACHED in death:
            return "its node cannot be reached"
        return "its node was not looked at yet" if self.inspection.under_way and node not in self.fit else None

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
        looks = self.inspection.look_at(candidates(least, nodes), self.device)
        check_looks(self.here, looks)
        kind = choose_kind(machine, least, looks)
        alike = self.inspection.prepare_all({node: found for node, found in looks.items() if found.kind == kind})
        check_looks(self.here, alike)
        share = share_of(self.sweeping, place_among(list(alike), self.device, self.say))
        if share.told:
            self.say(share.told)
        for node, found in ({node: found for node, found in looks.items() if found.kind != kind} | alike).items():
            self._take(node, found, kind)
        return share, kind

    def _told_unfit(self, node: Node, found: Look, kind: Kind) -> str | None:
        """Why no trial runs on a node that was looked at, if none does."""
        why = told_skew(self.here, node, found.versions) or (f"{node}: {found.trouble}" if found.trouble else None)
        if why:
            return f"{why}. No trial runs there"
        return told_left_out(node, found.kind, kind) if found.kind and found.kind != kind else None

    def _take(self, node: Node, found: Look, kind: Kind | None = None) -> bool:
        """Let trials run on a node that was looked at; or leave it out, and say why, unless a trial has done so meanwhile."""
        if node.id in self.unfit:
            return False
        why = self._told_unfit(node, found, kind or self.kind)
        (self.unfit if why else self.fit)[node.id] = node
        if why:
            self.say(why)
        return not why

    def _forget_lost(self, up: Iterable[str]) -> None:
        lost = [self.fit.pop(one) for one in list(self.fit) if one not in up]
        for node in lost:
            self.say(f"{node} is lost; its trials go on elsewhere, from their checkpoints")
        if lost:
            self._tell_if_none_is_left()

    def _tell_if_none_is_left(self) -> None:
        if not self.fit:
            self.say("no node is left that can hold a trial; waiting for one. Ctrl-C stops")
