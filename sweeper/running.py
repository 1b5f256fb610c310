"""`sweeper run`, from an experiment to an exit code: the parts put together."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from rich.console import Console

from sweeper.borrowing import ByClass, borrowed, keep, with_numbers
from sweeper.data import told_excluded, told_passed_over
from sweeper.exit_codes import FAILED, NOT_PUBLISHED
from sweeper.experiment import Experiment
from sweeper.launch import Stop, Sweeping, import_ray, run
from sweeper.launch.joining import check_answers
from sweeper.launch.leaving_out import told_others
from sweeper.launch.models import check_models
from sweeper.launch.shipping import user_models
from sweeper.launch.splits import check_splits
from sweeper.progress import View
from sweeper.provenance import note_code
from sweeper.publishing import DRAWING, finish, publish
from sweeper.search import Search
from sweeper.store import Record, Sweep
from sweeper.system.apart import Apart
from sweeper.system.stopping import Stopped, Stopping
from sweeper.system.stopping import leave as end
from sweeper.tracking import Publisher, is_published, set_up, tracking_uri
from sweeper.trial import TrialState

RETRY = " --retry-failed"


class Ended(NamedTuple):
    """The exit code of the contract, and the trials as they now are; None when the sweep was stopped."""

    code: int
    records: Sequence[Record] | None = None


class Way(NamedTuple):
    """Where trials run and are published, and the command that goes on with them there."""

    executor: str
    address: str | None
    uri: str
    again: str


def run_sweep(
    sweep: Sweep,
    experiment: Experiment,
    console: Console,
    executor: str = "ray",
    address: str | None = None,
    retry_failed: bool = False,
    stopping: Stopping | None = None,
) -> Ended:
    """Run what is left of a sweep, and publish it."""
    with ExitStack() as at_last, sweep.lock(console.print):
        if sweep.folder.exists("sweep.json"):
            sweep.identity()  # damaged, it is told before anything trains
        sweep.folder.remove_torn()
        weights = borrowed(experiment, sweep)
        experiment = with_numbers(experiment, weights)
        sweeping = Sweeping.of(sweep, experiment, retry_failed)
        sweeping = replace(sweeping, note=partial(_note, sweeping, weights, console))
        again = sweep.command("resume", _given(executor, address))
        way = Way(executor, address, tracking_uri(None, experiment, sweep.storage.url), again)
        search = sweeping.search(1)
        if search.is_exhausted:
            _tell_others(sweeping, search, console)
            _keep(sweeping, search, weights)
            records = sweeping.own(search)
            counts = Counter(record.state for record in records)
            console.print(f"nothing to run: {_told(counts)} in {sweep.folder.url}")
            _tell_failed(counts, again, console)
            is_done = is_published(sweep, sweeping.records, way.uri)
            unpublished = [] if is_done else publish(sweep, experiment, sweeping.records, way.uri, console, is_new=True)
            return Ended(_code(counts, unpublished), records)
        return _run(sweeping, search, weights, way, console, stopping or Stopping(), at_last)


def _given(executor: str, address: str | None) -> dict[str, str | None]:
    """What a command was told of where trials run, for the command that goes on."""
    return {"--executor": None if executor == "ray" else executor, "--address": address}


def _tell_others(sweeping: Sweeping, search: Search, console: Console) -> None:
    if told := told_others(sweeping, search):
        console.print(told, markup=False)


def _run(
    sweeping: Sweeping,
    search: Search,
    weights: Mapping[str, ByClass],
    way: Way,
    console: Console,
    stopping: Stopping,
    at_last: ExitStack,
) -> Ended:
    sweep, experiment = sweeping.sweep, sweeping.experiment
    apart = _imported(sweeping, way, at_last)
    check_splits(sweeping)
    check_models(sweeping, apart)
    _tell_beforehand(sweeping, search, console)
    publisher = Publisher(way.uri, sweep, experiment, tell=partial(console.print, style="yellow"))
    ended = Counter(record.state for record in sweeping.own(search) if record.result and not sweeping.goes_on(record))
    console.print(f"{experiment.name}: {search.total} trials, {ended.total()} ended already; in {sweep.folder.url}")
    try:
        with View(console, experiment, search.total, ended) as view:
            stop = run(sweeping, way.executor, way.address, [view, publisher], console.print, stopping, apart)
        if stop is None:
            everything = sweep.all_records()
            unpublished = finish(publisher, sweep, experiment, everything, console, is_new=True, call=apart)
            records = sweep.asked_for(everything)
            counts = Counter(record.state for record in records)
            _tell_failed(counts, way.again, console)
            return Ended(_code(counts, unpublished), records)
    except Stopped:
        _keep(sweeping, search, weights)  # nothing has refused it: `resume` is to find it
        if sweeping.records:
            publisher.start()  # a run that was killed may have left some RUNNING
        stop = Stop(stopping.code, None, 0)
    except BaseException:
        publisher.leave()
        raise
    _tell_stopped(stop, f"{way.again}{RETRY if sweeping.retry_failed else ''}", console)
    publisher.leave()
    code = stop.code or FAILED
    if stop.has_lost_head:
        at_last.callback(end, code)
    return Ended(code)


def _imported(sweeping: Sweeping, way: Way, at_last: ExitStack) -> Apart:
    """Import what running takes, side by side where there is a process apart. Raises ClusterError where no cluster answers."""
    if way.executor == "ray" and way.address:
        check_answers(way.address)
    set_up()
    here = way.executor == "inline" or "torch" in sys.modules or bool(user_models(sweeping.experiment))  # now or soon
    apart = at_last.enter_context(Apart(is_here=here, rest=DRAWING))
    if way.executor == "ray":
        apart.begin("torch")
        import_ray(way.address)  # meanwhile
    return apart


def _tell_beforehand(sweeping: Sweeping, search: Search, console: Console) -> None:
    """What the person should know of the images and of the folder before anything trains."""
    if passed_over := sweeping.passed_over():
        console.print(told_passed_over(passed_over), markup=False)
    for told in sweeping.cautions():
        console.print(told, markup=False)
    _tell_others(sweeping, search, console)


def _tell_stopped(stop: Stop, again: str, console: Console) -> None:
    lost = f"; what {stop.cut_off} of the trials did since the last checkpoint is done again"
    kept = lost if stop.cut_off else "; everything is saved"
    if stop.trouble:
        kept = "; what is saved stays"
        console.print(stop.trouble, style="red", markup=False)
    console.print(f"stopped{kept}. Go on with: {again}")


def _keep(sweeping: Sweeping, search: Search, weights: Mapping[str, ByClass]) -> None:
    """Make this the folder's experiment; first its weights, which are numbers there and borrowed in the user's file."""
    keep(weights, sweeping.sweep)
    sweeping.keep(search)


def _note(sweeping: Sweeping, weights: Mapping[str, ByClass], console: Console) -> None:
    """What is written into the folder once nothing keeps the sweep from running, beside the experiment; and told."""
    sweeping.sweep.identity()
    keep(weights, sweeping.sweep)
    if other := note_code(sweeping.sweep):
        console.print(other, markup=False)
    _note_excluded(sweeping, console)


def _note_excluded(sweeping: Sweeping, console: Console) -> None:
    """Tell of the images that are left out, and keep the list of them in `excluded.csv`."""
    sweep, excluded = sweeping.sweep, sweeping.excluded()
    if not excluded:
        sweep.folder.remove("excluded.csv")
        return
    import pandas as pd

    from sweeper.exports import to_csv

    sweep.folder.write("excluded.csv", to_csv(pd.DataFrame(excluded, columns=["sample", "class", "reason"])).encode())
    console.print(f"{told_excluded(excluded)}; the list is {sweep.folder.told('excluded.csv')}", markup=False)


def _told(counts: Mapping[TrialState, int]) -> str:
    ended = sum(counts.values())
    return f"{ended} trials have ended ({', '.join(f'{number} {state}' for state, number in counts.items())})"


def _tell_failed(counts: Mapping[TrialState, int], again: str, console: Console) -> None:
    """What to do about trials that failed for good, which `run` leaves as they are, and about what a failing disk hid."""
    if left := sum(count for state, count in counts.items() if not state.is_finished):
        console.print(f"{left} of the trials did not end. Go on with: {again}", markup=False)
    if failed := counts.get(TrialState.FAILED):
        told = f"{failed} of the trials failed for good. With the cause gone, try them again: {again}{RETRY}"
        console.print(told, markup=False)


def _code(counts: Mapping[TrialState, int], unpublished: Sequence[str]) -> int:
    """The exit code of a sweep that ended: 3 when trials failed or did not end, 4 when not all was published, else 0."""
    if counts.get(TrialState.FAILED) or not all(state.is_finished for state in counts):
        return FAILED
    return NOT_PUBLISHED if unpublished else 0
