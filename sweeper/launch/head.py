"""Whether the parts of Ray that a driver needs still answer: the cluster's head, and this machine's own node.

A driver that waits for Ray to tell is ended by it, without a word: a minute after the head, ten seconds after its own node.
"""

import math
import socket
import threading
import time

from sweeper.exit_codes import FAILED
from sweeper.launch.joining import host_and_port
from sweeper.system.stopping import AT_ONCE, leave_now

LOST_SECONDS = 20.0
HEARD_SECONDS = 5.0
PAUSE_SECONDS = 1.0


class Head:
    """Knocks every second, in a thread of its own, at the doors of the head and of the node through which it is joined.

    A head elsewhere may be out of reach for a while. Where no process listens on this machine, the one that did has ended:
    its node, and the head of a cluster of our own (`is_own`). Whoever watches for what is lost calls `leave`; while nobody does,
    because a call of Ray's waits in vain, the thread ends this process.
    """

    def __init__(self, address: str, node: str, is_own: bool) -> None:
        self.address, self.node, self.is_own = address, node, is_own
        self.answered_at = time.monotonic()
        self.is_silent = self.is_over = False
        threading.Thread(target=self._knock, name="knocking at the head", daemon=True).start()

    @property
    def told_lost(self) -> str | None:
        """What is lost, and what to do, if anything is."""
        if not self.is_silent:
            return None
        if self.is_own:
            return "Ray on this machine has ended: by `ray stop`, killed, or out of memory."
        if _has_ended(self.node):
            return (
                "the Ray node of this machine has ended: by `ray stop`, killed, or out of memory. Start it again, with "
                f"`ray start --address={self.address}` as before."
            )
        if time.monotonic() - self.answered_at < LOST_SECONDS:
            return None
        return (
            f"the cluster's head at {self.address} has not answered for {LOST_SECONDS:g} s: it is lost. On a new cluster "
            "the same command goes on from the trials' checkpoints."
        )

    def answers(self) -> bool:
        """Whether both answer at this moment: to be asked before Ray is, which would wait for a lost head for a minute."""
        self.is_silent = _has_ended(self.node) or (
            _has_ended(self.address) if self.is_own else _is_silent(self.address)
        )
        if not self.is_silent:
            self.answered_at = time.monotonic()
        return not self.is_silent

    def leave(self) -> None:
        """Knock no more."""
        self.is_over = True

    def _knock(self) -> None:
        lost_at = math.inf
        while not self.is_over:
            self.answers()
            told, now = self.told_lost, time.monotonic()
            lost_at = min(lost_at, now) if told else math.inf
            if now - lost_at > HEARD_SECONDS and not self.is_over:
                leave_now(FAILED, f"{told}\n".encode() + AT_ONCE)
            time.sleep(PAUSE_SECONDS)


def _is_silent(address: str) -> bool:
    return _failure(address) is not None


def _has_ended(address: str) -> bool:
    """Whether nothing listens at an address of this machine; one that is only busy takes the connection later."""
    return isinstance(_failure(address), ConnectionRefusedError)


def _failure(address: str) -> OSError | None:
    """Why no connection could be made, if none could."""
    try:
        socket.create_connection(host_and_port(address), PAUSE_SECONDS * 2).close()
    except OSError as error:
        return error
    return None
