"""A trial's key: what determines the result changes it, nothing else does, and anyone can work it out again."""

import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.experiment import Data, Experiment, Split, Train, named_of
from sweeper.reading import read_experiment
from sweeper.store import Sweep
from sweeper.trial import (
    Trial,
    TrialState,
    canonical_json,
    config_for,
    settings_for,
    settings_of,
    short_name,
    trial_key,
)

BASE = "name: demo\ndata: {name: digits}\nmodel: {name: alexnet}\n"
PRINT = "0123456789abcdef"

OTHERS: dict[str, Any] = {
    "epochs": 36, "batch_size": 13, "loss": "smooth_cross_entropy", "lr": 0.0010000000000000002, "momentum": 0.8,
    "weight_decay": 1e-300, "nesterov": True, "schedule": "constant", "step_size": 8, "gamma": 0.2, "precision": "float32",
    "optimizer": "adamw", "class_weights": "balanced", "beta2": 0.99, "min_lr": 1e-6, "patience": 3, "stop_after": 4,
    "cycle_epochs": 4, "warmup_epochs": 2, "clip_norm": 1.0, "ema": 0.99,
}  # fmt: skip
NEEDED = {"stop_after": "schedule: plateau, "}  # settings that mean something only beside another


def key_of(text: str = BASE, cell: dict[str, Any] | None = None, seed: int = 0, fingerprint: str = PRINT) -> str:
    experiment = read_experiment(text, "f.yaml")
    settings = settings_for(experiment, cell or {}, seed)
    return trial_key(config_for(settings, fingerprint, objective=experiment.objective))


def test_a_key_is_twelve_hex_digits() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", key_of())


def test_a_key_stays_what_it_was_when_this_test_was_written() -> None:
    config = {
        "data": {"name": "digits", "fingerprint": "f"},
        "model": {"name": "alexnet"},
        "train": {"lr": 0.1},
        "seed": 1,
    }
    assert trial_key(config) == "f8e697b0cee0"


def test_every_train_setting_is_tried_here() -> None:
    assert set(OTHERS) == set(Train.__dataclass_fields__)


@pytest.mark.parametrize("name", OTHERS)
def test_every_train_setting_changes_the_key_in_the_file_and_on_an_axis(name: str) -> None:
    needed = NEEDED.get(name, "")
    base = BASE + f"train: {{{needed}lr: 0.001}}\n"
    in_the_file = key_of(BASE + f"train: {{{needed}{name}: {json.dumps(OTHERS[name])}}}\n")
    assert in_the_file != key_of(base)
    assert in_the_file == key_of(base, {name: OTHERS[name]}) == key_of(base, {f"train.{name}": OTHERS[name]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.dropout", 0.25), ("model.compact", True), ("data.image_size", 32), ("data.classes", 3), ("data.augment", []),
        ("data.crop_size", 56), ("data.normalisation", "dataset"), ("data.evaluation", "ten_crop"), ("data.augment", ["mixup"]),
        ("data.classes", ["a"]), ("data.split", "official"), ("data.split.seed", 1), ("data.split.test", "official"),
        ("data.name", "tiny-image10"), ("model.name", "my.nets:tiny"),
    ],
)  # fmt: skip
def test_settings_of_data_and_model_change_the_key(name: str, value: Any) -> None:
    assert key_of(cell={name: value}) != key_of()


@pytest.mark.parametrize(
    ("in_the_file", "on_the_axis"),
    [
        ("vgg11", ("vgg11", {"name": "vgg11"})),
        (
            "{name: resnet18, stem: small}",
            ({"name": "resnet18", "stem": "small"}, {"stem": "small", "name": "resnet18"}),
        ),
    ],
)
def test_a_model_on_an_axis_has_the_key_of_the_same_in_the_file(in_the_file: str, on_the_axis: tuple[Any, ...]) -> None:
    """Nothing is left of the arguments in the file."""
    wanted = key_of(BASE.replace("{name: alexnet}", in_the_file))
    base = BASE.replace("alexnet", "alexnet, dropout: 0.1")
    assert {key_of(base, {"model": model}) for model in on_the_axis} == {wanted}
    assert key_of(BASE, {"model": "vgg11"}) == key_of(BASE, {"model.name": "vgg11"})


def test_seed_and_content_of_the_data_change_the_key() -> None:
    assert len({key_of(), key_of(seed=1), key_of(fingerprint="another")}) == 3


@pytest.mark.parametrize(
    "added",
    [
        "description: other words\n", "resources: {cpus_per_trial: 2, max_retries: 0}\n", "tracking: {uri: 'http://a'}\n",
        "pruning: {name: median}\n", "checkpoint: {every_seconds: 1}\n", "artifacts: {models: none}\n",
        "objective: {metric: val/top1, mode: max}\n", "search: {space: {lr: [0.5]}}\n",
    ],
)  # fmt: skip
def test_what_does_not_determine_the_result_is_not_in_the_key(added: str) -> None:
    assert key_of(BASE + added) == key_of()


def test_the_objective_by_which_the_best_epoch_is_chosen_changes_the_key() -> None:
    by_loss, by_top5 = BASE + "objective: {metric: val/loss, mode: min}\n", BASE + "objective: {metric: val/top5}\n"
    assert len({key_of(), key_of(by_loss), key_of(by_top5)}) == 3


def test_name_and_place_of_the_data_are_not_in_the_key() -> None:
    assert key_of(BASE.replace("demo", "other")) == key_of()
    assert key_of(BASE.replace("digits", "digits, root: /some/where")) == key_of()


