"""`sweeper run`, from an experiment to an exit code: the parts put together."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from rich.console import Console

import models
from sweeper.data import prepare_at, told_excluded
from sweeper.experiment import Experiment
from sweeper.launch import Sweeping, run, store_experiment
from sweeper.launch.models import check_models
from sweeper.progress import View
from sweeper.provenance import codes, environment, git_state, note_code
from sweeper.search import Search
from sweeper.store import Record, Sweep
from sweeper.tracking import Parent, Publisher, is_published, note_published, note_runs, run_pages, tracking_uri
from sweeper.tracking.names import redacted
from sweeper.trial import TrialState

if TYPE_CHECKING:
    import pandas as pd

    from dashboards.views import SweepTables
    from sweeper.tracking.logged_model import LoggedModel

FAILED, NOT_PUBLISHED = 3, 4


def run_sweep(
    sweep: Sweep,
    experiment: Experiment,
    console: Console,
    executor: str = "ray",
    address: str | None = None,
    uri: str | None = None,
    retry_failed: bool = False,
) -> int:
    """Run what is left of a sweep, publish it, and return the exit code of the contract."""
    with sweep.lock():
        sweeping = Sweeping.of(sweep, experiment, retry_failed)
        uri = tracking_uri(uri, experiment, sweep)
        search = sweeping.search(1)
        others = len(sweeping.records) - len(search.known)
        if others:
            console.print(
                f"{others} trials in {sweep.folder.path} are not of this file as it now is; they are kept, and left out"
            )
        store_experiment(sweep, experiment)
        if search.is_exhausted:
            counts = _counts(sweeping)
            console.print(f"nothing to run: {_told(counts)} in {sweep.folder.path}")
            if is_published(sweep, sweeping.records, uri):
                return _code(counts, [])
            return _code(counts, publish(sweep, experiment, uri, console))
        return _run(sweeping, search, uri, executor, address, console)


def _run(sweeping: Sweeping, search: Search, uri: str, executor: str, address: str | None, console: Console) -> int:
    sweep, experiment = sweeping.sweep, sweeping.experiment
    check_models(sweeping)
    note_code(sweep)
    _note_excluded(sweep, experiment, console)
    publisher = Publisher(uri, sweep, experiment)
    publisher.start()
    own = [record for record in sweeping.records if record.trial.key in search.known]
    ended = Counter(record.state for record in own if record.result and not sweeping.goes_on(record))
    console.print(f"{experiment.name}: {search.total} trials, {ended.total()} ended already; in {sweep.folder.path}")
    try:
        with View(console, experiment, search.total, ended) as view:
            stop = run(sweeping, executor, address, [view, publisher])
    except BaseException:
        _leave(publisher, sweep)
        raise
    if stop:
        _leave(publisher, sweep)
        lost = f"; {stop.cut_off} trials go on from their last checkpoints" if stop.cut_off else "; everything is saved"
        if stop.trouble:
            console.print(f"{stop.trouble}. Make room on that disk first.", style="red", markup=False)
        console.print(f"stopped{lost}. Go on with: {_command('resume', sweep)}")
        return 128 + stop.signal if stop.signal else FAILED
    unpublished = _finish(publisher, sweep, experiment, console, is_new=True)
    return _code(_counts(Sweeping.of(sweep, experiment)), unpublished)


def _note_excluded(sweep: Sweep, experiment: Experiment, console: Console) -> None:
    """Tell of the images that are left out, and keep the list of them in `excluded.csv`."""
    excluded = prepare_at(experiment.data, experiment.data).excluded
    if not excluded:
        sweep.folder.remove("excluded.csv")
        return
    import pandas as pd

    from sweeper.exports import to_csv

    sweep.folder.write("excluded.csv", to_csv(pd.DataFrame(excluded, columns=["sample", "class", "reason"])).encode())
    console.print(f"{told_excluded(excluded)}; the list is {sweep.folder.at('excluded.csv')}", markup=False)


def _command(name: str, sweep: Sweep) -> str:
    """A command on this sweep that works from any directory."""
    return shlex.join(["sweeper", name, sweep.name, "--storage", sweep.storage.url])


def _leave(publisher: Publisher, sweep: Sweep) -> None:
    """Publish, quickly, that the sweep has stopped: what is saved so far, and no run left RUNNING."""
    files = {"experiment.yaml": _without_passwords(sweep)} if sweep.exists() else {}
    publisher.finish(sweep.records(), Parent(files, {}, is_over=False))


def publish(sweep: Sweep, experiment: Experiment, uri: str, console: Console, register: str | None = None) -> list[str]:
    """Publish a folder as it is. Returns what could not be published."""
    publisher = Publisher(uri, sweep, experiment)
    publisher.start()
    return _finish(publisher, sweep, experiment, console, register)


def _finish(
    publisher: Publisher,
    sweep: Sweep,
    experiment: Experiment,
    console: Console,
    register: str | None = None,
    is_new: bool = False,
) -> list[str]:
    records = sweep.records()
    publisher.settle(records)  # so that the page has links to the runs
    note_runs(sweep, publisher)
    try:
        if is_new and (best := best_record(records, experiment)):
            draw_explained(sweep, best.trial.key, console)
        page = write_dashboard(sweep, experiment)
        parent = _parent(sweep, experiment, records, register)
    except BaseException:  # the trials are published all the same
        _leave(publisher, sweep)
        raise
    console.print(f"dashboard: {page}")
    _tell_undrawn(sweep, console)
    unpublished = publisher.finish(records, parent)
    if unpublished:
        console.print(
            f"not published: {len(unpublished)} of the runs ({publisher.trouble}). Nothing is lost; publish with: "
            f"{_command('sync', sweep)} --tracking-uri {redacted(publisher.uri)}",
            style="yellow",
        )
    else:
        note_published(sweep, records, publisher.uri)
        console.print(f"MLflow: {redacted(publisher.uri)}")
    return unpublished


def draw_explained(sweep: Sweep, key: str, console: Console) -> None:
    """Draw what a trial's predictions rest on and its kernels, when its model was kept; a failure is told."""
    if not sweep.trial(key).artifacts.exists("model.pt"):
        return
    try:
        from sweeper.explanation import draw_explanation

        draw_explanation(sweep, key)
    except Exception as error:  # whatever a user's network makes of gradients: the sweep is whole without the pictures
        told = " ".join(f"{type(error).__name__}: {error}".split())
        console.print(
            f"saliency and kernels of trial {key} could not be drawn ({told}); try: {_command('explain', sweep)}",
            style="yellow",
        )


