"""What was changed between two runs of a sweep, what is said of it, and what is done: nothing is mixed, nothing is lost."""

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweeper import versions
from sweeper.launch.looking import versions_here
from sweeper.models.code import code_at
from sweeper.provenance import codes
from sweeper.store import Sweep
from sweeper.versions import own_code, told_versions
from tests.command import check_mlflow, ended, here, table

EXPERIMENT = """
name: changed
data: {name: folder, root: images, image_size: 8, augment: [], split: {train: 0.5, val: 0.25, test: 0.25}}
model: {name: "own_network:network"}
train: {epochs: 1, batch_size: 8}
search: {space: {lr: [0.1, 0.05]}, seeds: [0, 1]}
artifacts: {models: none}
"""
NETWORK = """
from torch import nn
from own_layers import head

def network(classes):
    from own_parts.ends import end
    # one layer
    return nn.Sequential(nn.Flatten(), head(classes), end())
"""
ENDS = """
from torch import nn

def end():
    return nn.Identity()
"""
LAYERS = """
from torch import nn

def head(classes):
    return nn.Linear(192, classes)
"""
TRIALS = 4
UNCHANGED, ANEW = "nothing to run: 4 trials have ended", "4 trials, 0 ended already"


def write(folder: Path) -> None:
    draw = np.random.default_rng(0)
    (folder / "changed.yaml").write_text(EXPERIMENT)
    (folder / "own_network.py").write_text(NETWORK)
    (folder / "own_layers.py").write_text(LAYERS)
    (folder / "own_parts").mkdir(exist_ok=True)
    (folder / "own_parts" / "__init__.py").touch()
    (folder / "own_parts" / "ends.py").write_text(ENDS)
    for name in ("cat", "dog"):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(16):
            pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png", compress_level=0)


@pytest.fixture(autouse=True)
def fresh_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Each run imports the network anew, as in a process of its own."""

    def forget() -> None:
        code_at.cache_clear()
        for name in ("own_network", "own_layers", "own_parts", "own_parts.ends"):
            sys.modules.pop(name, None)

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    yield forget
    forget()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment, its images, its network and its sweep, which has run."""
    folder = tmp_path_factory.mktemp("ran")
    write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        here("run", "changed.yaml", "--executor", "inline", cwd=folder)
    return folder


@pytest.fixture
def folder(ran: Path, tmp_path: Path) -> Path:
    """A copy of it, which has the same images at another place."""
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    return tmp_path


def run(folder: Path, expect: int = 0) -> str:
    return here(
        "run", "changed.yaml", "--executor", "inline", "--storage", folder / "sweeps", cwd=folder, expect=expect
    ).stderr


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def in_file(old: str, new: str) -> Callable[[Path], None]:
    return replaced("changed.yaml", old, new)


def reorder(folder: Path) -> None:
    first, *lines = EXPERIMENT.strip().splitlines()
    (folder / "changed.yaml").write_text("\n".join([*reversed(lines), first]).replace("[0.1, 0.05]", "[0.05, 0.1]"))


def add_image(folder: Path) -> None:
    shutil.copy(folder / "images/cat/1.png", folder / "images/dog/16.png")


def remove_image(folder: Path) -> None:
    (folder / "images/cat/1.png").unlink()


def rename_class(folder: Path) -> None:
    (folder / "images/cat").rename(folder / "images/bird")


