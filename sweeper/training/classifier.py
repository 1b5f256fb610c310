"""A trial's `model.pt` as a network with its preprocessing inside."""

import re
from collections.abc import Collection

from sweeper import models
from sweeper.experiment import Named, to_plain
from sweeper.models.classifier import Classifier
from sweeper.store import Folder, StoreError
from sweeper.store.left import remedy
from sweeper.training import checkpoint, weights


def load_classifier(folder: Folder, model: Named, users_own: Collection[str] = ()) -> Classifier:
    """Rebuild the network that `artifacts.write_model` wrote of a trial with this model, in evaluation mode on the CPU.

    Of callables, whose code would run, only those of `users_own`, the ones that the sweep's file names, are called. Raises
    StoreError for another, and for a file that holds another model.
    """
    content = checkpoint.load(folder, "model.pt", remedy(folder))
    if content["model"] != to_plain(model):
        raise StoreError(f"{folder.told('model.pt')} holds another network than its trial's. {remedy(folder)}")
    if re.fullmatch(models.CALLABLE, model.name) and model.name not in users_own:
        raise StoreError(
            f"{folder.told('model.pt')} wants {model.name} called, which the sweep's file does not name. Put it back into the "
            "file and run that, or ask for a trial of the file as it is"
        )
    classes, size, crop = content["classes"], content["image_size"], content.get("crop_size")
    network = models.build(model.name, model.arguments, len(classes), crop or size, from_trained=False)
    weights.load(network, content["weights"])
    return Classifier(network, size, content["mean"], content["deviation"], classes, crop).eval()
