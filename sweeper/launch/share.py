"""What one trial reserves of a machine, and how many trials run side by side."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sweeper.data import prepare_at
from sweeper.data.split import split
from sweeper.experiment import Data, Experiment, Resources, Settings, Train, to_plain
from sweeper.launch.sweeping import Sweeping
from sweeper.system.apart import Call, directly
from sweeper.system.hardware import cores_here, gpus_here
from sweeper.training.machine import decide, kind_here
from sweeper.trial import canonical_json

MAX_MEASURED = 12
PRECISIONS = ("bfloat16", "auto", "float32")  # `auto` may be either of the others
T = TypeVar("T")


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

    @property
    def is_part_of_a_gpu(self) -> bool:
        return self.gpus != int(self.gpus)

    @property
    def whole(self) -> "Share":
        """The same with whole GPUs, for a trial that ran out of memory beside others."""
        return replace(self, gpus=float(math.ceil(self.gpus)))

    def fits(self, cpus: float, gpus: float) -> int:
        """How many trials fit side by side. Raises ResourcesError when not one does."""
        for kind, wanted, there in (("CPU", self.cpus, cpus), ("GPU", self.gpus, gpus)):
            if wanted > there:
                told = f"a trial wants {wanted:g} {kind}s and there are {there:g}"
                raise ResourcesError(f"{told}; lower resources.{kind.lower()}s_per_trial")
        places = self.places(cpus, gpus)
        return min(places, self.most or places)

    def places(self, cpus: float, gpus: float) -> int:
        """How many trials one machine of that size holds, however many are to run side by side."""
        places = int(cpus) // self.cpus
        return min(places, int(gpus / self.gpus + 1e-9)) if self.gpus else places

    def fits_here(self) -> int:
        """How many fit on this machine as Ray sees it; `inline` runs one at a time, but decides alike."""
        return self.fits(max(cores_here(), self.cpus), gpus_here() if self.gpus else 0)


@dataclass(frozen=True)
class Place:
    """Where trials run and what there is: this machine, or a node of a cluster. `call` calls a function there.

    It is given the function, its arguments, and how many CPUs and GPUs are to be free for it.
    """

    device: str
    cores: int
    gpus: int
    call: Callable[..., Any]


def here(sweeping: Sweeping, call: Call = directly) -> Place:
    """This machine, with the device that the sweep began on or begins on."""
    machine = sweeping.sweep.machine()
    device = machine.device if machine else call(device_here, sweeping.experiment.resources)

    def do(function: Call, arguments: Sequence[Any], cpus: int, gpus: int) -> Any:
        return call(function, *arguments)

    return Place(device, cores_here(), call(gpus_here) if device == "cuda" else 0, do)


def device_here(resources: Resources) -> str:
    """A GPU where there is one and it is wanted."""
    return "cuda" if resources.gpus_per_trial != 0 and gpus_here() else "cpu"


def share_of(sweeping: Sweeping, place: Place | None = None) -> Share:
    """What a trial of the sweep reserves: as its first machine decided, or decided now."""
    resources, machine = sweeping.experiment.resources, sweeping.sweep.machine()
    place = place or here(sweeping)
    device = place.device
    if resources.cpus_per_trial != "auto":
        cpus = resources.cpus_per_trial
    elif machine:
        cpus = machine.threads
    else:
        cpus = 1 if device == "cuda" else _fastest_threads(sweeping, place)
    share = Share(device, cpus, 0.0, resources.max_concurrent)
    if resources.gpus_per_trial != "auto":
        return replace(share, gpus=float(resources.gpus_per_trial))
    if device != "cuda":
        return share
    if machine:
        return replace(share, gpus=1 / machine.trials_a_gpu)
    return _packed(sweeping, share, place)


def most_a_gpu(cores: int, gpus: int, cpus: int, at_once: int) -> int:
    """How many trials may share a GPU: as many as it has cores for, and where `at_once` are all there are, spread evenly."""
    return max(1, min(cores // cpus // gpus, math.ceil(at_once / gpus)))


def _packed(sweeping: Sweeping, share: Share, place: Place) -> Share:
    alone = replace(share, gpus=1.0)
    total = sweeping.search(1).total
    most = most_a_gpu(place.cores, place.gpus, share.cpus, min(total, share.most or total))
    shapes = largest_shapes(sweeping.shapes()) if most > 1 else []
    if not shapes:
        return alone
    arguments = [sweeping.experiment, shapes, share.cpus, most]
    places, told = place.call(trials_a_gpu, arguments, cpus=share.cpus, gpus=1)
    return replace(alone, gpus=1 / places, told=told)


def trials_a_gpu(experiment: Experiment, shapes: Sequence[Settings], cpus: int, most: int) -> tuple[int, str]:
    """As many trials as this GPU's memory holds and its idle time is worth, by a few steps of each shape; and why."""
    from sweeper.training import packing

    machine, meter = decide(kind_here("cuda"), cpus, 1), packing.CudaMeter()
    demands = _of_each(experiment, shapes, partial(packing.demand_of, machine=machine, meter=meter))
    if not demands:
        return 1, ""
    free = packing.free_mebibytes()
    places = packing.trials_a_gpu(demands, free, min(most, packing.MOST))
    return places, packing.told(demands, free, places)


