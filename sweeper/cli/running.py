"""Commands that run sweeps and publish them."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweeper.cli.options import (
    STORAGE,
    AddressOption,
    ExecutorOption,
    FileArgument,
    InputError,
    JsonOption,
    NameArgument,
    SetOption,
    StorageOption,
    UriOption,
    app,
)
from sweeper.cli.streams import lasting_streams
from sweeper.cli.sweeps import absolute, console, existing, read, show_results, stored, tracked_in
from sweeper.exit_codes import NOT_PUBLISHED
from sweeper.system.stopping import Stopped, Stopping, hearing, leave

STOPPED = 128

if TYPE_CHECKING:
    from sweeper.experiment import Experiment
    from sweeper.store import Sweep


def _run(sweep: "Sweep", experiment: "Experiment", **options: Any) -> None:
    if options["executor"] not in ("ray", "inline"):
        raise InputError(f"given --executor {options['executor']}, allowed ray or inline")
    from sweeper.running import run_sweep

    ended = run_sweep(sweep, experiment, console(), **options)
    if ended.code >= STOPPED:
        leave(ended.code)
    if ended.records is not None:
        show_results(sweep, ended.records, stored(sweep), top=20)
    raise typer.Exit(ended.code)


@contextmanager
def _stoppable() -> Iterator[Stopping]:
    """A command that signals stop in good order, and that outlasts its terminal."""
    stopping = Stopping()
    with lasting_streams():
        try:
            with hearing(stopping):
                yield stopping
        except Stopped:
            print("stopped; what is saved stays. The same command goes on with it", file=sys.stderr)
            leave(stopping.code)


@app.command("run")
def run_command(
    file: FileArgument,
    settings: SetOption = None,
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
    executor: ExecutorOption = "ray",
    address: AddressOption = None,
) -> None:
    """Run an experiment, or go on with it: ended trials are skipped, interrupted ones continue, new cells are added."""
    from sweeper.store import Sweep

    options = {"executor": executor, "address": address}
    with _stoppable() as stopping:
        experiment = tracked_in(uri, absolute(read(file, settings, storage)))
        _run(Sweep(storage, experiment.name), experiment, **options, stopping=stopping)


@app.command()
def resume(
    name: NameArgument,
    retry_failed: Annotated[bool, typer.Option(help="Take up failed trials from their checkpoints.")] = False,
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
    executor: ExecutorOption = "ray",
    address: AddressOption = None,
) -> None:
    """Go on with a sweep from its folder's own experiment.yaml."""
    options = {"executor": executor, "address": address, "retry_failed": retry_failed}
    with _stoppable() as stopping:
        sweep = existing(storage, name)
        _run(sweep, tracked_in(uri, stored(sweep)), **options, stopping=stopping)


@app.command()
def plan(
    file: FileArgument,
    settings: SetOption = None,
    storage: StorageOption = STORAGE,
    is_anew: Annotated[
        bool, typer.Option("--measure", help="Time the models anew; else what was measured here within a day is taken.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do: trials, what is done already, parameters, FLOPs, memory, time.

    Trains no trial: it prepares the images and times a few steps of each model.
    """
    from sweeper.store import Sweep

    experiment = absolute(read(file, settings, storage))
    from sweeper.borrowing import borrowed, with_numbers
    from sweeper.planning import print_plan, reckon

    sweep = Sweep(storage, experiment.name)
    reckoned = reckon(sweep, with_numbers(experiment, borrowed(experiment, sweep)), is_anew)
    print(json.dumps(reckoned.as_json(), indent=1)) if as_json else print_plan(reckoned)


@app.command()
def sync(
    name: NameArgument,
    register: Annotated[str | None, typer.Option(metavar="MODEL", help="Register the best model by this name.")] = None,
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
) -> None:
    """Publish to MLflow what it does not have yet."""
    from sweeper.publishing import publish
    from sweeper.text.redaction import without_password
    from sweeper.tracking import is_held, tracking_uri

    sweep = existing(storage, name)
    experiment = stored(sweep)
    uri = tracking_uri(uri, experiment, sweep.storage.url)
    with _stoppable(), sweep.lock(console().print):
        records = sweep.all_records()
        if register is None and is_held(sweep, experiment, records, uri):
            console().print(f"nothing to publish: {without_password(uri)} has every run of {sweep.name}")
            return
        missing = publish(sweep, experiment, records, uri, console(), register)
    raise typer.Exit(NOT_PUBLISHED if missing else 0)
