"""What `run` would do, reckoned without running it."""

import heapq
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sweeper import costs
from sweeper.causes import raised
from sweeper.costs import Cost, Measured
from sweeper.data import Excluded, default_cache, prepare_at, told_excluded, told_passed_over
from sweeper.data.split import split
from sweeper.experiment import Experiment, Settings, to_plain
from sweeper.launch import Sweeping
from sweeper.launch.leaving_out import told_others
from sweeper.launch.share import Share, share_of
from sweeper.launch.splits import check_splits
from sweeper.launch.sweeping import is_costly
from sweeper.models.code import code_of
from sweeper.space import Space
from sweeper.store import Sweep
from sweeper.text.durations import duration
from sweeper.text.terminal import Terminal
from sweeper.training.machine import decide, kind_here, processor
from sweeper.trial import TrialState, canonical_json, config_for, in_words, settings_for

MAX_MEASURED = 12
JUST_NOW = timedelta(minutes=1)
FREE = (  # of `train`, what changes nothing of a step's cost
    "epochs",
    "lr",
    "schedule",
    "step_size",
    "gamma",
    "min_lr",
    "patience",
    "stop_after",
    "cycle_epochs",
    "warmup_epochs",
)


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
    measured: str | None = None  # when, ISO 8601


@dataclass(frozen=True)
class Plan:
    """`seconds` is for the trials left, without pruning, `at_once` side by side at most; None when a cost is unknown.

    `parts` tells how many images each part of the data has, `cautions` what its split leaves unused or lacks; `passed_over`
    are files beside the images that are not taken for such. `left_out` tells of trials in the folder that `run` would leave out.
    """

    name: str
    trials: int
    ended: dict[TrialState, int]
    at_once: int
    models: tuple[Model, ...]
    seconds: float | None
    excluded: tuple[Excluded, ...]
    passed_over: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    left_out: str | None = None
    is_pruned: bool = False

    @property
    def left(self) -> int:
        return self.trials - sum(self.ended.values())

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "left": self.left, "excluded": [one._asdict() for one in self.excluded]}


def reckon(sweep: Sweep, experiment: Experiment, is_anew: bool = False) -> Plan:
    """Look at the folder and the data, and time a few steps of each distinct model; the data are prepared on the way.

    What was measured here within a day is taken as it is, unless `is_anew`. Raises PlanError, UnfitSettingsError.
    """
    sweeping = Sweeping.of(sweep, experiment, has_rows=False)  # nothing is judged here
    check_splits(sweeping)
    search = sweeping.search(1)
    ended = Counter(
        r.state for r in sweeping.records if r.trial.key in search.known and r.result and not sweeping.goes_on(r)
    )
    left = _left(sweeping, search.total - ended.total())
    groups: dict[tuple[str, int, int], list[Settings]] = {}
    for settings in left:
        model = canonical_json(to_plain(settings.model))
        groups.setdefault((model, settings.train.batch_size, settings.data.input_size), []).append(settings)
    share = share_of(sweeping)
    at_once = share.fits_here()
    firsts = [(key, group[0]) for key, group in groups.items()][:MAX_MEASURED]
    known = {key: _measured(first, sweeping, share, is_anew) for key, first in firsts}
    seconds = _seconds(groups, {key: measured.cost for key, measured in known.items()}, experiment, at_once)
    models = tuple(_model(key, len(group), known.get(key)) for key, group in groups.items())
    return Plan(
        experiment.name,
        search.total,
        dict(ended),
        at_once,
        models,
        seconds,
        sweeping.excluded(),
        sweeping.passed_over(),
        sweeping.cautions(),
        sweeping.parts(),
        told_others(sweeping, search),
        experiment.pruning is not None,
    )


def _model(key: tuple[str, int, int], trials_left: int, measured: Measured | None) -> Model:
    if measured is None:
        return Model(*key, trials_left, None)
    return Model(
        *key, trials_left, measured.cost, datetime.fromtimestamp(measured.at, UTC).isoformat(timespec="seconds")
    )


