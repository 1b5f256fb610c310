"""Whether a cluster's head still answers. A driver that waits for Ray to tell is ended by it, without a word, after a minute."""

import socket
import threading
import time

from sweeper.launch.joining import host_and_port

LOST_SECONDS = 20.0
PAUSE_SECONDS = 1.0


class Head:
    """Knocks at the head's door every second, in a thread of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answered_at = time.monotonic()
        self.is_silent = False
        threading.Thread(target=self._knock, name="knocking at the head", daemon=True).start()

    @property
    def is_lost(self) -> bool:
        return self.is_silent and time.monotonic() - self.answered_at > LOST_SECONDS

    @property
    def told_lost(self) -> str:
        return (
            f"the cluster's head at {self.address} has not answered for {LOST_SECONDS:g} s: it is lost. On a new cluster "
            "the same command goes on from the trials' checkpoints."
        )

    def answers(self) -> bool:
        """Whether it answers at this moment: to be asked before Ray is, which would wait for a lost head for a minute."""
        try:
            socket.create_connection(host_and_port(self.address), PAUSE_SECONDS * 2).close()
        except OSError:
            self.is_silent = True
            return False
        self.is_silent, self.answered_at = False, time.monotonic()
        return True

    def _knock(self) -> None:
        while True:
            self.answers()
            time.sleep(PAUSE_SECONDS)
