"""The experiment file as frozen values. `sweeper.reading` turns text into them; nothing downstream re-checks.

The defaults here are the defaults of the file. Every class forbids keys it does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Pixels = Annotated[int, Field(ge=8, le=1024)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,99}$")]
INF = float("inf")
SCALARS = (str, int, float, type(None))
DATASET_NAMES = ("tiny-imagenet", "tiny-image10", "digits", "folder")
PRUNERS: dict[str, dict[str, tuple[type, ...]]] = {  # Optuna's, by their own arguments; a test holds them to Optuna
    "median": {"n_startup_trials": (int,), "n_warmup_steps": (int,), "interval_steps": (int,), "n_min_trials": (int,)},
    "percentile": {
        "percentile": (float, int), "n_startup_trials": (int,), "n_warmup_steps": (int,), "interval_steps": (int,),
        "n_min_trials": (int,),
    },
    "hyperband": {
        "min_resource": (int,), "max_resource": (int, str), "reduction_factor": (int,), "bootstrap_count": (int,),
    },
    "successive_halving": {
        "min_resource": (int, str), "reduction_factor": (int,), "min_early_stopping_rate": (int,),
        "bootstrap_count": (int,),
    },
    "threshold": {
        "lower": (float, int), "upper": (float, int), "n_warmup_steps": (int,), "interval_steps": (int,),
    },
    "patient": {"wrapped_pruner": (dict, type(None)), "patience": (int,), "min_delta": (float, int)},
    "wilcoxon": {"p_threshold": (float, int), "n_startup_steps": (int,)},
    "nop": {},
}  # fmt: skip
PRUNER_LIMITS: dict[str, tuple[float, float]] = {  # inclusive
    "n_startup_trials": (0, INF), "n_warmup_steps": (0, INF), "interval_steps": (1, INF), "n_min_trials": (1, INF),
    "percentile": (0, 100), "min_resource": (1, INF), "max_resource": (1, INF), "reduction_factor": (2, INF),
    "bootstrap_count": (0, INF), "min_early_stopping_rate": (0, INF), "patience": (0, INF), "min_delta": (0, INF),
    "p_threshold": (0, 1), "n_startup_steps": (0, INF),
}  # fmt: skip
REQUIRED_BY_PRUNER = {"percentile": ("percentile",), "patient": ("wrapped_pruner", "patience")}
Method = Literal["grid", "random", "tpe", "qmc", "cmaes", "gp"]
METHODS = get_args(Method)
AUGMENTATIONS: dict[str, dict[str, tuple[float, float, float]]] = {  # argument: default, least and most
    "random_crop": {},
    "horizontal_flip": {},
    "brightness": {"strength": (0.4, 0, 1)},
    "contrast": {"strength": (0.4, 0, 1)},
    "saturation": {"strength": (0.4, 0, 1)},
    "hue": {"strength": (0.1, 0, 0.5)},
    "random_erasing": {"probability": (0.5, 0, 1)},
    "mixup": {"alpha": (0.2, 0.01, 100)},
    "cutmix": {"alpha": (1.0, 0.01, 100)},
}


class Strict:
    """What pydantic is told about each class of the file: no unknown keys, no coercion."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Split(Strict):
    """Shares of the labelled training images; `test: official` takes the source's own labelled images as the test set."""

    train: Fraction = 0.8
    val: Fraction = 0.1
    test: Fraction | Literal["official"] = 0.1
    seed: Seed = 0


@dataclass(frozen=True)
class _Named(Strict):
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.arguments)))


