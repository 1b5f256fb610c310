"""Models in an experiment file: what is allowed is read, what is not is told with what would be, without loading torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.reading import read_experiment
from sweeper.source import ExperimentError

ROOT = Path(__file__).parents[1]


def file(model: str, space: str = "{}") -> str:
    return f"name: demo\ndata: {{name: digits}}\nmodel: {model}\nsearch: {{space: {space}}}\n"


def told(text: str) -> str:
    """The only mistake of a file."""
    with pytest.raises(ExperimentError) as caught:
        read_experiment(text, "f.yaml")
    (mistake,) = caught.value.mistakes
    return str(mistake)


@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        ("{name: resnet18, stem: smal}", "model.stem", ("did you mean `small`?", "allowed: imagenet, small")),
        ("{name: resnet18, stem: 3}", "model.stem", ("allowed: imagenet, small",)),
        ("{name: resnet18, stem: [small]}", "model.stem", ("allowed: imagenet, small",)),
        ("{name: resnet20}", "model.name", ("did you mean `resnet", "torchvision.<name>")),
        ("{name: torchvision.resnet19}", "model.name", ("no classifier `resnet19`", "`torchvision.resnet18`")),
        ("{name: torchvision.}", "model.name", ("no classifier",)),
        ("{name: vgg16, dropout: 1.5}", "model.dropout", ("given 1.5", "allowed 0 to 1")),
        ("{name: vgg16, dropout: .nan}", "model.dropout", ("finite",)),
        ("{name: vgg16, batch_norm: 1}", "model.batch_norm", ("given 1", "true or false")),
        ("{name: one_hidden, hidden: 0}", "model.hidden", ("given 0", "allowed 2 or more")),
        ("{name: one_hidden, hidden: 1.5}", "model.hidden", ("given 1.5", "a whole number")),
        ("{name: wide_resnet_bottleneck, basic_stages: 5}", "model.basic_stages", ("given 5", "allowed 0 to 4")),
        ("{name: logistic_regression, hidden: 3}", "model.hidden", ("unknown argument of logistic_regression",)),
    ],
)
def test_a_wrong_model_or_argument_is_told(model: str, path: str, words: tuple[str, ...]) -> None:
    mistake = told(file(model))
    assert mistake.startswith(f"f.yaml:3: {path}: ")
    assert all(word in mistake for word in words), mistake


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("{model.stem: [small, large]}", "unknown stem `large`"),
        ("{model.dropout: [0.1]}", "model.dropout"),
        ("{model.name: [resnet18, torchvision.resnet19]}", "no classifier `resnet19`"),
    ],
)
def test_a_wrong_axis_of_a_model_is_told(space: str, words: str) -> None:
    assert words in told(file("{name: resnet18}", space))


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("{name: resnet18, stem: small}", "{model.stem: [small, imagenet]}"),
        ("{name: vgg16_tiny, batch_norm: true, dropout: 0}", "{model.hidden: [1024, 4096]}"),
        ("{name: torchvision.mobilenet_v3_small, dropout: 0.1}", "{model.dropout: [0.1, 0.2]}"),
        ("{name: alexnet}", "{model.name: [alexnet, resnet18, torchvision.resnet18]}"),
    ],
)
def test_what_is_allowed_is_read(model: str, space: str) -> None:
    read_experiment(file(model, space), "f.yaml")


def test_checking_a_model_of_torchvision_loads_neither_it_nor_torch() -> None:
    text = file("{name: torchvision.resnet18}")
    code = f"import sys; from sweeper.reading import read_experiment; read_experiment({text!r}, 'f.yaml')"
    code += "; assert not {'torch', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