def change_a_pixel(folder: Path) -> None:
    """The file keeps its size and the time of its last change."""
    path = folder / "images/cat/3.png"
    before, pixels = path.stat(), np.array(Image.open(path))
    pixels[4, 4, 0] ^= 1
    Image.fromarray(pixels).save(path, compress_level=0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def on_an_axis(folder: Path) -> None:
    """The network is a value of the axis `model`, and the file's own is another."""
    in_file('{name: "own_network:network"}', "logistic_regression")(folder)
    in_file("lr: [", "model: ['own_network:network'], lr: [")(folder)


def on_an_axis_and_other(folder: Path) -> None:
    on_an_axis(folder)
    replaced("own_layers.py", "192, classes)", "192, classes, bias=False)")(folder)


IMAGES, CODE = "the images of folder have changed", "the code of own_network:network has changed"
OBJECTIVE = 'objective.metric was "val/top1", is "val/loss"; objective.mode was "max", is "min"'
CHANGES = [  # what was changed, what is said, trials in the folder, trials in the tables after
    ("nothing", lambda folder: None, UNCHANGED, 4, 4),
    ("the order of the file", reorder, UNCHANGED, 4, 4),
    ("the description", in_file("name: changed", "name: changed\ndescription: another"), UNCHANGED, 4, 4),
    ("the objective", in_file("artifacts:", "objective: {metric: val/loss, mode: min}\nartifacts:"), OBJECTIVE, 8, 4),
    ("the pruner", in_file("artifacts:", "pruning: {name: median}\nartifacts:"), UNCHANGED, 4, 4),
    ("a value more", in_file("[0.1, 0.05]", "[0.1, 0.05, 0.01]"), "6 trials, 4 ended already", 6, 6),
    ("a value less", in_file("[0.1, 0.05]", "[0.1]"), "2 trials have ended", 4, 2),
    ("another value", in_file("[0.1, 0.05]", "[0.1, 0.01]"), "their cells or seeds are no longer asked for", 6, 4),
    ("a seed less", in_file("seeds: [0, 1]", "seeds: [1]"), "2 trials have ended", 4, 2),
    ("an axis less", in_file("lr: [0.1, 0.05]", "momentum: [0.9, 0.5]"), "no longer asked for", 8, 4),
    ("an axis more", in_file("lr: [", "momentum: [0.9, 0.5], lr: ["), "8 trials, 4 ended already", 8, 8),
    ("an axis with null", in_file("lr: [", "ema: [0.9, null], lr: ["), "8 trials, 4 ended already", 8, 8),
    ("a model more", in_file("lr: [", "model: ['own_network:network', one_hidden], lr: ["), "8 trials, 4 ended", 8, 8),
    ("the model's place", on_an_axis, UNCHANGED, 4, 4),
    ("the network of an axis", on_an_axis_and_other, CODE, 8, 4),
    ("a cell more", in_file("seeds:", "include: [{lr: 0.1, momentum: 0.5}], seeds:"), "6 trials, 4 ended", 6, 6),
    ("the epochs", in_file("epochs: 1", "epochs: 2"), "train.epochs was 1, is 2", 8, 4),
    ("a setting", in_file("batch_size: 8", "batch_size: 4"), "train.batch_size was 8, is 4", 8, 4),
    ("an image more", add_image, IMAGES, 8, 4),
    ("an image less", remove_image, IMAGES, 8, 4),
    ("a pixel", change_a_pixel, IMAGES, 8, 4),
    ("a class's name", rename_class, IMAGES, 8, 4),
    ("a comment", replaced("own_network.py", "# one layer", "# a single layer"), UNCHANGED, 4, 4),
    ("the network", replaced("own_network.py", "nn.Flatten()", "nn.Flatten(), nn.Dropout(0.1)"), CODE, 8, 4),
    ("what it imports", replaced("own_layers.py", "192, classes)", "192, classes, bias=False)"), CODE, 8, 4),
    ("what its function imports", replaced("own_parts/ends.py", "nn.Identity()", "nn.Tanh()"), CODE, 8, 4),
]  # fmt: skip
QUICK = ("the epochs", "the network of an axis", "a pixel", "what it imports", "what its function imports")


@pytest.mark.parametrize(("what", "change", "said", "kept", "shown"), CHANGES, ids=[change[0] for change in CHANGES])
def test_what_was_changed_is_said_and_never_mixed(
    what: str,
    change: Callable[[Path], None],
    said: str,
    kept: int,
    shown: int,
    folder: Path,
    fresh_modules: Callable[[], None],
    is_long: bool,
) -> None:
    """And what is put back is there again, as it was, without training anything."""
    if not is_long and what not in QUICK:
        pytest.skip("in the long form")
    before, storage = table(folder / "sweeps", "changed"), folder / "sweeps"
    run(folder)  # the images lie elsewhere than they did: the same all the same
    assert table(storage, "changed") == before
    fresh_modules()
    change(folder)
    assert said in run(folder)
    assert ended(storage, "changed") == kept
    assert table(storage, "changed").count("\n") == shown + 1
    check_mlflow(storage, kept)
    fresh_modules()
    shutil.rmtree(folder / "images")
    write(folder)
    again = run(folder)
    assert UNCHANGED in again
    assert ("kept, and left out" in again) == (kept > TRIALS)
    assert table(storage, "changed") == before


def test_other_versions_of_what_computes_are_said_and_kept(
    folder: Path, fresh_modules: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "began with" not in run(folder)
    with monkeypatch.context() as other:
        other.setattr(versions, "version", lambda package: "99.0" if package == "Pillow" else version(package))
        assert "began with" not in run(folder)  # nothing is left, and so nothing is mixed
        in_file("[0.1, 0.05]", "[0.1, 0.05, 0.01]")(folder)
        fresh_modules()
        told = run(folder)
    began, now = codes(Sweep(str(folder / "sweeps"), "changed"))
    assert f"this sweep began with {began}; now it goes on with {now}: their results may differ" in told
    assert now == began.replace(f"Pillow {version('Pillow')}", "Pillow 99.0")
    assert {word.split()[0] for word in began.split(", ")} >= {"sweeper", "torch", "torchvision", "numpy", "Pillow"}


def test_a_node_of_a_cluster_tells_the_same_of_the_same_code() -> None:
    assert f"sweeper {versions_here()()['sweeper']}" in told_versions()


@pytest.mark.parametrize("name", ["models/code.py", "sweeper/training/new.py"])
def test_this_project_s_own_code_is_known_by_what_is_in_its_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "sweeper" / "training").mkdir(parents=True)
    (tmp_path / "sweeper" / "models").symlink_to("../models")
    (tmp_path / "models" / "code.py").write_text("a = 1\n")
    before = own_code(tmp_path)
    (tmp_path / name).write_text("a = 2\n")
    own_code.cache_clear()
    assert own_code(tmp_path) != before


def test_the_code_is_the_same_whatever_has_been_imported_already(
    tmp_path: Path, fresh_modules: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = code_at("own_network:network")
    assert "own_parts" not in sys.modules
    importlib.import_module("own_parts.ends")
    code_at.cache_clear()
    assert code_at("own_network:network") == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--executor", "ray", "--address", "127.0.0.1:1"), "no Ray cluster answers"),
        (("--set", "model.name=own_network:missing"), "missing"),
        (("--set", "resources.cpus_per_trial=1000"), "1000"),
    ],
)
def test_a_run_that_is_refused_changes_nothing(
    words: tuple[str, ...], told: str, folder: Path, fresh_modules: Callable[[], None]
) -> None:
    storage, arguments = folder / "sweeps", ["run", "changed.yaml", "--storage", folder / "sweeps"]
    run(folder)
    before, file = table(storage, "changed"), (storage / "changed" / "experiment.yaml").read_bytes()
    refused = here(*arguments, "--set", "train.epochs=30", *words, cwd=folder, expect=2)
    assert told in refused.stderr
    assert table(storage, "changed") == before
    assert (storage / "changed" / "experiment.yaml").read_bytes() == file
    assert UNCHANGED in run(folder)


