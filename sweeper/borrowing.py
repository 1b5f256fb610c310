"""Class weights from another sweep: `{from_sweep: NAME}` becomes numbers before any trial is planned."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from sweeper.best import best_record
from sweeper.class_weights import weights_of
from sweeper.data import default_cache, prepare
from sweeper.experiment import CHOOSING_IMAGES, FROM_SWEEP, Experiment, to_plain
from sweeper.reading import read_stored
from sweeper.reading.mistakes import unknown
from sweeper.space import Space
from sweeper.space.setting import setting_steps
from sweeper.store import Sweep, sweeps

FILE = "class_weights.json"
DIGITS = 6
ByClass = dict[str, float]


class BorrowError(ValueError):
    """A sweep that has no class weights to give."""


def borrowed(experiment: Experiment, sweep: Sweep) -> dict[str, ByClass]:
    """The class weights that the experiment takes from other sweeps, by their names; those that this sweep has kept stay.

    Raises BorrowError when one has none to give.
    """
    kept, names = _kept(sweep), set(_named(_plain_weights(experiment)))
    return {name: kept.get(name) or weights_from(name, sweep.storage.url) for name in sorted(names)}


def keep(weights: Mapping[str, ByClass], sweep: Sweep) -> None:
    """Write what `borrowed` found into the sweep's folder, so that it stays when the other sweeps go on."""
    kept = _kept(sweep)
    if weights.keys() - kept.keys():
        sweep.folder.write_json(FILE, {**kept, **weights})


def _kept(sweep: Sweep) -> dict[str, ByClass]:
    return dict(sweep.folder.read_json(FILE)) if sweep.folder.exists(FILE) else {}


def with_numbers(experiment: Experiment, weights: Mapping[str, ByClass]) -> Experiment:
    """The experiment with every `{from_sweep: NAME}` as weights by class.

    Raises DataError when weights are of other classes than the images.
    """
    if weights:
        experiment = _replaced(experiment, weights)
    _check_classes(experiment)
    return experiment


def weights_from(name: str, storage: str) -> ByClass:
    """2 - a class's validation accuracy in the sweep's best complete trial, divided by the mean of these."""
    asked = f"train.class_weights: {{{FROM_SWEEP}: {name}}}"
    known = [sweep.name for sweep in sweeps(storage)]
    if name not in known:
        told = unknown(name, known, "sweep") if known else "there are no sweeps"
        raise BorrowError(f"{asked}: {told}, in {storage}")
    sweep = Sweep(storage, name)
    best = best_record(sweep.records(), read_stored(sweep.experiment(), name).objective)
    if best is None:
        raise BorrowError(f"{asked}: no trial of {name} is complete yet; run it first")
    from sweeper.results import per_class_table  # and pandas, only where weights are asked for

    table = per_class_table(sweep, [best]).query("split == 'val'").dropna(subset=["top1"])
    if table.empty:
        raise BorrowError(f"{asked}: its best trial, {best.trial.key}, has no validation rows in per_class.csv")
    weight_K = 2 - table["top1"]
    return dict(zip(table["class"], (weight_K / weight_K.mean()).round(DIGITS).tolist(), strict=True))


def _plain_weights(experiment: Experiment) -> list[Any]:
    """Class weights wherever the file may give them: in `train`, on axes and in cells."""
    search = to_plain(experiment.search)
    parts = [search["space"], *search["linked"], *search["include"], *search["exclude"]]
    on_axes = [value for part in parts for name, value in part.items() if _is_ours(name)]
    return [to_plain(experiment.train.class_weights), *on_axes]


def _is_ours(name: str) -> bool:
    return setting_steps(name) == ("train", "class_weights")


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and isinstance(value.get(FROM_SWEEP), str):
        yield value[FROM_SWEEP]
    for item in value if isinstance(value, list) else ():
        yield from _named(item)


def _replaced(experiment: Experiment, found: Mapping[str, ByClass]) -> Experiment:
    def numbers(value: Any) -> Any:
        if isinstance(value, Mapping) and value.get(FROM_SWEEP) in found:
            return found[value[FROM_SWEEP]]
        return [numbers(item) for item in value] if isinstance(value, list) else value

    plain = to_plain(experiment)
    plain["train"]["class_weights"] = numbers(plain["train"]["class_weights"])
    search = plain["search"]
    for part in (search["space"], *search["linked"], *search["include"], *search["exclude"]):
        _change(part, numbers)
    return TypeAdapter(Experiment).validate_json(json.dumps(plain))


def _change(part: dict[str, Any], numbers: Callable[[Any], Any]) -> None:
    for name in part:
        if _is_ours(name):
            part[name] = numbers(part[name])


def _check_classes(experiment: Experiment) -> None:
    """Tell weights of other classes before a trial fails of them; not when axes change which images there are."""
    is_moving = any(setting_steps(name)[:2] in CHOOSING_IMAGES for name in Space.of(experiment.search).names)
    given = [one for value in _plain_weights(experiment) for one in _leaves(value)]
    if is_moving or not given:
        return
    dataset = prepare(experiment.data, default_cache())
    for weights in given:
        weights_of(weights, dataset)


def _leaves(value: Any) -> Iterator[Any]:
    """The weights themselves: mappings and lists of numbers, alone or as the values of an axis."""
    if isinstance(value, Mapping) or (isinstance(value, list) and value and isinstance(value[0], int | float)):
        yield value
    else:
        for item in value if isinstance(value, list) else ():
            yield from _leaves(item)
