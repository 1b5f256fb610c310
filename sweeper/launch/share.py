"""What one trial reserves of a machine, and how many trials run side by side."""

import os
from dataclasses import dataclass

from sweeper.data import prepare_at
from sweeper.data.split import split
from sweeper.experiment import Resources
from sweeper.launch.sweeping import Sweeping


class ResourcesError(ValueError):
    """What one trial asks for is not there."""


@dataclass(frozen=True)
class Share:
    """CPUs, which are a trial's threads as well, and GPUs of one trial; `most` run side by side, if that is limited."""

    device: str
    cpus: int
    gpus: float
    most: int | None

    def fits(self, cpus: float, gpus: float) -> int:
        """How many trials fit side by side. Raises ResourcesError when not one does."""
        for kind, wanted, there in (("CPU", self.cpus, cpus), ("GPU", self.gpus, gpus)):
            if wanted > there:
                told = f"a trial wants {wanted:g} {kind}s and there are {there:g}"
                raise ResourcesError(f"{told}; lower resources.{kind.lower()}s_per_trial")
        places = int(cpus) // self.cpus
        if self.gpus:
            places = min(places, int(gpus / self.gpus + 1e-9))
        return min(places, self.most or places)

    def fits_here(self) -> int:
        """How many fit on this machine as Ray sees it; `inline` runs one at a time, but decides alike."""
        import torch

        return self.fits(max(cores_here(), self.cpus), torch.cuda.device_count())


def share_of(sweeping: Sweeping) -> Share:
    """What a trial of the sweep reserves: as its first machine decided, or decided now."""
    from sweeper.training.machine import device_here

    resources, machine = sweeping.experiment.resources, sweeping.sweep.machine()
    device = machine.device if machine else device_here(resources)
    if resources.cpus_per_trial != "auto":
        cpus = resources.cpus_per_trial
    elif machine:
        cpus = machine.threads
    else:
        cpus = 1 if device == "cuda" else _fastest_threads(sweeping)
    return Share(device, cpus, _gpus(resources, device), resources.max_concurrent)


def _gpus(resources: Resources, device: str) -> float:
    """`auto` is one GPU a trial where trials run on GPUs."""
    if resources.gpus_per_trial == "auto":
        return 1.0 if device == "cuda" else 0.0
    return float(resources.gpus_per_trial)


def _fastest_threads(sweeping: Sweeping) -> int:
    """All cores for one trial, or one core for each of several: whichever trains more images a second here."""
    from sweeper.training.calibrate import is_one_on_all_faster
    from sweeper.training.machine import decide

    cores, settings = cores_here(), next(sweeping.settings_left())
    if cores == 1 or sweeping.experiment.resources.max_concurrent == 1:
        return cores
    dataset = prepare_at(sweeping.experiment.data, settings.data)
    machine = decide("cpu", 1, 1)
    return cores if is_one_on_all_faster(settings, dataset, split(dataset, settings.data.split), machine, cores) else 1


def cores_here() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))
