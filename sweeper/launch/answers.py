"""What the driver answers to an epoch, on its way to a worker. Apart, so that its process need not import torch."""

import secrets

from sweeper.trial import Answer


class LostAnswersError(Exception):
    """The process that held the driver's answers died, and perhaps one of them with it."""


class Answers:
    """The driver's answers that are not "go on", by trial key and epoch. The driver writes before the trial may ask.

    Each start of this process has an `identity` of its own: one that Ray started anew knows of no earlier answer.
    """

    def __init__(self) -> None:
        self.stops: dict[tuple[str, int], str] = {}
        self.is_halting = False
        self.own = secrets.token_hex(4)

    def begin(self) -> str | None:
        """The identity, for a trial that begins; None where none is to begin any more."""
        return None if self.is_halting else self.own

    def set(self, key: str, epoch: int, answer: str) -> None:
        self.stops[key, epoch] = answer

    def halt(self) -> None:
        self.is_halting = True

    def get(self, key: str, epoch: int, identity: str) -> str | None:
        """The answer to an epoch, for a trial that began under some identity; None under another."""
        if identity != self.own:
            return None
        return self.stops.get((key, epoch)) or (Answer.HALT if self.is_halting else Answer.GO_ON).value
