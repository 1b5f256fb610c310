"""The experiment file: what is right reads back as itself, and every mistake is told with its place and the way out."""

import cProfile
import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper.experiment import Data, Experiment, Search, Split, Train, named_of, to_plain
from sweeper.reading import read_experiment, read_stored, schema, write_experiment
from sweeper.reading.mistakes import ExperimentError

BASE = "name: demo\ndata: {name: digits}\nmodel: {name: alexnet}\n"  # three lines, so that additions begin on line 4

DESIGN = """\
name: alexnet_grid                 # MLflow experiment and sweep folder
description: one line
data:
  name: tiny-image10               # tiny-imagenet | tiny-image10 | digits | folder | a torchvision dataset by class name
  root: null                       # where the files are; null: the cache directory, downloading if the source allows it
  classes: null                    # keep these only: names, wnids, or a number N (the first N in sorted order)
  split: {train: 0.8, val: 0.1, test: 0.1, seed: 0}   # see below
  image_size: 64
  augment: [random_crop, horizontal_flip]
model: {name: alexnet}             # any of MODELS with its keyword arguments, or "package.module:callable"
train:
  epochs: 35
  batch_size: 12
  loss: cross_entropy              # cross_entropy | smooth_cross_entropy | multi_margin | one_vs_all_hinge | ... (LOSSES)
  optimizer: sgd
  lr: 0.001
  momentum: 0.9
  weight_decay: 0.0
  nesterov: false
  schedule: step                   # constant | step | plateau | cosine | one_cycle | cyclic
  step_size: 7
  gamma: 0.1
  precision: auto                  # auto | float32 | bfloat16
search:
  method: grid                     # grid | random | tpe | ... (Optuna samplers)
  trials: null                     # required for methods other than grid
  space:                           # a bare name means train.<name>; any dotted path works (model.dropout, data.augment)
    lr: [0.0001, 0.001, 0.005]     # a list is a choice; others: {uniform: [a, b]}, {log_uniform: [a, b]}, {int: [a, b]}
    momentum: [0.9, 0.5]
    gamma: [0.1, 0.01]
  exclude: []                      # cells to leave out, as partial assignments
  include: []                      # cells to add
  linked: []                       # axes that move together: [{batch_size: [64, 128], lr: [0.01, 0.02]}]
  seeds: [0]                       # replicates of every cell
objective: {metric: val/top1, mode: max}
pruning: null                      # {name: median | percentile | hyperband | ..., arguments of that Optuna pruner}
resources: {cpus_per_trial: 1, gpus_per_trial: auto, max_concurrent: null, max_retries: 2}
checkpoint: {every_seconds: 30}
artifacts: {models: best}          # best | all | none
tracking: {uri: null}              # null: MLFLOW_TRACKING_URI, else sqlite in the storage root
"""


def mistakes(text: str, *settings_given: str) -> list[str]:
    """The mistakes of a file that must have some, as the user reads them."""
    with pytest.raises(ExperimentError) as caught:
        read_experiment(text, "f.yaml", settings_given)
    return [str(mistake) for mistake in caught.value.mistakes]


def read(text: str, *settings_given: str) -> Experiment:
    return read_experiment(text, "f.yaml", settings_given)


# What is right


def test_the_file_of_the_design_is_read_whole() -> None:
    experiment = read(DESIGN)
    assert experiment.name == "alexnet_grid"
    assert experiment.data.split == Split(train=0.8, val=0.1, test=0.1, seed=0)
    assert experiment.search.space == {"lr": [0.0001, 0.001, 0.005], "momentum": [0.9, 0.5], "gamma": [0.1, 0.01]}
    assert experiment.resources.gpus_per_trial == "auto"


def test_the_defaults_are_those_of_the_design() -> None:
    short = read("name: alexnet_grid\ndata: {name: tiny-image10}\nmodel: {name: alexnet}\n")
    full = read(DESIGN)
    assert replace(short, description=full.description, search=full.search) == full
    assert short.search == Search()


def test_yaml_1_2_words_and_numbers_are_what_they_look_like() -> None:
    experiment = read(BASE + "description: no\ntrain: {lr: 1e-3, weight_decay: 5E-4, gamma: .5, epochs: 0x10}\n")
    assert experiment.description == "no"
    assert (experiment.train.lr, experiment.train.weight_decay, experiment.train.gamma) == (1e-3, 5e-4, 0.5)
    assert experiment.train.epochs == 16
    assert read(BASE + "description: 2026-11-21\n").description == "2026-11-21"
    assert read(BASE + "description: 1_000\n").description == "1_000"
    assert read(BASE + "description: 12:30\n").description == "12:30"


def test_aliases_and_merge_keys_are_followed_and_own_keys_win() -> None:
    text = BASE + "train: &t {lr: 0.5, momentum: 0.2}\nsearch:\n  include:\n    - {<<: *t, momentum: 0.3}\n    - *t\n"
    assert read(text).search.include == ({"lr": 0.5, "momentum": 0.3}, {"lr": 0.5, "momentum": 0.2})
    several = BASE + "train: {<<: [{lr: 0.5}, {lr: 0.1, gamma: 0.9}]}\n"
    assert (read(several).train.lr, read(several).train.gamma) == (0.5, 0.9)


@pytest.mark.parametrize("model", ["vgg11", "{name: vgg11}"])
def test_set_gives_arguments_to_the_model_that_it_has_set(model: str) -> None:
    assert to_plain(read(BASE, f"model={model}", "model.dropout=0.25").model) == {"name": "vgg11", "dropout": 0.25}


def test_set_changes_settings_in_order_and_creates_sections() -> None:
    experiment = read(
        BASE,
        "train.lr=1e-2", "train.lr=0.5", "momentum=0.25", "search.space.gamma=[0.1, 0.01]", "search.space.model.dropout=[0.5]",
        "data.root=../a b.zip", "model.compact=true", "pruning={name: median, n_warmup_steps: 2}", "description=''",
        "tracking.uri=",
    )  # fmt: skip
    assert (experiment.train.lr, experiment.train.momentum) == (0.5, 0.25)
    assert experiment.search.space == {"gamma": [0.1, 0.01], "model.dropout": [0.5]}
    assert experiment.data.root == "../a b.zip"
    assert experiment.model == named_of({"name": "alexnet", "compact": True})
    assert to_plain(experiment.pruning) == {"name": "median", "n_warmup_steps": 2}


def test_set_takes_the_place_of_what_was_wrong() -> None:
    assert read(BASE + "train: {lr: word}\n", "train.lr=0.1").train.lr == 0.1
    assert read(BASE + "train: nonsense\n", "train.lr=0.1").train == Train(lr=0.1)


def test_linked_values_may_repeat_as_long_as_the_pairs_differ() -> None:
    linked = read(BASE + "search: {linked: [{batch_size: [64, 64], lr: [0.1, 0.2]}]}\n").search.linked
    assert linked == ({"batch_size": [64, 64], "lr": [0.1, 0.2]},)


def test_models_of_ones_own_take_any_arguments() -> None:
    experiment = read(BASE.replace("{name: alexnet}", "{name: 'my.nets:tiny', width: [1, 2], deep: {a: b}}"))
    assert experiment.model == named_of({"name": "my.nets:tiny", "width": [1, 2], "deep": {"a": "b"}})