def test_defaults_written_out_give_the_same_key() -> None:
    experiment = Experiment("demo", Data("digits"), named_of({"name": "alexnet"}))
    written = "train: {lr: 0.001, momentum: 0.9, epochs: 35}\n"
    assert key_of(BASE + written) == trial_key(config_for(settings_for(experiment, {}, 0), PRINT))


@pytest.mark.parametrize("value", [1, 1.0])
def test_one_is_one_however_it_is_written(value: float) -> None:
    assert key_of(cell={"lr": value}) == key_of(BASE + "train: {lr: 1}\n") == key_of(BASE + "train: {lr: 1.0}\n")


JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def reordered(value: Any) -> Any:
    """The same value with every mapping back to front, every whole float an int and every tuple a list, or the reverse."""
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    if isinstance(value, list | tuple):
        return tuple(reordered(item) for item in value)
    if type(value) is int and abs(value) < 2**53:
        return float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@given(st.dictionaries(st.text(max_size=5), JSONABLE, max_size=5))
def test_order_and_spelling_do_not_change_the_key(config: dict[str, Any]) -> None:
    assert trial_key(config) == trial_key(reordered(config))


@given(JSONABLE)
def test_the_canonical_form_reads_back_as_an_equal_value_so_that_no_two_share_it(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@pytest.mark.parametrize("whole", [1.0, -0.0, 1e15, 1e16, 2.0**80, 1e22])
def test_a_whole_number_is_written_without_a_fraction_wherever_it_stands(whole: float) -> None:
    value = {"a": whole, "b": [whole, {"c": whole}], "text.0,": "1.0]e+"}
    number = int(whole)
    assert canonical_json(whole) == str(number)
    assert canonical_json(value) == f'{{"a":{number},"b":[{number},{{"c":{number}}}],"text.0,":"1.0]e+"}}'


def test_numbers_that_json_cannot_write_have_no_key() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"lr": math.nan})


def test_a_key_can_be_worked_out_from_trial_json_with_the_standard_library_alone(tmp_path: Path) -> None:
    text = BASE + "train: {lr: 1.0, weight_decay: 1e-5, gamma: 0.30000000000000004}\n"
    settings = settings_for(
        read_experiment(text, "f.yaml"), {"model.dropout": 0.5, "data.classes": ["\u00e9t\u00e9", "b"]}, 3
    )
    trial = Trial.of(7, {"model.dropout": 0.5}, config_for(settings, PRINT))
    folder = Sweep(str(tmp_path), "demo").trial(trial.key)
    folder.write_trial(trial)
    config = json.loads(Path(folder.at("trial.json")).read_text(encoding="utf-8"))["config"]
    plain = json.dumps(config, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(plain.encode()).hexdigest()[:12] == trial.key == trial_key(config)


def test_another_process_works_out_the_same_key() -> None:
    code = "from test_trial import key_of; print(key_of(cell={'lr': 0.1, 'momentum': 0.5}, seed=4))"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert there.stdout.strip() == key_of(cell={"lr": 0.1, "momentum": 0.5}, seed=4)


@given(
    st.builds(
        Train, lr=st.floats(1e-300, 1e300), epochs=st.integers(1, 2**31 - 1), weight_decay=st.floats(0, 1e300),
        momentum=st.floats(0, 1, exclude_max=True), gamma=st.floats(0, 1, exclude_min=True),
    ),
    st.builds(Split, seed=st.integers(0, 99)), st.none() | st.integers(1, 9) | st.lists(st.text(), min_size=1).map(tuple),
    st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_settings_come_back_from_a_trial_s_config(train: Train, split: Split, classes: Any, seed: int) -> None:
    data = Data("digits", root="/here", split=split, classes=classes)
    experiment = Experiment("demo", data, named_of({"name": "alexnet", "dropout": 0.5}), train=train)
    settings = settings_for(experiment, {}, seed)
    assert settings.train == train
    back = settings_of(json.loads(json.dumps(config_for(settings, PRINT))))
    assert back == dataclasses.replace(settings, data=dataclasses.replace(data, root=None))


CELLS = st.dictionaries(st.text(min_size=1, max_size=30), JSONABLE, max_size=8)


@given(CELLS, st.integers(0, 2**31 - 1))
def test_short_names_are_one_line_of_at_most_a_hundred_characters(cell: dict[str, Any], seed: int) -> None:
    name = short_name(cell, seed)
    assert 0 < len(name) <= 100
    assert len(name.splitlines()) == 1


def test_short_names_are_readable() -> None:
    cell = {
        "lr": 0.001,
        "train.momentum": 0.9,
        "loss": "cross_entropy",
        "data.augment": ["random_crop"],
        "nesterov": True,
    }
    assert short_name(cell, 0) == (
        'lr=0.001 momentum=0.9 loss=cross_entropy data.augment=["random_crop"] nesterov=true seed=0'
    )
    assert short_name({"lr": 1 / 3}, 12) == "lr=0.333333 seed=12"
    words = {"model": {"name": "net", "stem": "small", "depth": 2.0}, "loss": {"name": "focal"}}
    assert short_name(words, 0) == "model=net(depth=2,stem=small) loss=focal seed=0"


def test_states_say_whether_they_are_final() -> None:
    finished = {state.value for state in TrialState if state.is_finished}
    assert finished == {"complete", "pruned", "diverged", "failed"}
    assert {state.value for state in TrialState} - finished == {"waiting", "running"}