def test_an_interrupted_trial_does_not_go_on_under_another_objective(
    tmp_path: Path, fresh_modules: Callable[[], None]
) -> None:
    """Its best epoch was chosen by the one; those after it would be by the other."""
    write(tmp_path)
    in_file("epochs: 1", "epochs: 3")(tmp_path)
    run(tmp_path)
    for result in (tmp_path / "sweeps").glob("changed/trials/*/result.json"):
        result.unlink()
    in_file("artifacts:", "objective: {metric: val/loss, mode: min}\nartifacts:")(tmp_path)
    assert OBJECTIVE in run(tmp_path)
    by_loss = [json.loads(path.read_text()) for path in (tmp_path / "sweeps").glob("changed/trials/*/result.json")]
    for result in by_loss:
        losses = [row["val/loss"] for row in result["history"]]
        assert result["best_epoch"] == losses.index(min(losses)) + 1
    assert table(tmp_path / "sweeps", "changed").count(",complete,") == len(by_loss) == TRIALS


@pytest.mark.parametrize("other", ["[0.2, 0.3]", "[0.0001, 0.0002]"], ids=["better", "worse"])
def test_each_version_of_a_file_keeps_the_model_of_its_own_best_trial(
    other: str, tmp_path: Path, fresh_modules: Callable[[], None]
) -> None:
    write(tmp_path)
    in_file("models: none", "models: best")(tmp_path)
    in_file("seeds: [0, 1]", "seeds: [0]")(tmp_path)
    run(tmp_path)
    (first,) = tmp_path.glob("sweeps/changed/trials/*/artifacts/model.pt")
    in_file("[0.1, 0.05]", other)(tmp_path)
    assert "no longer asked for" in run(tmp_path)
    models = set(tmp_path.glob("sweeps/changed/trials/*/artifacts/model.pt"))
    assert first in models
    assert len(models) == 2
    here("explain", "changed", "--storage", tmp_path / "sweeps", "-o", tmp_path / "explained", cwd=tmp_path)
