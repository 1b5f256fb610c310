"""One trial on all cores, or several on one each: a few seconds of real steps tell."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sweeper.data import Dataset
from sweeper.data.split import Indices
from sweeper.experiment import Settings
from sweeper.store import Machine
from sweeper.training.estimate import measure

MARGIN = 1.1
"""How much faster all cores must be. Threads of one process, by which several trials are tried, stand in each other's way
a little more than processes do."""


def seconds_an_image(
    settings: Settings, dataset: Dataset, indices: Indices, machine: Machine, cores: int
) -> tuple[float, float]:
    """How long an image takes to train on, by one trial on `cores` threads and by `cores` trials on one thread each."""

    def images_per_second(threads: int) -> float:
        return measure(settings, dataset, indices, replace(machine, threads=threads)).images_per_second

    one_on_all = images_per_second(cores)
    with ThreadPoolExecutor(cores) as pool:
        one_on_each = sum(pool.map(images_per_second, [1] * cores))
    return 1 / one_on_all, 1 / one_on_each
