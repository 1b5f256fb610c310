"""What one trial reserves of a machine, and how many trials run side by side."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sweeper.data import prepare_at
from sweeper.data.split import split
from sweeper.experiment import Settings, to_plain
from sweeper.launch.sweeping import Sweeping
from sweeper.trial import canonical_json

MAX_MEASURED = 12


class ResourcesError(ValueError):
    """What one trial asks for is not there."""


@dataclass(frozen=True)
class Share:
    """CPUs, which are a trial's threads as well, and GPUs of one trial; `most` run side by side, if that is limited."""

    device: str
    cpus: int
    gpus: float
    most: int | None
    told: str = ""  # how it was decided, where something was measured

    @property
    def trials_a_gpu(self) -> int:
        return round(1 / self.gpus) if 0 < self.gpus < 1 else 1

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
    share = Share(device, cpus, 0.0, resources.max_concurrent)
    if resources.gpus_per_trial != "auto":
        return replace(share, gpus=float(resources.gpus_per_trial))
    if device != "cuda":
        return share
    if machine:
        return replace(share, gpus=1 / machine.trials_a_gpu)
    return _packed(sweeping, share)


def most_a_gpu(cores: int, gpus: int, cpus: int, at_once: int) -> int:
    """How many trials may share a GPU: as many as it has cores for, and where `at_once` are all there are, spread evenly."""
    return max(1, min(cores // cpus // gpus, math.ceil(at_once / gpus)))


def _packed(sweeping: Sweeping, share: Share) -> Share:
    """As many trials on a GPU as its memory holds and its idle time is worth, by a few steps of each distinct shape."""
    import torch

    from sweeper.training import packing
    from sweeper.training.machine import decide

    alone = replace(share, gpus=1.0)
    total = sweeping.search(1).total
    most = most_a_gpu(cores_here(), torch.cuda.device_count(), share.cpus, min(total, share.most or total))
    if most == 1:
        return alone
    machine, demands = decide("cuda", share.cpus, 1), []
    for settings in largest_shapes(sweeping.shapes()):
        dataset = prepare_at(sweeping.experiment.data, settings.data)
        indices = split(dataset, settings.data.split)
        demands.append(packing.demand_of(settings, dataset, indices, machine, packing.CudaMeter()))
    free = packing.free_mebibytes()
    places = packing.trials_a_gpu(demands, free, min(most, packing.MOST))
    return replace(alone, gpus=1 / places, told=packing.told(demands, free, places))


def largest_shapes(shapes: Iterable[Settings]) -> list[Settings]:
    """One trial of each model at each batch size and image size, those with the most pixels in a batch first, twelve."""
    distinct: dict[tuple[str, int, int], Settings] = {}
    for settings in shapes:
        model = canonical_json(to_plain(settings.model))
        distinct.setdefault((model, settings.train.batch_size, settings.data.input_size), settings)
    pixels = {key: key[1] * key[2] ** 2 for key in distinct}
    return [distinct[key] for key in sorted(distinct, key=lambda key: -pixels[key])[:MAX_MEASURED]]


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
