"""What the driver answers to an epoch, on its way to a worker. Apart, so that its process need not import torch."""

from sweeper.trial import Answer


class Answers:
    """The driver's answers that are not "go on", by trial key and epoch. The driver writes before the trial may ask."""

    def __init__(self) -> None:
        self.stops: dict[tuple[str, int], str] = {}
        self.is_halting = False

    def set(self, key: str, epoch: int, answer: str) -> None:
        self.stops[key, epoch] = answer

    def halt(self) -> None:
        self.is_halting = True

    def get(self, key: str, epoch: int) -> str:
        return self.stops.get((key, epoch)) or (Answer.HALT if self.is_halting else Answer.GO_ON).value