class Weight(NamedTuple):
    """What says, beside the model, how much of a GPU a trial takes: of two the larger takes more, as a rule."""

    pixels: int  # of a batch
    image_size: int  # of the prepared images, which are kept on the GPU
    precision: int  # index into PRECISIONS
    optimizer_buffers: int  # for each of the model's weights
    has_average: bool  # of these weights
    batch_size: int
    input_size: int

    @classmethod
    def of(cls, data: Data, train: Train) -> "Weight":
        buffers = (1 if train.momentum else 0) if train.optimizer == "sgd" else 2
        pixels, precision = train.batch_size * data.input_size**2, PRECISIONS.index(train.precision)
        return cls(
            pixels, data.image_size, precision, buffers, train.ema is not None, train.batch_size, data.input_size
        )


def largest_shapes(shapes: Iterable[Settings]) -> list[Settings]:
    """One trial of each model with each weight, the heaviest first, twelve."""
    distinct: dict[tuple[Weight, str], Settings] = {}
    for settings in shapes:
        model = canonical_json(to_plain(settings.model))
        distinct.setdefault((Weight.of(settings.data, settings.train), model), settings)
    return [distinct[key] for key in sorted(distinct, key=lambda key: key[0], reverse=True)[:MAX_MEASURED]]


def _fastest_threads(sweeping: Sweeping, place: Place) -> int:
    if place.cores == 1 or sweeping.experiment.resources.max_concurrent == 1:
        return place.cores
    models = sweeping.models()
    if not models:  # all have ended, and what was decided for them is gone
        return 1
    arguments = [sweeping.experiment, models, place.cores]
    return int(place.call(fastest_threads, arguments, cpus=place.cores, gpus=0))


def fastest_threads(experiment: Experiment, models: Sequence[Settings], cores: int) -> int:
    """All cores for one trial, or one core for each of several: whichever trains each of the models on an image sooner here."""
    from sweeper.training.threads import MARGIN, seconds_an_image

    machine = decide(kind_here("cpu"), 1, 1)
    seconds = _of_each(experiment, models, partial(seconds_an_image, machine=machine, cores=cores))
    if not seconds:
        return 1
    one_on_all, one_on_each = map(sum, zip(*seconds, strict=True))
    return cores if MARGIN * one_on_all < one_on_each else 1


def _of_each(experiment: Experiment, trials: Sequence[Settings], measure: Callable[..., T]) -> list[T]:
    """What is measured of each of these trials; nothing of one that breaks, which fails by itself when its turn comes."""
    found = []
    for settings in trials:
        dataset = prepare_at(experiment.data, settings.data)
        indices = split(dataset, settings.data.split)
        with suppress(Exception, SystemExit):  # whatever a user's model raises
            found.append(measure(settings, dataset, indices))
    return found