PRUNINGS = (
    "{name: median}", "{name: percentile, percentile: 25}", "{name: percentile, percentile: 25.0, n_min_trials: 2}",
    "{name: hyperband, max_resource: auto, reduction_factor: 2}", "{name: successive_halving, min_resource: auto}",
    "{name: threshold, lower: 0.1}", "{name: threshold, lower: 0, upper: 0.5}", "{name: wilcoxon, p_threshold: 0.2}",
    "{name: patient, wrapped_pruner: {name: median}, patience: 2}", "{name: patient, wrapped_pruner: null, patience: 0}",
    "{name: nop}",
)  # fmt: skip


@pytest.mark.parametrize("pruning", PRUNINGS)
def test_every_pruner_is_read_with_its_own_arguments(pruning: str) -> None:
    assert to_plain(read(BASE + f"pruning: {pruning}\n").pruning) == yaml.safe_load(pruning)


def test_a_name_without_arguments_is_the_same_setting_however_it_is_written() -> None:
    short = read(BASE.replace("digits}", "digits, augment: [mixup]}") + "train: {loss: focal}\n")
    long = read(BASE.replace("digits}", "digits, augment: [{name: mixup}]}") + "train: {loss: {name: focal}}\n")
    assert short == long


def test_losses_and_augmentations_take_arguments_in_the_file_and_on_an_axis() -> None:
    experiment = read(
        BASE.replace("digits}", "digits, augment: [{name: hue, strength: 0.2}, random_crop]}")
        + "train: {loss: {name: focal, gamma: 1}}\n"
        "search: {space: {loss: [cross_entropy, {name: focal, gamma: 1}], data.augment: [[], [{name: mixup, alpha: 1}]]}}\n"
    )
    assert to_plain(experiment.train.loss) == {"name": "focal", "gamma": 1}
    assert to_plain(experiment.data.augment) == [{"name": "hue", "strength": 0.2}, "random_crop"]
    assert len({experiment.data, replace(experiment.data, image_size=32)}) == 2


def test_what_some_cells_have_no_use_for_is_no_mistake() -> None:
    text = "train: {stop_after: 4, nesterov: true, warmup_epochs: 1}\n"
    space = "schedule: [plateau, one_cycle], optimizer: [sgd, adam], momentum: [0.9, 0]"
    without = "exclude: [{optimizer: sgd, momentum: 0}]"
    assert read(BASE + text + f"search: {{space: {{{space}}}, {without}}}\n").train.stop_after == 4


MANY = f"ema: {[(1 + at) / 100 for at in range(51)]}, clip_norm: {[*range(1, 43)]}"  # 2,142 cells


@pytest.mark.parametrize(
    ("train", "space", "exclude"),
    [
        ("stop_after: 3", f"schedule: [step, plateau], {MANY}", ""),
        ("nesterov: true", f"{MANY}, momentum: [0.9, 0]", "{momentum: 0}"),
        (
            "nesterov: true",
            f"momentum: [0.9, 0], weight_decay: [0, 0.1], {MANY}",
            "{momentum: 0, weight_decay: 0}, {momentum: 0.0, weight_decay: 0.1}",
        ),
    ],
)
def test_a_large_grid_is_judged_by_all_of_its_cells_and_by_no_other(train: str, space: str, exclude: str) -> None:
    search = f"search: {{space: {{{space}}}, exclude: [{exclude}]}}"
    assert len(read(f"{BASE}train: {{{train}}}\n{search}\n").search.space) == space.count("[")


def test_a_split_may_lack_what_the_objective_does_without() -> None:
    search = (
        "objective: {metric: train/loss, mode: min}\nsearch: {space: {data.split: [official, {val: 0}, {train: 0.2}]}}"
    )
    assert len(read(f"{BASE}{search}\n").search.space["data.split"]) == 3


# What is wrong: (what is added to the base, the place and path of each mistake, words that its message holds)

