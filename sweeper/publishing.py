"""What a sweep gives MLflow when it ends or stops: the runs of its trials, and the parent run's files, tags and model."""

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from sweeper import models
from sweeper.best import best_record
from sweeper.experiment import Experiment, Named
from sweeper.launch.shipping import user_models
from sweeper.provenance import environment, git_state
from sweeper.showing import draw_explained, tell_undrawn, write_dashboard
from sweeper.store import Folder, Record, Sweep
from sweeper.system.apart import Call, directly
from sweeper.text.redaction import without_password, without_passwords
from sweeper.tracking import Parent, Publisher, note_published, note_runs
from sweeper.tracking.publisher import MODEL_SECONDS, STALL_SECONDS

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.tracking.logged_model import LoggedModel

TELL_SECONDS = 6.0
DRAWING = ("sweeper.explanation", "sweeper.dashboards.page", "sweeper.tracking.saved_model")  # what `finish` calls


def publish(
    sweep: Sweep,
    experiment: Experiment,
    everything: Sequence[Record],
    uri: str,
    console: Console,
    register: str | None = None,
    is_new: bool = False,
) -> list[str]:
    """Publish a folder as it is, with all its records. Returns what could not be published.

    The pictures of a new sweep's best trial are drawn first, unless they are there.
    """
    publisher = Publisher(uri, sweep, experiment)
    publisher.start()
    try:
        return finish(publisher, sweep, experiment, everything, console, register, is_new)
    except BaseException:  # the trials are published all the same
        publisher.leave()
        raise


def finish(
    publisher: Publisher,
    sweep: Sweep,
    experiment: Experiment,
    everything: Sequence[Record],
    console: Console,
    register: str | None = None,
    is_new: bool = False,
    call: Call = directly,
) -> list[str]:
    """End a publisher's work on all records: the runs, the page, the parent run. Returns what could not be published.

    The best trial's pictures, its model and the page are made by `call`.
    """
    records = sweep.asked_for(everything)
    with _told_if_slow(publisher, console):
        publisher.settle(everything)  # so that the page has links to the runs
    note_runs(sweep, publisher)
    if is_new and (best := best_record(records, experiment.objective)):
        sweep.trial(best.trial.key).remove_torn()
        draw_explained(sweep, best.trial.key, console, call)
    page = call(write_dashboard, sweep, experiment, records)
    parent = _parent(sweep, experiment, records, register, call)
    console.print(f"dashboard: {page}")
    tell_undrawn(sweep, console)
    with _told_if_slow(publisher, console):
        unpublished = publisher.finish(everything, parent)
    if unpublished:
        name = register if parent.model else None  # with none to register, that would be told again and again
        again = sweep.command("sync", {"--register": name, "--tracking-uri": without_password(publisher.uri)})
        console.print(
            f"not published: {len(unpublished)} of the runs ({publisher.trouble}). Nothing is lost; publish with: {again}",
            style="yellow",
        )
    else:
        note_published(sweep, everything, publisher.uri)
        console.print(f"MLflow: {without_password(publisher.uri)}")
    if publisher.registered:
        console.print(f"the best model is registered: {publisher.registered}")
    return unpublished


@contextmanager
def _told_if_slow(publisher: Publisher, console: Console) -> Iterator[None]:
    """Say what is waited for, when it takes more than a moment, and how long an answer is waited for."""
    told = f"publishing to MLflow's database {without_password(publisher.uri)}"
    if publisher.uri.startswith("http"):
        told = f"waiting for MLflow at {without_password(publisher.uri)}; if it hangs, {STALL_SECONDS:.0f} s"
        told += f", and {MODEL_SECONDS:.0f} s while it is to take the best model"
    timer = threading.Timer(TELL_SECONDS, console.print, (told,), {"style": "yellow"})
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _parent(
    sweep: Sweep, experiment: Experiment, records: Sequence[Record], register: str | None, call: Call
) -> Parent:
    from sweeper.exports import to_csv
    from sweeper.results import trials_table
    from sweeper.space import Space

    git, axes = git_state(), Space.of(experiment.search).names
    trials = trials_table(records, axes)
    fingerprints = sorted({record.trial.fingerprint for record in records})
    files = {
        "experiment.yaml": _without_passwords(sweep),
        "results.csv": to_csv(trials).encode(),
        "dashboard.html": sweep.folder.read("dashboard.html"),
        "environment.txt": environment().encode(),
        "git.json": json.dumps(git, indent=1).encode(),
    }
    files |= {name: sweep.folder.read(name) for name in ("machine.json", "excluded.csv") if sweep.folder.exists(name)}
    best = best_record(records, experiment.objective)
    tags = {
        "sweeper.data_fingerprint": ",".join(fingerprints),
        "sweeper.git_commit": git.get("commit", ""),
        "sweeper.best_trial": best.trial.key if best else "",
    }
    is_over = all(record.result for record in records)
    model = logged_model(sweep, best, user_models(experiment), call) if best else None
    return Parent(files, tags, is_over, model, register, {"leaderboard.json": leaderboard(trials, axes, experiment)})


def leaderboard(trials: "pd.DataFrame", axes: Sequence[str], experiment: Experiment) -> "pd.DataFrame":
    """One row a cell, best first, the objective right after the axes; without columns that are empty throughout."""
    from sweeper.dashboards.cells import cells_table

    metric = experiment.objective.metric
    table = cells_table(trials, axes, metric, experiment.objective.mode).dropna(axis="columns", how="all")
    first = [name for name in (*axes, f"{metric}_mean", f"{metric}_std") if name in table.columns]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _without_passwords(sweep: Sweep) -> bytes:
    """The experiment as it may be shown: without a password in `tracking.uri`."""
    return without_passwords(sweep.experiment()).encode()


def logged_model(
    sweep: Sweep, best: Record, users_own: Collection[str] = (), call: Call = directly
) -> "LoggedModel | None":
    """The best trial's network, which `call` saves as MLflow keeps it; None when its model was not kept.

    `users_own`: see `load_classifier`.
    """
    folder = sweep.trial(best.trial.key).artifacts
    if not folder.exists("model.pt"):
        return None
    from sweeper.tracking.logged_model import LoggedModel

    return LoggedModel(best.trial.key, partial(call, save, folder, best.trial.settings.model, users_own))


def save(artifacts: Folder, model: Named, users_own: Collection[str], target: str, ids: Mapping[str, str]) -> None:
    """Save the network of a trial's `model.pt`, with its preprocessing inside, as MLflow keeps it."""
    import numpy as np
    import torch

    from sweeper.tracking.saved_model import save_model
    from sweeper.training.classifier import load_classifier

    classifier, name = load_classifier(artifacts, model, users_own), model.name
    images_NCHW = np.zeros((2, 3, classifier.image_size, classifier.image_size), dtype=np.uint8)
    with torch.no_grad():
        logits_NK = classifier(torch.from_numpy(images_NCHW)).numpy()
    packages = ["torch", "numpy", *(["torchvision"] if name.startswith(models.from_torchvision.PREFIX) else [])]
    save_model(classifier, images_NCHW, logits_NK, "pt2" if name in models.MODELS else "pickle", packages, target, ids)
