"""What every worker of a sweep is given, in one object of Ray's: each is fetched and unpickled anew for each trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeper.experiment import Experiment


@dataclass(frozen=True)
class Work:
    """A sweep's storage and name, its experiment, the actor that has the driver's answers, and what opens the storage.

    `versions`: those that a node must have, None where there is only the driver's own machine.
    """

    sweep: tuple[str, str]
    experiment: Experiment
    answers: Any
    access: Mapping[str, str] = field(repr=False)
    versions: Mapping[str, str] | None