def _left(sweeping: Sweeping, trials: int) -> list[Settings]:
    """The settings of so many trials left; of a sampler's, what it may draw, as evenly as can be."""
    search = sweeping.experiment.search
    # A grid of 10,000 cells takes seconds to walk; where no axis changes what a trial costs, the file tells of all.
    left = list(sweeping.shapes(is_costly)) if any(map(is_costly, Space.of(search).names)) else []
    left = left or [settings_for(sweeping.experiment, {}, search.seeds[0])]
    if len(left) > trials:
        left = Random(0).sample(left, trials)  # noqa: S311 - nothing secret
    return [left[at % len(left)] for at in range(trials)]


def _measured(settings: Settings, sweeping: Sweeping, share: Share, is_anew: bool) -> Measured:
    config = config_for(settings, sweeping.fingerprints(settings.data), code_of(settings.model.name))
    train = {name: value for name, value in config["train"].items() if name not in FREE}
    asked = {**config, "train": train, "seed": None, "device": _device(share), "threads": share.cpus}
    known = None if is_anew else costs.recall(default_cache(), asked)
    return known or costs.keep(default_cache(), asked, _cost(settings, sweeping.experiment, share))


def _device(share: Share) -> str:
    if share.device == "cpu":
        return share.device
    return processor(share.device)


def _cost(settings: Settings, experiment: Experiment, share: Share) -> Cost:
    from sweeper.training.estimate import measure

    dataset = prepare_at(experiment.data, settings.data)
    indices, machine = split(dataset, settings.data.split), decide(kind_here(share.device), share.cpus, 1)
    try:
        return measure(settings, dataset, indices, machine)
    except (Exception, SystemExit) as error:  # whatever a model raises is the user's to see, and nothing is lost
        told = raised(error)
        raise PlanError(f"model {canonical_json(to_plain(settings.model))} cannot be trained: {told}") from error


def _seconds(
    groups: dict[tuple[str, int, int], list[Settings]], costs: dict[Any, Cost], experiment: Experiment, at_once: int
) -> float | None:
    if set(groups) - set(costs):
        return None
    trials = []
    for key, group in groups.items():
        dataset = prepare_at(experiment.data, group[0].data)
        images = len(split(dataset, group[0].data.split).train_N)
        trials += [settings.train.epochs * images / costs[key].images_per_second for settings in group]
    return side_by_side(trials, at_once)


def side_by_side(trials: Sequence[float], places: int) -> float:
    """How long trials of so many seconds take where each begins in the first of some places that is free."""
    ends = [0.0] * places
    for seconds in trials:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def print_plan(plan: Plan) -> None:
    """The plan for people, on stdout."""
    console = Terminal(highlight=False, soft_wrap=True)
    ended = ", ".join(f"{count} {state}" for state, count in plan.ended.items())
    console.print(f"{plan.name}: {plan.trials} trials, {plan.left} to run{f' ({ended} already)' if ended else ''}")
    if plan.left_out:
        console.print(plan.left_out, markup=False)
    for told in plan.parts:
        console.print(f"  {told}")
    for model in plan.models:
        console.print(
            f"  {model.trials_left} x {in_words(json.loads(model.model))}, batch {model.batch_size}, {model.image_size} px",
            markup=False,
        )
        if model.cost:
            console.print(
                f"      {model.cost.parameters:,} parameters, {model.cost.gflop_per_image:.3g} GFLOP an image, "
                f"{model.cost.training_mib:,.0f} MiB of weights in training, {model.cost.images_per_second:,.0f} images/s"
                f"{_told_when(model)}"
            )
    if plan.excluded:
        console.print(told_excluded(plan.excluded), markup=False)
    if plan.passed_over:
        console.print(told_passed_over(plan.passed_over), markup=False)
    for told in plan.cautions:
        console.print(told, markup=False)
    if plan.seconds is not None and plan.left:
        at_once = min(plan.at_once, plan.left)
        told = f"{at_once} trials" if at_once > 1 else "one trial"
        unpruned = ", before pruning" if plan.is_pruned else ""
        console.print(f"about {duration(plan.seconds)} of training here, {told} at once{unpruned}")


def _told_when(model: Model) -> str:
    """When a model was measured, if that was not just now."""
    age = datetime.now(UTC) - datetime.fromisoformat(model.measured or "")
    return f" (measured {duration(age.total_seconds())} ago)" if age > JUST_NOW else ""
