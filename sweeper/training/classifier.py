"""A trial's `model.pt` as a network with its preprocessing inside."""

import models
from models.classifier import Classifier
from sweeper.left import remedy
from sweeper.store import Folder
from sweeper.training import checkpoint


def load_classifier(folder: Folder) -> Classifier:
    """Rebuild the network that `artifacts.write_model` wrote, in evaluation mode on the CPU."""
    content = checkpoint.load(folder, "model.pt", remedy(folder))
    arguments = {name: value for name, value in content["model"].items() if name != "name"}
    classes, size, crop = content["classes"], content["image_size"], content.get("crop_size")
    network = models.build(content["model"]["name"], arguments, len(classes), crop or size)
    network.load_state_dict(content["weights"])
    return Classifier(network, size, content["mean"], content["deviation"], classes, crop).eval()
