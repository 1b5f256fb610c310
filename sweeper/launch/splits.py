"""The splits of a sweep, drawn once before anything runs: what cannot be divided so would fail each of its trials."""

from sweeper.data import prepare_at
from sweeper.data.split import check_judged, split
from sweeper.experiment import CHOOSING_IMAGES
from sweeper.launch.sweeping import Sweeping


def check_splits(sweeping: Sweeping) -> None:
    """Divide each choice of images in each way that a trial may. Raises UnfitSettingsError."""
    experiment = sweeping.experiment
    for data in sweeping.data_sections(*CHOOSING_IMAGES, ("data", "split")):
        check_judged(split(prepare_at(experiment.data, data), data.split), experiment.objective.metric)
