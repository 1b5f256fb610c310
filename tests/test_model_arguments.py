"""Models in an experiment file: what is allowed is read, what is not is told with what would be, without loading torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweeper.reading import read_experiment
from sweeper.reading.mistakes import ExperimentError

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
        (
            "{name: logistic_regression, hidden: 3}",
            "model.hidden",
            ("unknown argument of logistic_regression", "allowed: none"),
        ),
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


WRONG_MODELS: dict[str, tuple[str, str, tuple[str, ...]]] = {  # a `search`, where it is wrong, and how
    "unknown model": ("space: {model: [vgg11, alexnt]}", "space.model[1]", ("did you mean `alexnet`?",)),
    "unknown name": ("space: {model: [{name: alexnt}]}", "space.model[0].name", ("did you mean `alexnet`?",)),
    "unknown argument": (
        "space:\n    model:\n    - alexnet\n    - name: resnet18\n      stm: small",
        "space.model[1].stm", ("f.yaml:9: ", "argument of resnet18", "did you mean `stem`?"),
    ),
    "wrong argument": ("space: {model: [{name: vgg11, dropout: 2}]}", "space.model[0].dropout", ("given 2", "0 to 1")),
    "no number": ("space: {model: [{name: 'a:b', width: .inf}]}", "space.model[0].width", ("finite",)),
    "unknown classifier": ("space: {model: [torchvision.resnet19]}", "space.model[0]", ("no classifier `resnet19`",)),
    "no module": ("space: {model: [':net']}", "space.model[0]", ("package.module:callable",)),
    "number": ("space: {model: [alexnet, 5]}", "space.model[1]", ("given 5", "a name, or a mapping")),
    "no name": ("space: {model: [{stem: small}]}", "space.model[0].name", ("is missing; `model` needs it",)),
    "name that is a number": ("space: {model: [{name: 5}]}", "space.model[0].name", ("given 5", "text")),
    "no list": ("space: {model: alexnet}", "space.model", ("allowed a list of values",)),
    "linked": (
        "linked: [{model: [alexnet, {name: vgg11, stem: small}], lr: [0.1, 0.2]}]",
        "linked[0].model[1].stem", ("argument of vgg11",),
    ),
    "added": ("include: [{model: {name: vgg11, stem: small}}]", "include[0].model.stem", ("argument of vgg11",)),
    "left out": ("space: {model: [alexnet]}, exclude: [{model: vgg11}]", "exclude[0].model", ("no value of this axis",)),
    "near": ("space: {modle: [alexnet]}", "space.modle", ("did you mean `model`?",)),
    "beside an argument": (
        "space: {model: [alexnet, resnet18], model.stem: [small]}",
        "space.model.stem", ("goes into the values of the axis `model`", "{name: ..., stem: ...}", "leave `model.stem` out"),
    ),
    "beside names": (
        "space: {model.name: [alexnet]}, linked: [{model: [vgg11, vgg13], lr: [0.1, 0.2]}]",
        "space.model.name", ("{name: ...}; leave `model.name` out",),
    ),
    "beside an added argument": (
        "space: {model: [alexnet]}, include: [{model.dropout: 0.1}]", "include[0].model.dropout", ("{name: ..., dropout: ...}",),
    ),
    "beside an argument of its own cell": (
        "include: [{model: alexnet, model.dropout: 0.1}]", "include[0].model.dropout", ("leave `model.dropout` out",),
    ),
    "more than a name": (
        "space: {model.name: [alexnet, {name: vgg11}]}", "space.model.name[1]", ("allowed a model's name; the axis `model`",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_wrong_value_of_the_axis_of_models_is_told_with_its_place(case: str) -> None:
    search, path, words = WRONG_MODELS[case]
    block = search if "\n" in search else f"{{{search}}}"
    mistake = told(f"name: demo\ndata: {{name: digits}}\nmodel: alexnet\nsearch:\n  {block}\n")
    assert f": search.{path}: " in mistake
    assert all(word in mistake for word in words), mistake


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("{name: resnet18, stem: small}", "{model.stem: [small, imagenet]}"),
        ("{name: vgg16_tiny, batch_norm: true, dropout: 0}", "{model.hidden: [1024, 4096]}"),
        ("{name: torchvision.mobilenet_v3_small, dropout: 0.1}", "{model.dropout: [0.1, 0.2]}"),
        ("{name: alexnet}", "{model.name: [alexnet, resnet18, torchvision.resnet18]}"),
        (
            "alexnet",
            "{model: [alexnet, {name: resnet18, stem: small}, torchvision.resnet18, {name: 'my.nets:net', width: [2]}]}",
        ),
        (
            "alexnet",
            "{model: [alexnet, vgg11]}, include: [{model: {name: vgg13}, lr: 1}], exclude: [{model: {name: vgg11}}]",
        ),
        ("alexnet", "{model.dropout: [0.1, 0.2]}, include: [{model: {name: resnet18, stem: small}}]"),
    ],
)
def test_what_is_allowed_is_read(model: str, space: str) -> None:
    read_experiment(file(model, space), "f.yaml")


def test_checking_a_model_of_torchvision_loads_neither_it_nor_torch() -> None:
    text = file("{name: torchvision.resnet18}")
    code = f"import sys; from sweeper.reading import read_experiment; read_experiment({text!r}, 'f.yaml')"
    code += "; assert not {'torch', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