def _side_by_side(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    arguments = {key: value for key, value in given.items() if key != "name"}
    return {"arguments": arguments, **({"name": given["name"]} if "name" in given else {})}


def _spelled_out(given: Any) -> Any:
    """A bare word as a name without arguments."""
    if not isinstance(given, str | dict):
        raise ValueError("a name, or a mapping: {name: ..., and its arguments}")
    return _side_by_side({"name": given} if isinstance(given, str) else given)


NAMED_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
WORD_SCHEMA = {"anyOf": [{"type": "string"}, NAMED_SCHEMA]}
Named = Annotated[_Named, BeforeValidator(_spelled_out), WithJsonSchema(WORD_SCHEMA)]
"""A name and its keyword arguments, written side by side in the file: `{name: alexnet, dropout: 0.3}`; or the name alone."""


def bare(given: Any) -> Any:
    """A name without arguments as the bare word, so that both ways to write it are one setting; all else as it is."""
    if isinstance(given, Mapping) and list(given) == ["name"] and isinstance(given["name"], str):
        return given["name"]
    return given


def _word(given: Any) -> Any:
    return _side_by_side(bare(given))


Word = Annotated[str | _Named, BeforeValidator(_word), WithJsonSchema(WORD_SCHEMA)]
"""A name, alone or with its keyword arguments: `focal` or `{name: focal, gamma: 2}`."""


DATA_ACCESS = ("root", "on_corrupt")
"""Settings of `data` that say how to get at the images and not which they are: no axes, in no trial's config."""
CHOOSING_IMAGES = (("data", "name"), ("data", "classes"))
"""The settings that say which images there are."""


@dataclass(frozen=True)
class Data(Strict):
    name: str
    root: str | None = None
    on_corrupt: Literal["fail", "skip"] = "fail"
    classes: Count | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    split: Split | Literal["official"] = Split()
    image_size: Pixels = 64
    crop_size: Pixels | None = None
    augment: tuple[Word, ...] = ("random_crop", "horizontal_flip")
    normalisation: Literal["imagenet", "dataset"] = "imagenet"
    evaluation: Literal["center", "ten_crop"] = "center"

    def taken_as(self, other: "Data") -> "Data":
        """This data set, with `other`'s settings of how its images are read: `root` and `on_corrupt`."""
        return replace(self, **{name: getattr(other, name) for name in DATA_ACCESS})

    @property
    def input_size(self) -> int:
        """Pixels a side of what the network sees."""
        return self.crop_size or self.image_size


BEGIN_LOW = ("one_cycle", "cyclic")
"""Schedules that rise by themselves, so that no warm-up comes before them."""
Weights = Annotated[tuple[Positive, ...], Field(min_length=1)]
WeightsByName = Annotated[dict[str, Positive | str], Field(min_length=1)]
FROM_SWEEP = "from_sweep"


@dataclass(frozen=True)
class Train(Strict):
    epochs: Count = 35
    batch_size: Count = 12
    loss: Word = "cross_entropy"
    class_weights: Literal["balanced"] | Weights | WeightsByName | None = None
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 0.0
    nesterov: bool = False
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    schedule: Literal["constant", "step", "plateau", "cosine", "one_cycle", "cyclic"] = "step"
    step_size: Count = 7
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_lr: NotNegative = 0.0
    patience: Annotated[int, Field(ge=0, lt=2**31)] = 5
    stop_after: Count | None = None
    cycle_epochs: Count = 10
    warmup_epochs: Annotated[int, Field(ge=0, lt=2**31)] = 0
    clip_norm: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


@dataclass(frozen=True)
class Search(Strict):
    method: Method = "grid"
    trials: Count | None = None
    space: dict[str, Any] = field(default_factory=dict)
    exclude: tuple[dict[str, Any], ...] = ()
    include: tuple[dict[str, Any], ...] = ()
    linked: tuple[dict[str, Any], ...] = ()
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)


@dataclass(frozen=True)
class Objective(Strict):
    metric: Literal["val/top1", "val/top5", "val/loss", "val/ece", "train/loss", "train/top1"] = "val/top1"
    mode: Literal["max", "min"] = "max"

    def score(self, value: float) -> float:
        """A value such that of two the larger is the better."""
        return value if self.mode == "max" else -value


@dataclass(frozen=True)
class Resources(Strict):
    cpus_per_trial: Count | Literal["auto"] = 1
    gpus_per_trial: NotNegative | Literal["auto"] = "auto"
    max_concurrent: Count | None = None
    max_retries: Annotated[int, Field(ge=0)] = 2


@dataclass(frozen=True)
class Checkpoint(Strict):
    every_seconds: NotNegative = 30.0


@dataclass(frozen=True)
class Artifacts(Strict):
    models: Literal["best", "all", "none"] = "best"
    histograms: Count | None = None


@dataclass(frozen=True)
class Tracking(Strict):
    uri: str | None = None


@dataclass(frozen=True)
class Experiment(Strict):
    """One experiment file, resolved."""

    name: Name
    data: Data
    model: Named
    description: str = ""
    train: Train = Train()
    search: Search = Search()
    objective: Objective = Objective()
    pruning: Named | None = None
    resources: Resources = Resources()
    checkpoint: Checkpoint = Checkpoint()
    artifacts: Artifacts = Artifacts()
    tracking: Tracking = Tracking()

    @cached_property
    def plain_settings(self) -> dict[str, Any]:
        """The file's own form of the sections that a cell changes; made once, for a search asks ten thousand times."""
        return {part: to_plain(getattr(self, part)) for part in ("data", "model", "train")}


@dataclass(frozen=True)
class Settings(Strict):
    """What determines one trial's result, besides the content of its data set."""

    data: Data
    model: Named
    train: Train
    seed: Seed


def named_of(plain: Mapping[str, Any]) -> Named:
    """A name with its arguments from the file's form."""
    return _Named(plain["name"], {key: value for key, value in plain.items() if key != "name"})


def name_and_arguments(word: "str | _Named") -> tuple[str, dict[str, Any]]:
    """What a `Word` names, and the keyword arguments given with it."""
    return (word, {}) if isinstance(word, str) else (word.name, word.arguments)


def to_plain(value: Any) -> Any:
    """The file's own form of an experiment or of a part of it: nested dicts, lists and scalars."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, _Named):
        return {"name": value.name, **value.arguments}
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
