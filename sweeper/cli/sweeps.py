"""Finding and reading what a command is about, and where its words go."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.cli.options import InputError
from sweeper.text.commands import command

if TYPE_CHECKING:
    from rich.console import Console

    from sweeper.experiment import Experiment
    from sweeper.store import Record, Sweep


def console() -> "Console":
    """Progress and words for the person go to stderr; data to stdout."""
    from sweeper.text.terminal import Terminal

    return Terminal(stderr=True, highlight=False, soft_wrap=True, markup=False)


def output_console() -> "Console":
    """Where data for the person go: stdout, plain text in a pipe or with NO_COLOR."""
    from sweeper.text.terminal import Terminal

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a name that the terminal has no letters for
    return Terminal(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)


def read(file: Path, settings: list[str] | None, storage: str) -> "Experiment":
    """The experiment in a file with `--set` settings applied. Raises InputError for no text, ExperimentError for its mistakes."""
    from sweeper.reading import read_experiment
    from sweeper.store.folder import Folder

    if file.is_dir():
        raise InputError(f"{file} is a folder; give the experiment's YAML file")
    if not file.is_file():
        resume = command("resume", str(file), Folder(storage).url)
        raise InputError(
            f"there is no file {file}; `sweeper init {shlex.quote(str(file))}` writes one to start from, and `{resume}` goes "
            "on with a sweep of that name"
        )
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    return read_experiment(text, str(file), settings or ())


def absolute(experiment: "Experiment") -> "Experiment":
    """The experiment with paths seen from the current directory as they are from any, so that it can be resumed there."""
    from dataclasses import replace

    root, uri = experiment.data.root, experiment.tracking.uri
    if root is not None:
        root = os.path.abspath(os.path.expanduser(root))
        experiment = replace(experiment, data=replace(experiment.data, root=root))
    if uri is not None:
        from sweeper.tracking.names import absolute_uri

        experiment = replace(experiment, tracking=replace(experiment.tracking, uri=absolute_uri(uri)))
    return experiment


def tracked_in(uri: str | None, experiment: "Experiment") -> "Experiment":
    """The experiment published to the store of `--tracking-uri`: kept with the sweep, so that later commands find it."""
    from dataclasses import replace

    return replace(experiment, tracking=replace(experiment.tracking, uri=uri)) if uri else experiment


def existing(storage: str, name: str) -> "Sweep":
    """The sweep of that name. Raises InputError that lists those there are."""
    from sweeper.reading.mistakes import unknown
    from sweeper.store import Sweep, sweeps

    names = [sweep.name for sweep in sweeps(storage)]
    if name not in names:
        raise InputError(f"{unknown(name, names, 'sweep') if names else 'there are no sweeps'} in {storage}")
    return Sweep(storage, name)


def stored(sweep: "Sweep") -> "Experiment":
    """The experiment of a sweep that is there. Raises StoreError for a damaged file, ExperimentError for mistakes in it."""
    from sweeper.reading import read_stored

    return read_stored(sweep.experiment(), sweep.folder.told("experiment.yaml"))


def show_results(sweep: "Sweep", records: "Sequence[Record]", experiment: "Experiment", top: int | None) -> None:
    from sweeper.dashboards.terminal import print_results
    from sweeper.results import history_table, trials_now
    from sweeper.space import Space

    axes, objective = Space.of(experiment.search).names, experiment.objective
    trials, history = trials_now(sweep, records, axes), history_table(records)
    print_results(trials, history, axes, objective.metric, objective.mode, top, output_console())