WRONG: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown key at the top": ("serach: {}", "f.yaml:4: serach", ("unknown key", "did you mean `search`?", "tracking")),
    "unknown key in a section": (
        "train:\n  epochs: 3\n  momentun: 0.9", "f.yaml:6: train.momentun", ("did you mean `momentum`?", "batch_size"),
    ),
    "unknown key in search": ("search: {methods: tpe}", "f.yaml:4: search.methods", ("did you mean `method`?",)),
    "unknown key in objective": ("objective: {metrik: x}", "f.yaml:4: objective.metrik", ("did you mean `metric`?",)),
    "unknown key in resources": (
        "resources: {gpu_per_trial: 1}", "f.yaml:4: resources.gpu_per_trial", ("did you mean `gpus_per_trial`?",),
    ),
    "unknown key in checkpoint": ("checkpoint: {second: 1}", "f.yaml:4: checkpoint.second", ("every_seconds",)),
    "password with a space": (
        "tracking: {uri: 'http://me:my s3cr3t@host:5000'}", "f.yaml:4: tracking.uri", ('"http://***@host:5000"', "as %20"),
    ),
    "server without a scheme": ("tracking: {uri: 'localhost:5000'}", "f.yaml:4: tracking.uri", ("write http://localhost:5000",)),
    "misspelt scheme": ("tracking: {uri: 'htp://me:s3cr3t@h/'}", "f.yaml:4: tracking.uri", ('"htp://***@h/"', "http://HOST:PORT")),
    "database without a path": (
        "tracking: {uri: 'sqlite://here.db'}", "f.yaml:4: tracking.uri", ("write sqlite:///PATH with three slashes",),
    ),
    "folder": ("tracking: {uri: mlruns}", "f.yaml:4: tracking.uri", ("which is a folder", "sqlite:///PATH/mlflow.db")),
    "folder as an address": ("tracking: {uri: 'file:///runs'}", "f.yaml:4: tracking.uri", ("which is a folder",)),
    "no server": ("tracking: {uri: 'https://'}", "f.yaml:4: tracking.uri", ("names no server", "http://HOST:PORT")),
    "unknown key in tracking": ("tracking: {url: x}", "f.yaml:4: tracking.url", ("did you mean `uri`?",)),
    "word for a number": ("train: {lr: fast}", "f.yaml:4: train.lr", ('given "fast"', "allowed a number")),
    "float for a whole number": ("train: {epochs: 1.5}", "f.yaml:4: train.epochs", ("given 1.5", "whole number")),
    "number for text": ("description: 7", "f.yaml:4: description", ("given 7", "allowed text")),
    "word for true or false": ("train: {nesterov: yes}", "f.yaml:4: train.nesterov", ('given "yes"', "true or false")),
    "true for a number": ("train: {epochs: true}", "f.yaml:4: train.epochs", ("given true", "whole number")),
    "number in quotes": ("train: {lr: '0.1'}", "f.yaml:4: train.lr", ('given "0.1"', "a number")),
    "list for a section": ("train: [1, 2]", "f.yaml:4: train", ("a mapping",)),
    "empty section": ("train:", "f.yaml:4: train", ("given null", "a mapping")),
    "model without arguments' names": ("pruning: 3", "f.yaml:4: pruning", ("given 3", "a mapping")),
    "zero epochs": ("train: {epochs: 0}", "f.yaml:4: train.epochs", ("given 0", "1 or more")),
    "a number of 400 digits": (f"train: {{epochs: 1{'0' * 400}}}", "f.yaml:4: train.epochs", ("less than 2.1",)),
    "momentum of one": ("train: {momentum: 1}", "f.yaml:4: train.momentum", ("given 1", "less than 1")),
    "negative rate": ("train: {lr: -0.1}", "f.yaml:4: train.lr", ("given -0.1", "more than 0")),
    "infinite rate": ("train: {lr: .inf}", "f.yaml:4: train.lr", ("a finite number",)),
    "rate that is no number": ("train: {momentum: .nan}", "f.yaml:4: train.momentum", ("given NaN",)),
    "Nesterov without momentum": (
        "train: {nesterov: true, momentum: 0}", "f.yaml:4: train.nesterov", ("momentum above 0",),
    ),
    "unknown loss": ("train: {loss: crossentropy}", "f.yaml:4: train.loss", ("did you mean `cross_entropy`?", "smooth_")),
    "unknown optimizer": ("train: {optimizer: sdg}", "f.yaml:4: train.optimizer", ('given "sdg"', "did you mean `sgd`?")),
    "unknown schedule": ("train: {schedule: stepp}", "f.yaml:4: train.schedule", ("'step'", "did you mean `step`?")),
    "unknown loss with arguments": (
        "train: {loss: {name: focl, gamma: 1}}", "f.yaml:4: train.loss.name", ("did you mean `focal`?",),
    ),
    "unknown argument of a loss": (
        "train:\n  loss:\n    name: focal\n    gama: 1", "f.yaml:7: train.loss.gama",
        ("argument of focal", "did you mean `gamma`?"),
    ),
    "argument of a loss that takes none": (
        "train: {loss: {name: cross_entropy, gamma: 1}}", "f.yaml:4: train.loss.gamma", ("takes none",),
    ),
    "loss's argument out of range": (
        "train: {loss: {name: smooth_cross_entropy, smoothing: 2}}", "f.yaml:4: train.loss.smoothing", ("0 to 1",),
    ),
    "loss's argument of a wrong type": (
        "train: {loss: {name: focal, gamma: two}}", "f.yaml:4: train.loss.gamma", ('given "two"', "0 or more"),
    ),
    "loss without a name": ("train: {loss: {gamma: 2}}", "f.yaml:4: train.loss.name", ("is missing", "`loss` needs it")),
    "loss with arguments on an axis": (
        "search:\n  space:\n    loss: [focal,\n      {name: focal, gamma: -1}]", "f.yaml:7: search.space.loss[1].gamma",
        ("given -1", "0 or more"),
    ),
    "unknown class weights": ("train: {class_weights: balance}", "f.yaml:4: train.class_weights", ("did you mean `balanced`?",)),
    "class weight of zero": ("train: {class_weights: [1, 0]}", "f.yaml:4: train.class_weights[1]", ("given 0", "more than 0")),
    "no class weights": ("train: {class_weights: []}", "f.yaml:4: train.class_weights", ("at least 1",)),
    "class weight that is a word": (
        "train: {class_weights: {cat: heavy}}", "f.yaml:4: train.class_weights.cat", ('given "heavy"', "from_sweep"),
    ),
    "class weights from a sweep and more": (
        "train: {class_weights: {from_sweep: a, cat: 2}}", "f.yaml:4: train.class_weights", ("leave the others out",),
    ),
    "class weights from the sweep itself": (
        "train: {class_weights: {from_sweep: demo}}", "f.yaml:4: train.class_weights.from_sweep", ("names this sweep itself",),
    ),
    "negative patience": ("train: {patience: -1}", "f.yaml:4: train.patience", ("given -1", "0 or more")),
    "no gradient at all": ("train: {clip_norm: 0}", "f.yaml:4: train.clip_norm", ("given 0", "more than 0")),
    "average that never moves": ("train: {ema: 1}", "f.yaml:4: train.ema", ("given 1", "less than 1")),
    "beta2 of one": ("train: {beta2: 1.0}", "f.yaml:4: train.beta2", ("given 1", "less than 1")),
    "Nesterov with adam": (
        "train: {nesterov: true, optimizer: adam}", "f.yaml:4: train.nesterov", ("adam has no Nesterov step",),
    ),
    "Nesterov without momentum in one cell": (
        "train: {nesterov: true}\nsearch:\n  space: {momentum: [0.9, 0]}", "f.yaml:4: train.nesterov",
        ("momentum above 0", "{momentum: 0}"),
    ),
    "axis that no schedule of the sweep looks at": (
        "train: {schedule: cosine}\nsearch: {space: {lr: [0.1, 0.2], gamma: [0.1, 0.5]}}", "f.yaml:5: search.space.gamma",
        ("`schedule: cosine` does not look at it", "step and plateau", "{gamma: 0.1}"),
    ),
    "axis that no optimiser of the sweep looks at": (
        "search: {space: {beta2: [0.9, 0.99]}}", "f.yaml:4: search.space.beta2", ("`optimizer: sgd`", "adam and adamw"),
    ),
    "objective that compares losses of several kinds": (
        "objective: {metric: val/loss, mode: min}\nsearch: {space: {lr: [1, 2], loss: [cross_entropy, {name: focal, gamma: 1}]}}",
        "f.yaml:4: objective.metric", ("2 losses", "val/top1"),
    ),
    "weights listed for classes in another order": (
        "train: {class_weights: [9, 1]}\nsearch: {space: {data.classes: [['2', '10']]}}", "f.yaml:4: train.class_weights",
        ("data.classes", "{class: weight}"),
    ),
    "weights that cancel out": (
        "train: {class_weights: balanced, batch_size: 1}", "f.yaml:4: train.class_weights", ("`batch_size: 1`",),
    ),
    "cuts to count without cuts": (
        "train: {stop_after: 4}", "f.yaml:4: train.stop_after", ("`schedule: step` has no cuts", "plateau"),
    ),
    "cuts to count on no schedule of an axis": (
        "train: {stop_after: 4}\nsearch: {space: {schedule: [step, cosine]}}", "f.yaml:4: train.stop_after", ("no cuts",),
    ),
    "warm-up of one_cycle": (
        "train: {warmup_epochs: 2, schedule: one_cycle}", "f.yaml:4: train.warmup_epochs", ("begins low by itself",),
    ),
    "warm-up to the end": (
        "train: {warmup_epochs: 3, epochs: 3}", "f.yaml:4: train.warmup_epochs", ("given 3", "less than epochs, 3"),
    ),
    "lowest rate above the highest": (
        "train: {schedule: cosine}\nsearch: {space: {lr: [0.1, 0.001], min_lr: [0.01]}}", "f.yaml:5: search.space.min_lr",
        ("given 0.01", "at most lr, 0.001", "{lr: 0.001, min_lr: 0.01}"),
    ),
    "lowest rate above what a range can draw": (
        "train: {schedule: cosine, min_lr: 0.01}\n"
        "search: {method: random, trials: 2, space: {lr: {log_uniform: [0.001, 0.1]}}}",
        "f.yaml:4: train.min_lr", ("given 0.01", "at most lr, 0.001", "{lr: 0.001}"),
    ),
    "lowest rate above one of many": (
        f"train: {{schedule: cosine, min_lr: 0.001}}\nsearch: {{space: {{lr: [0.1, 0.0001], {MANY}}}}}", "f.yaml:4: train.min_lr",
        ("at most lr, 0.0001", "{lr: 0.0001}"),
    ),
    "shares above one in one cell": (
        "search: {space: {data.split.train: [0.4, 0.8, 0.9]}}", "f.yaml:4: search.space.data.split.train",
        ("add up to 1.1", "{data.split.train: 0.9}"),
    ),
    "shares above one at the end of a range": (
        "search: {method: random, trials: 2, space: {data.split.test: {uniform: [0, 0.2]}}}",
        "f.yaml:4: search.space.data.split.test", ("add up to 1.1", "{data.split.test: 0.2}"),
    ),
    "nothing to validate on in one cell": (
        "search: {space: {data.split: [official, {train: 0.9, val: 0}]}}", "f.yaml:4: search.space.data.split",
        ("given 0", "objective is val/top1"),
    ),
    "nothing to train on in a cell that is added": (
        "search: {include: [{data.split.train: 0}]}", "f.yaml:2: data.split.train", ("nothing to train on",),
    ),
    "unknown word of a loss": (
        "train: {loss: {name: multi_margin, violations: large}}", "f.yaml:4: train.loss.violations",
        ("did you mean `largest`?",),
    ),
    "number where a loss has words": (
        "train: {loss: {name: multi_margin, violations: 2}}", "f.yaml:4: train.loss.violations", ("all, largest",),
    ),
    "crops larger than a picture of one cell": (
        "search: {space: {data.crop_size: [64, 72]}}", "f.yaml:4: search.space.data.crop_size", ("given 72", "image_size, 64"),
    ),
    "augmentation twice on an axis": (
        "search: {space: {data.augment: [[], [mixup, mixup]]}}", "f.yaml:4: search.space.data.augment[1][1]", ("twice",),
    ),
    "histograms of no epoch": ("artifacts: {histograms: 0}", "f.yaml:4: artifacts.histograms", ("given 0", "1 or more")),
    "unknown pruner": ("pruning: {name: medain}", "f.yaml:4: pruning.name", ("did you mean `median`?", "wilcoxon")),
    "pruner without a name": ("pruning: {n_warmup_steps: 2}", "f.yaml:4: pruning.name", ("is missing",)),
    "unknown argument of a pruner": (
        "pruning:\n  name: median\n  warmup: 3", "f.yaml:6: pruning.warmup", ("argument of median", "n_warmup_steps"),
    ),
    "pruner's argument of a wrong type": (
        "pruning: {name: median, n_warmup_steps: 1.5}", "f.yaml:4: pruning.n_warmup_steps", ("given 1.5", "a whole number"),
    ),
    "pruner's argument out of range": (
        "pruning: {name: median, n_startup_trials: -1}", "f.yaml:4: pruning.n_startup_trials", ("given -1", "0 or more"),
    ),
    "pruner's infinite argument": ("pruning: {name: threshold, upper: .inf}", "f.yaml:4: pruning.upper", ("finite",)),
    "percentile above a hundred": (
        "pruning: {name: percentile, percentile: 101}", "f.yaml:4: pruning.percentile", ("given 101", "0 to 100"),
    ),
    "reduction factor of one": (
        "pruning: {name: hyperband, reduction_factor: 1}", "f.yaml:4: pruning.reduction_factor", ("given 1", "2 or more"),
    ),
    "resource by a word": ("pruning: {name: hyperband, max_resource: all}", "f.yaml:4: pruning.max_resource", ("auto",)),
    "pruner's missing argument": ("pruning: {name: percentile}", "f.yaml:4: pruning", ("`percentile` is missing",)),
    "threshold without a bound": ("pruning: {name: threshold}", "f.yaml:4: pruning", ("`lower` or `upper`",)),
    "threshold upside down": ("pruning: {name: threshold, lower: 2, upper: 1}", "f.yaml:4: pruning", ("is above",)),
    "unknown argument of a wrapped pruner": (
        "pruning: {name: patient, patience: 2, wrapped_pruner: {name: median, warmup: 1}}",
        "f.yaml:4: pruning.wrapped_pruner.warmup", ("argument of median",),
    ),
    "wrapped pruner without a name": (
        "pruning: {name: patient, patience: 2, wrapped_pruner: {n_warmup_steps: 1}}", "f.yaml:4: pruning.wrapped_pruner",
        ("a pruner",),
    ),
    "empty axis": ("search:\n  space:\n    lr: []", "f.yaml:6: search.space.lr", ("empty list", "at least one value")),
    "axis of one bare value": ("search: {space: {lr: 0.1}}", "f.yaml:4: search.space.lr", ("given 0.1", "a list")),
    "axis that names nothing": (
        "search: {space: {momentun: [0.9]}}", "f.yaml:4: search.space.momentun", ("did you mean `momentum`?",),
    ),
    "axis of what does not matter": ("search: {space: {name: [a, b]}}", "f.yaml:4: search.space.name", ("unknown axis",)),
    "axis of the data's place": ("search: {space: {data.root: [a]}}", "f.yaml:4: search.space.data.root", ("unknown",)),
    "axis of another model's argument": (
        "search: {space: {model.width: [1, 2]}}", "f.yaml:4: search.space.model.width", ("model.dropout",),
    ),
    "value that an axis cannot take": (
        "search:\n  space:\n    lr: [0.1,\n         0]", "f.yaml:7: search.space.lr[1]", ("given 0", "more than 0"),
    ),
    "loss on an axis": (
        "search: {space: {loss: [cross_entropy, hinge]}}", "f.yaml:4: search.space.loss[1]", ("unknown loss",),
    ),
    "split on an axis": (
        "search: {space: {data.split.vall: [0.1]}}", "f.yaml:4: search.space.data.split.vall[0]", ("did you mean `val`?",),
    ),
    "augmentation on an axis": (
        "search: {space: {data.augment: [[], [flip]]}}", "f.yaml:4: search.space.data.augment[1][0]", ("horizontal_flip",),
    ),
    "value listed twice": ("search: {space: {lr: [0.1, 1e-1]}}", "f.yaml:4: search.space.lr", ("listed twice",)),
    "value listed as 1 and as 1.0": ("search: {space: {lr: [1, 1.0]}}", "f.yaml:4: search.space.lr", ("listed twice",)),
    "range upside down": (
        "search: {method: tpe, trials: 3, space: {lr: {uniform: [2, 1]}}}", "f.yaml:4: search.space.lr", ("a < b",),
    ),
    "range of words": (
        "search: {method: tpe, trials: 3, space: {lr: {uniform: [a, b]}}}", "f.yaml:4: search.space.lr", ("two numbers",),
    ),
    "range beyond all numbers": (
        f"search: {{method: tpe, trials: 3, space: {{lr: {{uniform: [1, 1{'0' * 400}]}}}}}}", "f.yaml:4: search.space.lr",
        ("finite",),
    ),
    "logarithm of zero": (
        "search: {method: tpe, trials: 3, space: {lr: {log_uniform: [0, 1]}}}", "f.yaml:4: search.space.lr", ("above 0",),
    ),
    "half a whole number": (
        "search: {method: tpe, trials: 3, space: {epochs: {int: [1, 2.5]}}}", "f.yaml:4: search.space.epochs",
        ("two whole numbers",),
    ),
    "unknown kind of range": (
        "search: {method: tpe, trials: 3, space: {lr: {loguniform: [1, 2]}}}", "f.yaml:4: search.space.lr", ("log_uniform",),
    ),
    "range beyond what the setting takes": (
        "search: {method: tpe, trials: 3, space: {momentum: {uniform: [0, 2]}}}", "f.yaml:4: search.space.momentum",
        ("given 2", "less than 1"),
    ),
    "linked lists of two lengths": (
        "search:\n  linked:\n    - {lr: [1, 2], momentum: [0.1]}", "f.yaml:6: search.linked[0]", ("lr: 2, momentum: 1",),
    ),
    "linked axis alone": ("search: {linked: [{lr: [1, 2]}]}", "f.yaml:4: search.linked[0]", ("two or more",)),
    "linked range": (
        "search: {linked: [{lr: {uniform: [1, 2]}, gamma: [0.1]}]}", "f.yaml:4: search.linked[0]", ("lr must be a list",),
    ),
    "linked value that does not fit": (
        "search: {linked: [{lr: [1, 2], momentum: [0.1, 5]}]}", "f.yaml:4: search.linked[0].momentum[1]", ("given 5",),
    ),
    "exclude of an unknown value": (
        "search:\n  space: {lr: [0.1, 0.2]}\n  exclude:\n    - {lr: 0.3}", "f.yaml:7: search.exclude[0].lr",
        ("given 0.3", "allowed 0.1, 0.2"),
    ),
    "exclude on an axis with a mistake": (
        "search: {space: {lr: 0.1}, exclude: [{lr: 0.1}]}", "f.yaml:4: search.space.lr", ("given 0.1",),
    ),
    "exclude of an unknown axis": (
        "search: {space: {lr: [0.1]}, exclude: [{lrr: 0.1}]}", "f.yaml:4: search.exclude[0].lrr", ("did you mean `lr`?",),
    ),
    "exclude of everything": (
        "search: {space: {lr: [0.1]}, exclude: [{lr: 0.1}]}", "f.yaml:4: search.exclude", ("every cell",),
    ),
    "exclude of all that a sampler could draw": (
        "search: {method: random, trials: 3, space: {lr: [0.1, 0.2]}, exclude: [{lr: 0.1}, {lr: 0.2}]}",
        "f.yaml:4: search.exclude", ("every cell",),
    ),
    "exclude of the only value beside a range": (
        "search: {method: tpe, trials: 3, space: {gamma: [0.5], lr: {uniform: [0.1, 0.2]}}, exclude: [{gamma: 0.5}]}",
        "f.yaml:4: search.exclude", ("every cell",),
    ),
    "exclude of nothing said": (
        "search: {space: {lr: [0.1]}, exclude: [{}]}", "f.yaml:4: search.exclude[0]", ("is empty", "give the values"),
    ),
    "include listed twice": (
        "search:\n  space: {lr: [0.1]}\n  include:\n    - {lr: 1, gamma: 0.5}\n    - {gamma: 0.5, lr: 1.0}",
        "f.yaml:8: search.include[1]", ("listed twice", "keep one"),
    ),
    "include of a value that does not fit": (
        "search: {space: {lr: [0.1]}, include: [{momentum: 7}]}", "f.yaml:4: search.include[0].momentum", ("given 7",),
    ),
    "grid with a range": (
        "search: {space: {lr: {uniform: [0.1, 1]}}}", "f.yaml:4: search.space.lr", ("is a range", "method: tpe"),
    ),
    "grid with a number of trials": ("search: {trials: 4}", "f.yaml:4: search.trials", ("runs every cell",)),
    "tpe without trials": ("search: {method: tpe, space: {lr: [1]}}", "f.yaml:4: search", ("`trials` is missing",)),
    "tpe without axes": ("search: {method: tpe, trials: 3}", "f.yaml:4: search.space", ("needs at least one axis",)),
    "cmaes over lists": (
        "search: {method: cmaes, trials: 3, space: {lr: [1, 2]}}", "f.yaml:4: search.method", ("two or more ranges",),
    ),
    "unknown method": ("search: {method: bayes}", "f.yaml:4: search.method", ("'grid'", "'gp'")),
    "seed listed twice": ("search: {seeds: [1, 1]}", "f.yaml:4: search.seeds", ("twice",)),
    "no seeds": ("search: {seeds: []}", "f.yaml:4: search.seeds", ("at least 1",)),
    "negative seed": ("search: {seeds: [-1]}", "f.yaml:4: search.seeds[0]", ("given -1",)),
    "two axes for one setting": (
        "search: {space: {lr: [1], train.lr: [2]}}", "f.yaml:4: search", ("`lr` and `train.lr`", "set train.lr"),
    ),
    "unknown objective": ("objective: {metric: val/top2}", "f.yaml:4: objective.metric", ("did you mean `val/top",)),
    "loss to be maximised": ("objective: {metric: val/loss}", "f.yaml:4: objective", ("set `mode: min`",)),
    "accuracy to be minimised": ("objective: {mode: min}", "f.yaml:4: objective", ("set `mode: max`",)),
    "GPUs and a half": ("resources: {gpus_per_trial: 1.5}", "f.yaml:4: resources.gpus_per_trial", ("a fraction of one",)),
    "key given twice": (
        "train:\n  lr: 0.1\n  gamma: 0.5\n  lr: 0.2", "f.yaml:7: train.lr", ("already on line 5", "keep one"),
    ),
    "section given twice": ("train: {lr: 0.1}\ntrain: {lr: 0.2}", "f.yaml:5: train", ("already on line 4",)),
    "key that is a number": ("1: 2", "f.yaml:4: 1", ("unknown key `1`",)),
    "key that is null": ("train: {null: 2}", "f.yaml:4: train.null", ("unknown key `null`",)),
    "key that is a list": ("? [a, b]\n: 1", "f.yaml:4: ?", ("unknown key",)),
    "binary": ("description: !!binary aGVsbG8=", "f.yaml:4: description", ("binary", "not used here")),
    "Python object": ("description: !!python/name:os.system x", "f.yaml:4: description", ("not used here",)),
    "integer by force": ("train: {epochs: !!int many}", "f.yaml:4: train.epochs", ("not a int",)),
    "merge of a word": ("train: {<<: word}", "f.yaml:4: train", ("merges a mapping",)),
    "half a character": ('description: "\\ud800"', "f.yaml:4: description", ("surrogate",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_one_mistake_is_told_with_its_line_its_path_and_the_way_out(case: str) -> None:
    added, place, words = WRONG[case]
    told = [mistake for mistake in mistakes(BASE + added + "\n") if mistake.startswith(place + ": ")]
    assert told, mistakes(BASE + added + "\n")
    assert any(all(word in mistake for word in words) for mistake in told), told


@pytest.mark.parametrize("case", WRONG)
def test_one_mistake_is_told_once(case: str) -> None:
    assert len(mistakes(BASE + WRONG[case][0] + "\n")) == (2 if case == "integer by force" else 1)


def test_a_loss_takes_words_where_it_has_words() -> None:
    experiment = read(BASE + "train: {loss: {name: multi_margin, violations: largest}}\n")
    assert to_plain(experiment.train.loss) == {"name": "multi_margin", "violations": "largest"}


def test_ranges_agree_with_what_they_draw_and_not_with_what_they_take_the_place_of() -> None:
    ranges = "search: {method: random, trials: 2, space: {lr: {log_uniform: [0.05, 0.5]}}}\n"
    assert read(BASE + "train: {schedule: cosine, min_lr: 0.01}\n" + ranges).train.lr == 0.001


def test_a_crop_may_be_the_image_where_nothing_is_cut_at_random_or_another_cell_cuts() -> None:
    still = BASE.replace("digits}", "digits, crop_size: 64, augment: [mixup]}")
    assert read(still).data.crop_size == 64
    assert read(BASE + "search: {space: {data.crop_size: [56, 64]}}\n").data.crop_size is None


def test_arguments_are_those_of_the_models_that_are_linked() -> None:
    linked = "search: {linked: [{model.name: [resnet18, resnet50], lr: [0.1, 0.2]}], space: {model.stem: [small]}}\n"
    assert read(BASE + linked).search.space == {"model.stem": ["small"]}


WRONG_DATA: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown data set": ("{name: digitz}", "data.name", ("did you mean `digits`?", "torchvision")),
    "folder without a root": ("{name: folder}", "data.root", ("is missing", "one sub-folder a class")),
    "data without a name": ("{image_size: 32}", "data.name", ("is missing",)),
    "shares above one": ("{name: digits, split: {train: 0.9, val: 0.2}}", "data.split", ("add up to 1.2",)),
    "nothing to train on": ("{name: digits, split: {train: 0}}", "data.split.train", ("nothing to train on",)),
    "nothing to validate on": ("{name: digits, split: {val: 0}}", "data.split.val", ("objective is val/top1",)),
    "unknown split": ("{name: digits, split: oficial}", "data.split", ("'official'", "did you mean `official`?")),
    "unknown part of a split": ("{name: digits, split: {trian: 0.8}}", "data.split.trian", ("did you mean `train`?",)),
    "tiny pictures": ("{name: digits, image_size: 4}", "data.image_size", ("given 4", "8 or more")),
    "unknown augmentation": ("{name: digits, augment: [random_crap]}", "data.augment[0]", ("did you mean `random_crop`?",)),
    "augmentation's argument out of range": (
        "{name: digits, augment: [{name: hue, strength: 0.7}]}", "data.augment[0].strength", ("given 0.7", "0 to 0.5"),
    ),
    "unknown argument of an augmentation": (
        "{name: digits, augment: [{name: mixup, alfa: 1}]}", "data.augment[0].alfa", ("did you mean `alpha`?",),
    ),
    "unknown augmentation with arguments": (
        "{name: digits, augment: [mixup, {name: cutmx, alpha: 1}]}", "data.augment[1].name", ("did you mean `cutmix`?",),
    ),
    "augmentation without a name": ("{name: digits, augment: [{alpha: 1}]}", "data.augment[0].name", ("`augment` needs it",)),
    "augmentation that is a number": ("{name: digits, augment: [3]}", "data.augment[0]", ("given 3", "text")),
    "augmentation listed twice": (
        "{name: digits, augment: [hue, {name: hue, strength: 0.2}]}", "data.augment[1]", ("listed twice",),
    ),
    "crop larger than the picture": (
        "{name: digits, image_size: 32, crop_size: 40}", "data.crop_size", ("given 40", "at most data.image_size, 32"),
    ),
    "random crop of all of the picture": (
        "{name: digits, image_size: 32, crop_size: 32}", "data.crop_size", ("given 32", "random_crop has one place"),
    ),
    "tiny crop": ("{name: digits, crop_size: 4}", "data.crop_size", ("given 4", "8 or more")),
    "unknown normalisation": ("{name: digits, normalisation: data}", "data.normalisation", ("'dataset'",)),
    "unknown evaluation": ("{name: digits, evaluation: ten_crops}", "data.evaluation", ("did you mean `ten_crop`?",)),
    "ten times the same crop": ("{name: digits, evaluation: ten_crop}", "data.evaluation", ("set `crop_size` below",)),
    "no classes": ("{name: digits, classes: 0}", "data.classes", ("given 0", "1 or more")),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_DATA)
def test_mistakes_about_the_data_are_told(case: str) -> None:
    data, path, words = WRONG_DATA[case]
    (told,) = mistakes(f"name: demo\ndata: {data}\nmodel: {{name: alexnet}}\n")
    assert told.startswith(f"f.yaml:2: {path}: ")
    assert all(word in told for word in words), told


WRONG_MODELS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown model": ("{name: alexnt}", "model.name", ("did you mean `alexnet`?", "package.module:callable")),
    "model without a name": ("{dropout: 0.1}", "model.name", ("is missing",)),
    "number": ("3", "model", ("given 3", "a mapping")),
    "unknown bare word": ("alexnt", "model.name", ("did you mean `alexnet`?",)),
    "unknown argument": ("{name: alexnet, droput: 0.1}", "model.droput", ("did you mean `dropout`?",)),
    "argument of a wrong type": ("{name: alexnet, compact: 1}", "model.compact", ("given 1", "true or false")),
    "argument that is no number": ("{name: alexnet, dropout: .nan}", "model.dropout", ("finite",)),
    "callable without a module": ("{name: ':tiny'}", "model.name", ("package.module:callable",)),
    "no number in a model of one's own": ("{name: 'a:b', widths: [1, .inf]}", "model.widths", ("finite",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_mistakes_about_the_model_are_told(case: str) -> None:
    model, path, words = WRONG_MODELS[case]
    (told,) = mistakes(f"name: demo\ndata: {{name: digits}}\nmodel: {model}\n")
    assert told.startswith(f"f.yaml:3: {path}: ")
    assert all(word in told for word in words), told


NOT_A_FILE: dict[str, tuple[str, str, str]] = {
    "nothing": ("", "f.yaml", "a mapping"),
    "comments only": ("# hello\n", "f.yaml", "a mapping"),
    "a list": ("- name: demo\n", "f.yaml:1", "a mapping"),
    "a word": ("hello\n", "f.yaml:1", "a mapping"),
    "an open bracket": (BASE + "search: {space: {lr: [1, 2}\n", "f.yaml:4", "not YAML"),
    "an open quote": (BASE + "description: 'never closed\n", "f.yaml:5", "not YAML"),
    "a tab": ("name: demo\n\tdata: 1\n", "f.yaml:2", "indent with spaces, not with a tab"),
    "two documents": (BASE + "---\nname: other\n", "f.yaml:4", "another document"),
    "an unknown alias": (BASE + "train: *nowhere\n", "f.yaml:4", "undefined alias"),
    "a control character": (BASE + "description: a\0b\n", "f.yaml:4", "0x0000"),
    "an escape beyond all characters": (BASE + 'description: "\\UFFFFFFFF"\n', "f.yaml:4", "names no character"),
    "deep nesting": (BASE + "train: " + "[" * 2000 + "]" * 2000, "f.yaml", "nested too deeply"),
    "sixty levels": (BASE + "train: " + "[" * 60 + "]" * 60, "f.yaml", "nested too deeply"),
    "a list inside itself": (BASE + "train: &a [*a]\n", "f.yaml", "nested too deeply"),
    "an alias bomb": (
        BASE + "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n" for last, name in itertools.pairwise("abcdefghij")),
        "f.yaml", "more than 100,000 values",
    ),
    "aliases of a long text": (
        BASE + f"description: &a {'x' * 10_000}\nsearch: {{include: [{'*a, ' * 2000}]}}\n", "f.yaml", "10,000,000 characters",
    ),
    "aliases of a long key": (
        BASE + f"train: &a {{? {'x' * 10_000} : 1}}\nsearch: {{include: [{'*a, ' * 2000}]}}\n", "f.yaml",
        "10,000,000 characters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_A_FILE)
def test_what_is_no_experiment_at_all_is_one_mistake(case: str) -> None:
    text, place, word = NOT_A_FILE[case]
    (told,) = mistakes(text)
    assert told.startswith(place + ": "), told
    assert word in told


def test_a_sweep_that_began_before_a_rule_came_is_read_nevertheless() -> None:
    text = f"{BASE}search: {{space: {{beta2: [0.9, 0.99]}}}}\n"
    assert [mistake.split(": ")[1] for mistake in mistakes(text)] == ["search.space.beta2"]
    assert read_stored(text, "stored.yaml").search.space == {"beta2": [0.9, 0.99]}
    folder = f"{BASE}tracking: {{uri: mlruns}}\n"
    assert [mistake.split(": ")[1] for mistake in mistakes(folder)] == ["tracking.uri"]
    assert read_stored(folder, "stored.yaml").tracking.uri == "mlruns"
    with pytest.raises(ExperimentError, match="momentun"):
        read_stored(f"{BASE}search: {{space: {{momentun: [0.9]}}}}\n", "stored.yaml")


def test_a_loss_written_in_two_ways_is_one_for_an_objective() -> None:
    cells = "search: {space: {lr: [1]}, include: [{lr: 2, loss: {name: focal}}]}\n"
    text = f"objective: {{metric: val/loss, mode: min}}\ntrain: {{loss: focal}}\n{cells}"
    assert read(BASE + text).objective.metric == "val/loss"


def test_missing_sections_are_all_told() -> None:
    assert [mistake.split(": ")[1] for mistake in mistakes("description: hello\n")] == ["name", "data", "model"]


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_their_lines() -> None:
    told = mistakes(
        "name: demo\ndata:\n  name: digitz\n  image_size: 4\nmodel: {name: alexnet, droput: 0.1}\n"
        "train:\n  lr: fast\n  loss: hinge\n  lr: 0.1\nsearch:\n  method: tpe\n  space:\n    momentun: [0.9]\n    gamma: []\n"
        "pruning: {name: median, warmup: 1}\nserach: {}\n"
    )
    paths = [mistake.split(": ")[1] for mistake in told]
    assert paths == [
        "data.name", "data.image_size", "model.droput", "train.loss", "train.lr", "search", "search.space.momentun",
        "search.space.gamma", "pruning.warmup", "serach",
    ]  # fmt: skip
    lines = [int(re.match(r"f\.yaml:(\d+): ", mistake).group(1)) for mistake in told]  # type: ignore[union-attr]
    assert lines == sorted(lines)


def test_a_rule_about_one_setting_is_told_beside_a_mistake_in_another_whose_name_ends_alike() -> None:
    told = mistakes(
        "name: a\ndata: {name: digits}\nmodel: {name: one_hidden}\ntrain: {epochs: 5, warmup_epochs: 9, cycle_epochs: -1}\n"
    )
    assert {mistake.split(": ")[1] for mistake in told} == {"train.warmup_epochs", "train.cycle_epochs"}


WRONG_SETTINGS: dict[str, tuple[str, str, str]] = {
    "no value": ("train.lr", "--set train.lr: ", "--set PATH=VALUE"),
    "no path": ("=3", "--set =3: ", "--set PATH=VALUE"),
    "unknown path": ("train.lrr=0.1", "--set train.lrr: train.lrr: ", "did you mean `lr`?"),
    "unknown section": ("trian.lr=0.1", "--set trian.lr: trian: ", "did you mean `train`?"),
    "wrong type": ("train.lr=fast", "--set train.lr: train.lr: ", "a number"),
    "not YAML": ("train.lr=[1", "--set train.lr:1: ", "not YAML"),
    "unknown axis": ("search.space.lrr=[1]", "--set search.space.lrr: search.space.lrr: ", "unknown axis"),
    "bad value on an axis": ("search.space.lr=[0]", "--set search.space.lr: search.space.lr[0]: ", "more than 0"),
    "an argument's argument": ("model.dropout.rate=1", "--set model.dropout.rate: model.dropout: ", "a number"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_a_wrong_setting_is_told_as_the_user_wrote_it(case: str) -> None:
    setting, start, word = WRONG_SETTINGS[case]
    (told,) = mistakes(BASE, setting)
    assert told.startswith(start), told
    assert word in told


def test_the_file_of_a_database_may_have_a_space_in_its_name() -> None:
    assert (
        read(BASE + "tracking: {uri: 'sqlite:///my sweeps/mlflow.db'}\n").tracking.uri
        == "sqlite:///my sweeps/mlflow.db"
    )


def test_mistakes_of_the_file_and_of_settings_are_told_together() -> None:
    told = mistakes(BASE + "train: {gamma: 2}\n", "train.lr=fast", "nonsense")
    assert len(told) == 3
    assert {mistake.split(": ")[0] for mistake in told} == {"f.yaml:4", "--set train.lr", "--set nonsense"}


# What must hold for any file

ARBITRARY = settings(
    max_examples=max(200, settings().max_examples), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
KEYS = st.sampled_from(
    ["name", "data", "model", "train", "search", "pruning", "objective", "resources", "space", "exclude", "include",
     "linked", "seeds", "method", "trials", "lr", "momentum", "train.lr", "data.split", "data.augment", "model.name",
     "model.dropout", "split", "classes", "wrapped_pruner", "patience", "uniform", "int", "loss", "epochs", "metric"]
) | st.text(max_size=6)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["alexnet", "digits", "folder", "tpe", "cmaes", "grid", "patient", "official", "a:b", "1e-3", "<<"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def assert_read_or_explained(text: str, *settings_given: str) -> None:
    told, experiment = "", None
    try:
        experiment = read_experiment(text, "f.yaml", settings_given)
    except ExperimentError as error:
        told = str(error)
    if experiment is None:
        assert told.encode()  # there is something to print, and it can be printed
    else:
        assert read_experiment(write_experiment(experiment), "again.yaml") == experiment


@ARBITRARY
@given(st.text())
def test_any_text_is_read_or_explained(text: str) -> None:
    assert_read_or_explained(text)


@ARBITRARY
@given(st.text(alphabet="abc:[]{},&*!?|>-#'\"%@\\ \n\t0.1e~<"))
def test_anything_that_looks_like_yaml_is_read_or_explained(text: str) -> None:
    assert_read_or_explained(BASE + text)


@ARBITRARY
@given(VALUES)
def test_any_values_are_read_or_explained(value: Any) -> None:
    assert_read_or_explained(yaml.safe_dump(value))


@ARBITRARY
@given(
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.sampled_from(["", "search", "train", "pruning", "data", "model", "objective"]),
)
def test_any_values_beside_a_right_start_are_read_or_explained(values: dict[str, Any], section: str) -> None:
    base: dict[str, Any] = yaml.safe_load(BASE)
    changed = base | ({section: base.get(section, {}) | values} if section else values)
    assert_read_or_explained(yaml.safe_dump(changed))


@ARBITRARY
@given(st.lists(st.builds("{}={}".format, KEYS, VALUES.map(lambda value: yaml.safe_dump(value).strip())), max_size=3))
def test_any_settings_are_read_or_explained(given_settings: list[str]) -> None:
    assert_read_or_explained(BASE, *given_settings)


NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9 _.\-]{0,20}\Z")
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
EXPERIMENTS = st.builds(
    Experiment,
    name=NAMES,
    description=WORDS,
    data=st.builds(
        Data,
        name=st.sampled_from(["digits", "tiny-imagenet", "CIFAR10"]),
        root=st.none() | WORDS,
        classes=st.none() | st.integers(1, 9) | st.lists(WORDS, min_size=1).map(lambda names: (*sorted(names),)),
        split=st.just("official") | st.builds(Split, val=st.floats(0.01, 0.1), seed=st.integers(0, 99)),
        image_size=st.integers(8, 1024),
        augment=st.just(()) | st.just(("random_crop", named_of({"name": "hue", "strength": 0.2}))),
    ),
    model=st.builds(
        lambda arguments: named_of({"name": "my.nets:tiny", **arguments}),
        st.dictionaries(
            WORDS.filter(lambda word: word != "name"),
            st.none() | st.booleans() | st.integers(-(10**9), 10**9) | WORDS | st.floats(allow_nan=False, allow_infinity=False),
        ),
    ),
    train=st.builds(
        Train, lr=st.floats(1e-300, 1e300), weight_decay=st.floats(0, 1), gamma=st.floats(1e-9, 1), epochs=st.integers(1, 99),
        loss=st.just("focal") | st.just(named_of({"name": "focal", "gamma": 1.5})),
        class_weights=st.none() | st.just("balanced") | st.just((1.0, 2.5)) | st.just({"from_sweep": "other sweep"}),
    ),
)  # fmt: skip


@ARBITRARY
@given(EXPERIMENTS)
def test_an_experiment_reads_back_as_it_was_written(experiment: Experiment) -> None:
    assert read_experiment(write_experiment(experiment), "again.yaml") == experiment


def test_the_design_reads_back_as_it_was_written() -> None:
    experiment = read(DESIGN)
    assert read(yaml.safe_dump(to_plain(experiment))) == experiment
    assert read(write_experiment(experiment)) == experiment


@pytest.mark.parametrize("word", ["1e5", "no", "0o17", "1_000", "null", "~", "2026-11-21", "12:30", ".5", "<<", "="])
def test_names_that_look_like_something_else_stay_names(word: str) -> None:
    described = replace(read(DESIGN), description=word)
    assert read(write_experiment(described)).description == word


def test_the_schema_describes_the_design_and_refuses_what_the_reader_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    assert list(validator.iter_errors(yaml.safe_load(DESIGN))) == []
    assert (
        list(validator.iter_errors(to_plain(read(DESIGN)) | {"pruning": {"name": "median", "n_min_trials": 2}})) == []
    )
    wrong = yaml.safe_load(BASE) | {"serach": {}, "train": {"lr": "fast", "epochs": 0}}
    assert len(list(validator.iter_errors(wrong))) == 3


def test_a_bare_word_is_a_name_without_arguments() -> None:
    text = "name: a\ndata: {{name: digits}}\nmodel: {}\npruning: {}\n"
    bare, spelled_out = text.format("alexnet", "median"), text.format("{name: alexnet}", "{name: median}")
    assert read_experiment(bare, "f.yaml") == read_experiment(spelled_out, "f.yaml")
    assert read_experiment(spelled_out, "f.yaml", ["model=alexnet"]) == read_experiment(spelled_out, "f.yaml")
    compact = read_experiment(bare, "f.yaml", ["model.compact=true"])
    assert compact.model == named_of({"name": "alexnet", "compact": True})


@pytest.mark.parametrize(("setting", "path"), [("lr=0.5", "train.lr"), ("model.dropout=0.5", "model.dropout")])
def test_what_is_an_axis_is_not_set_beside_it(setting: str, path: str) -> None:
    text = "name: a\ndata: {name: digits}\nmodel: {name: alexnet}\n"
    text += "search: {space: {lr: [0.1, 0.2], model.dropout: [0, 0.1]}}\n"
    with pytest.raises(ExperimentError) as error:
        read_experiment(text, "f.yaml", [setting])
    assert [mistake.path for mistake in error.value.mistakes] == [path]
    assert "search.space." in str(error.value)
    instead = read_experiment(text, "f.yaml", ["search.space.lr=[0.5]", "momentum=0.5"])
    assert instead.train.momentum == 0.5


@pytest.mark.parametrize(
    ("axis", "setting"),
    [("model: [alexnet, vgg11]", "model.dropout=0.5"), ("data.split: [{train: 0.5}]", "data.split.seed=1")],
)
def test_a_part_of_what_is_an_axis_is_not_set_beside_it(axis: str, setting: str) -> None:
    """It would have no effect: each value of the axis takes the place of the whole."""
    text = f"name: a\ndata: {{name: digits}}\nmodel: {{name: alexnet}}\nsearch: {{space: {{{axis}}}}}\n"
    with pytest.raises(ExperimentError) as error:
        read_experiment(text, "f.yaml", [setting])
    (mistake,) = error.value.mistakes
    assert mistake.path == setting.partition("=")[0]
    name = axis.partition(":")[0]
    assert mistake.message == f"is part of `{name}`, an axis of the search; write --set 'search.space.{name}=[...]'"


def test_a_linked_axis_is_not_set_beside_it_either() -> None:
    told = mistakes(BASE + "search: {linked: [{lr: [0.1, 0.2], momentum: [0.9, 0.5]}]}\n", "lr=0.5")
    assert told == ["--set lr: train.lr: is an axis of the search; write --set 'search.linked=[...]'"]


def test_what_only_included_cells_change_is_set_for_the_others() -> None:
    text = BASE + "search: {include: [{lr: 0.05}, {model: vgg11}]}\n"
    experiment = read(text, "lr=0.5", "model.dropout=0.25")
    assert experiment.train.lr == 0.5
    assert to_plain(experiment.model) == {"name": "alexnet", "dropout": 0.25}


def calls(axes: int) -> int:
    """How many functions are called as a file of so many axes and as many excluded values is read."""
    space = ", ".join(f"model.a{number}: [1, 2]" for number in range(axes))
    exclude = ", ".join(f"{{model.a{number}: 1}}" for number in range(axes))
    text = (
        "{name: many, data: {name: digits}, model: {name: 'package.module:net'}, "
        f"search: {{method: random, trials: 1, space: {{{space}}}, exclude: [{exclude}]}}}}"
    )
    profile = cProfile.Profile()
    assert len(profile.runcall(read_experiment, text, "many.yaml").search.exclude) == axes
    return sum(entry.callcount for entry in profile.getstats())


def test_a_file_of_twice_the_axes_and_excludes_is_read_with_twice_the_work() -> None:
    assert calls(200) < 2.5 * calls(100)