def _tell_undrawn(sweep: Sweep, console: Console) -> None:
    """Say which trials lack pictures, and where the reasons are."""
    found = sweep.folder.sub("trials").glob("*/artifacts/pictures/errors.txt")
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        console.print(f"some pictures could not be drawn; the numbers are whole. Why: {found[0]}{more}", style="yellow")


def write_dashboard(sweep: Sweep, experiment: Experiment) -> str:
    """Write `dashboard.html` into the sweep folder; returns where it is."""
    from dashboards.page import render

    sweep.folder.write("dashboard.html", render([page_tables(sweep, experiment)]).encode())
    return sweep.folder.at("dashboard.html")


def page_tables(sweep: Sweep, experiment: Experiment, pictures: Sequence[str] = ()) -> "SweepTables":
    """All that the page shows of a sweep, with links to the runs that were published and more trials' pictures."""
    from sweeper.results import sweep_tables

    return replace(sweep_tables(sweep, experiment, facts(sweep, experiment), pictures), links=run_pages(sweep))


def facts(sweep: Sweep, experiment: Experiment) -> dict[str, str]:
    """What the dashboard's overview says besides the trials. Times are ISO 8601 with the offset of this machine."""
    machine, records = sweep.machine(), sweep.records()
    fingerprints = sorted({str(record.trial.config["data"].get("fingerprint", "")) for record in records})
    begun, ended = _span(records)
    known = {
        "data": f"{experiment.data.name}, {experiment.data.image_size} px",
        "split": _told_split(experiment),
        "data fingerprint": ", ".join(fingerprints),
        "model": experiment.model.name,
        "search": experiment.search.method,
        "pruning": experiment.pruning.name if experiment.pruning else "none",
        "began": begun,
        "last trial ended": ended,
        "machine": f"{machine.device} ({machine.processor}), {machine.precision}" if machine else "",
        "code": "; ".join(codes(sweep)),
    }
    return {name: value for name, value in known.items() if value}


def _told_split(experiment: Experiment) -> str:
    split = experiment.data.split
    if isinstance(split, str):
        return split
    test = split.test if isinstance(split.test, str) else f"{split.test:.4g}"
    return f"training {split.train:.4g}, validation {split.val:.4g}, test {test}, seed {split.seed}"


def _span(records: Sequence[Record]) -> tuple[str, str]:
    """When the first epoch began and the last trial ended; empty where nothing says."""
    rows = [row for record in records for row in record.history if "time" in row]
    began = min((row["time"] - row.get("epoch_seconds", 0.0) for row in rows), default=None)
    ended = max((record.result.ended for record in records if record.result and record.result.ended), default=None)
    told = [
        "" if at is None else datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds") for at in (began, ended)
    ]
    return told[0], told[1]


