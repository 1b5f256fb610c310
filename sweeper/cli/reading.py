"""Commands that tell of sweeps, and write their tables."""

import json
import os
from typing import Annotated

import typer

from sweeper.cli.options import STORAGE, InputError, JsonOption, NameArgument, StorageOption, app
from sweeper.cli.sweeps import console, existing, output_console, show_results, stored
from sweeper.text.commands import command


@app.command("list")
def list_command(storage: StorageOption = STORAGE, as_json: JsonOption = False) -> None:
    """The sweeps there are."""
    from sweeper.progress import standing
    from sweeper.reading.mistakes import ExperimentError
    from sweeper.store import Folder, StoreError, sweeps
    from sweeper.text.terminal import printable

    rows, troubles = [], []
    for sweep in sweeps(storage):
        try:
            rows.append(standing(sweep, stored(sweep)))
        except (StoreError, ExperimentError) as error:  # the others are listed all the same
            troubles.append(str(error))
    if as_json:
        print(json.dumps(rows, indent=1))
    for row in [] if as_json else rows:
        print(printable(f"{row['name']}: {row['told']}"))
    if troubles:
        raise StoreError("\n".join(troubles))
    if not rows and not as_json:
        console().print(
            f"there are no sweeps in {storage}; start one with: {command('run', 'FILE', Folder(storage).url)}"
        )


@app.command()
def status(name: NameArgument, storage: StorageOption = STORAGE, as_json: JsonOption = False) -> None:
    """How far a sweep is."""
    from sweeper.progress import standing
    from sweeper.text.terminal import printable

    sweep = existing(storage, name)
    row = standing(sweep, stored(sweep))
    print(json.dumps(row, indent=1) if as_json else printable(f"{row['name']}: {row['told']}"))


@app.command()
def results(
    name: NameArgument,
    top: Annotated[int | None, typer.Option(help="Only the best so many.", min=1)] = None,
    is_per_class: Annotated[bool, typer.Option("--per-class", help="Accuracy by class, hardest first.")] = False,
    is_by_cell: Annotated[bool, typer.Option("--cells", help="A row a cell: means and deviations over seeds.")] = False,
    storage: StorageOption = STORAGE,
    as_json: JsonOption = False,
) -> None:
    """The table of a sweep's trials, best first; or of its cells, or of its classes for the best trials."""
    from sweeper.dashboards.terminal_cells import print_cells
    from sweeper.dashboards.terminal_classes import print_classes
    from sweeper.results import named_table, ranked_table
    from sweeper.space import Space

    if is_per_class and is_by_cell:
        raise InputError("given --cells and --per-class, which are tables of their own; ask for one at a time")
    sweep = existing(storage, name)
    experiment = stored(sweep)
    objective = experiment.objective
    if as_json:
        from sweeper.exports import export

        table = "per-class" if is_per_class else "cells" if is_by_cell else "trials"
        export(ranked_table(table, sweep, experiment, top), "json", None)
    elif is_by_cell:
        axes = Space.of(experiment.search).names
        cells = named_table("cells", sweep, experiment)
        print_cells(cells, axes, objective.metric, objective.mode, top, output_console())
    elif is_per_class:
        trials, classes = (named_table(table, sweep, experiment) for table in ("trials", "per-class"))
        print_classes(trials, classes, objective.metric, objective.mode, top, output_console())
    else:
        show_results(sweep, sweep.records(), experiment, top)


@app.command()
def export(
    name: NameArgument,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="csv|json|parquet|markdown|latex|html|xlsx",
            help="Guessed from FILE's ending when left out; csv on stdout.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("-o", metavar="FILE", help="Where to; stdout when left out.")] = None,
    table: Annotated[
        str, typer.Option(metavar="trials|cells|history|per-class", help="A row a trial, cell, epoch or class.")
    ] = "trials",
    storage: StorageOption = STORAGE,
) -> None:
    """Write a table of a sweep to a file."""
    from sweeper import exports, results
    from sweeper.reading.mistakes import unknown

    sweep = existing(storage, name)
    if table not in results.TABLES:
        raise InputError(unknown(table, results.TABLES, "table"))
    form = form or exports.format_of(output)
    exports.export(results.named_table(table, sweep, stored(sweep)), form, output, f"{name} {table}")
    if output not in (None, "-"):
        print(os.path.abspath(output))
