"""The splits of a sweep, drawn once before anything runs: what cannot be divided so would fail each of its trials."""

from sweeper.data import UnfitSettingsError, prepare_at
from sweeper.data.split import check_judged, split
from sweeper.experiment import CHOOSING_IMAGES
from sweeper.launch.sweeping import Sweeping


def check_splits(sweeping: Sweeping) -> None:
    """Divide each choice of images in each way that a trial may. Raises UnfitSettingsError, for a single class too."""
    experiment = sweeping.experiment
    for data in sweeping.data_sections(*CHOOSING_IMAGES, ("data", "split")):
        dataset = prepare_at(experiment.data, data)
        if len(dataset.classes) == 1:
            raise UnfitSettingsError(
                f"data: these images have one class, {dataset.classes[0].name}, and to tell classes apart takes two. Is "
                "data.root the folder above the one with the class folders, or does data.classes name one alone?"
            )
        check_judged(split(dataset, data.split), experiment.objective.metric)