def _parent(sweep: Sweep, experiment: Experiment, records: Sequence[Record], register: str | None) -> Parent:
    from sweeper.exports import to_csv
    from sweeper.results import trials_table
    from sweeper.space import Space

    git, axes = git_state(), Space.of(experiment.search).names
    trials = trials_table(records, axes)
    fingerprints = sorted({str(record.trial.config["data"]["fingerprint"]) for record in records})
    files = {
        "experiment.yaml": _without_passwords(sweep),
        "results.csv": to_csv(trials).encode(),
        "dashboard.html": sweep.folder.read("dashboard.html"),
        "environment.txt": environment().encode(),
        "git.json": json.dumps(git, indent=1).encode(),
    }
    files |= {name: sweep.folder.read(name) for name in ("machine.json", "excluded.csv") if sweep.folder.exists(name)}
    best = best_record(records, experiment)
    tags = {
        "sweeper.data_fingerprint": ",".join(fingerprints),
        "sweeper.git_commit": git.get("commit", ""),
        "sweeper.best_trial": best.trial.key if best else "",
    }
    is_over = all(record.result for record in records)
    model = logged_model(sweep, best) if best else None
    return Parent(files, tags, is_over, model, register, {"leaderboard.json": leaderboard(trials, axes, experiment)})


def leaderboard(trials: "pd.DataFrame", axes: Sequence[str], experiment: Experiment) -> "pd.DataFrame":
    """One row a cell, best first, the objective right after the axes; without columns that are empty throughout."""
    from dashboards.cells import cells_table

    metric = experiment.objective.metric
    table = cells_table(trials, axes, metric, experiment.objective.mode).dropna(axis="columns", how="all")
    first = [name for name in (*axes, f"{metric}_mean", f"{metric}_std") if name in table.columns]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _without_passwords(sweep: Sweep) -> bytes:
    """The experiment as it may be shown: without a password in `tracking.uri`."""
    return redacted(sweep.experiment()).encode()


def best_record(records: Sequence[Record], experiment: Experiment) -> Record | None:
    """The complete trial that is best on the objective; the first of two that are equal."""
    metric, sign = experiment.objective.metric, 1 if experiment.objective.mode == "max" else -1
    complete = [r for r in records if r.state is TrialState.COMPLETE and r.result and metric in r.result.summary]
    return max(complete, key=lambda r: sign * r.result.summary[metric] if r.result else 0.0, default=None)


def logged_model(sweep: Sweep, best: Record) -> "LoggedModel | None":
    """The best trial's network with its preprocessing, ready for MLflow; None when its model was not kept."""
    folder = sweep.trial(best.trial.key).artifacts
    if not folder.exists("model.pt"):
        return None
    import numpy as np
    import torch

    from sweeper.tracking.logged_model import LoggedModel
    from sweeper.training.classifier import load_classifier

    classifier = load_classifier(folder)
    images_NCHW = np.zeros((2, 3, classifier.image_size, classifier.image_size), dtype=np.uint8)
    with torch.no_grad():
        logits_NK = classifier(torch.from_numpy(images_NCHW)).numpy()
    needs: tuple[str, ...] = (f"torch=={torch.__version__.partition('+')[0]}", f"numpy=={np.__version__}")
    name = best.trial.settings.model.name
    if name.startswith(models.from_torchvision.PREFIX):
        needs += (f"torchvision=={version('torchvision').partition('+')[0]}",)
    is_own = name in models.MODELS
    return LoggedModel(best.trial.key, classifier, images_NCHW, logits_NK, "pt2" if is_own else "pickle", needs)


def _counts(sweeping: Sweeping) -> Counter[TrialState]:
    """The states of the trials that the file, as it now is, asks for."""
    known = sweeping.search(1).known
    return Counter(record.state for record in sweeping.records if record.trial.key in known)


def _told(counts: Mapping[TrialState, int]) -> str:
    ended = sum(counts.values())
    return f"{ended} trials have ended ({', '.join(f'{number} {state}' for state, number in counts.items())})"


def _code(counts: Mapping[TrialState, int], unpublished: Sequence[str]) -> int:
    """The exit code of a sweep that ended: 3 when trials failed, 4 when not all was published, else 0."""
    if counts.get(TrialState.FAILED):
        return FAILED
    return NOT_PUBLISHED if unpublished else 0
