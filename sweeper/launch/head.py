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

    def _knock(self) -> None:
        place = host_and_port(self.address)
        while True:
            try:
                socket.create_connection(place, PAUSE_SECONDS * 2).close()
                self.is_silent, self.answered_at = False, time.monotonic()
            except OSError:
                self.is_silent = True
            time.sleep(PAUSE_SECONDS)
