"""What `run` would do, reckoned without running it."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from sweeper.data import Excluded, prepare_at, told_excluded
from sweeper.data.split import split
from sweeper.experiment import Experiment, Settings, to_plain
from sweeper.launch import Sweeping
from sweeper.launch.share import share_of
from sweeper.progress import duration
from sweeper.space import Space, setting_steps
from sweeper.store import Machine, Sweep
from sweeper.training.estimate import Cost, measure
from sweeper.training.machine import decide
from sweeper.trial import TrialState, canonical_json, settings_for

MAX_MEASURED = 12
COSTLY = ("batch_size", "epochs", "optimizer", "precision", "ema")


class PlanError(ValueError):
    """A model that cannot take a step."""


@dataclass(frozen=True)
class Model:
    """A distinct model at a batch size and image size, how many trials of it are left, and what it costs."""

    model: str
    batch_size: int
    image_size: int
    trials_left: int
    cost: Cost | None


@dataclass(frozen=True)
class Plan:
    """`seconds` is for the trials left, without pruning, `at_once` side by side; None when a cost is unknown."""

    name: str
    trials: int
    ended: dict[TrialState, int]
    at_once: int
    models: tuple[Model, ...]
    seconds: float | None
    excluded: tuple[Excluded, ...]

    @property
    def left(self) -> int:
        return self.trials - sum(self.ended.values())

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "left": self.left, "excluded": [one._asdict() for one in self.excluded]}


def reckon(sweep: Sweep, experiment: Experiment) -> Plan:
    """Look at the folder and the data, and time a few steps of each distinct model; the data are prepared on the way."""
    sweeping = Sweeping.of(sweep, experiment)
    search = sweeping.search(1)
    ended = Counter(
        r.state for r in sweeping.records if r.trial.key in search.known and r.result and not sweeping.goes_on(r)
    )
    left = list(sweeping.settings_left()) if experiment.search.method == "grid" and _differ(experiment) else []
    missing = search.total - ended.total() - len(left)
    left += [settings_for(experiment, {}, experiment.search.seeds[0])] * missing
    groups: dict[tuple[str, int, int], list[Settings]] = {}
    for settings in left:
        model = canonical_json(to_plain(settings.model))
        groups.setdefault((model, settings.train.batch_size, settings.data.input_size), []).append(settings)
    share = share_of(sweeping)
    at_once, machine = share.fits_here(), decide(share.device, share.cpus, 1)
    costs = {key: _cost(group[0], experiment, machine) for key, group in list(groups.items())[:MAX_MEASURED]}
    models = tuple(Model(*key, len(group), costs.get(key)) for key, group in groups.items())
    seconds = _seconds(groups, costs, experiment, at_once)
    return Plan(experiment.name, search.total, dict(ended), at_once, models, seconds, sweeping.excluded())


def _differ(experiment: Experiment) -> bool:
    """Whether an axis changes what a trial costs. A grid of 10,000 cells takes seconds to walk."""
    steps = [setting_steps(axis) for axis in Space.of(experiment.search).names]
    return any(section in ("model", "data") or name in COSTLY for section, name, *_ in steps)


def _cost(settings: Settings, experiment: Experiment, machine: Machine) -> Cost:
    dataset = prepare_at(experiment.data, settings.data)
    indices = split(dataset, settings.data.split)
    try:
        return measure(settings, dataset, indices, machine)
    except Exception as error:  # whatever a model raises: here it is the user's to see, and nothing is lost
        told = f"{type(error).__name__}: {error}"
        raise PlanError(f"model {canonical_json(to_plain(settings.model))} cannot be trained: {told}") from error


def _seconds(
    groups: dict[tuple[str, int, int], list[Settings]], costs: dict[Any, Cost], experiment: Experiment, at_once: int
) -> float | None:
    if set(groups) - set(costs):
        return None
    total = 0.0
    for key, group in groups.items():
        dataset = prepare_at(experiment.data, group[0].data)
        images = len(split(dataset, group[0].data.split).train_N)
        total += sum(settings.train.epochs * images for settings in group) / costs[key].images_per_second
    return total / at_once


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """The plan for people, on stdout."""
    console = console or Console(highlight=False, soft_wrap=True)
    ended = ", ".join(f"{count} {state}" for state, count in plan.ended.items())
    console.print(f"{plan.name}: {plan.trials} trials, {plan.left} to run{f' ({ended} already)' if ended else ''}")
    for model in plan.models:
        console.print(
            f"  {model.trials_left} x {model.model}, batch {model.batch_size}, {model.image_size} px", markup=False
        )
        if model.cost:
            console.print(
                f"      {model.cost.parameters:,} parameters, {model.cost.gflop_per_image:.3g} GFLOP an image, "
                f"{model.cost.training_mib:,.0f} MiB of weights in training, {model.cost.images_per_second:,.0f} images/s"
            )
    if plan.excluded:
        console.print(told_excluded(plan.excluded), markup=False)
    if plan.seconds is not None and plan.left:
        console.print(f"about {duration(plan.seconds)} of training here, {plan.at_once} trials at once, before pruning")
