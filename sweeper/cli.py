"""The command line: thin commands. Heavy modules are imported inside them, so that --help is instant."""

import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sweeper.experiment import Experiment
    from sweeper.store import Sweep

BAD_INPUT, STOPPED = 2, 128

app = typer.Typer(
    help="Grid search for image classifiers: one YAML file, every trial tracked, pruned, resumable and comparable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file.", show_default=False)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.", show_default=False)]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of the file; repeatable.")
]
StorageOption = Annotated[
    str, typer.Option("--storage", envvar="SWEEPER_STORAGE", metavar="DIR", help="Where the sweep folders are.")
]
UriOption = Annotated[str | None, typer.Option("--tracking-uri", metavar="URI", help="The MLflow store to publish to.")]
ExecutorOption = Annotated[
    str, typer.Option("--executor", metavar="ray|inline", help="On Ray Tune, or in this process.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", envvar="RAY_ADDRESS", metavar="A", help="A running Ray cluster to join.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
STORAGE = "./sweeps"


class InputError(ValueError):
    """What the user typed names nothing, or something else than is allowed."""


def main() -> None:
    """Run the command line; what is wrong with the user's input is told without a traceback, with exit code 2."""
    sys.path.append(os.getcwd())  # where a user's own "package.module:callable" lies
    try:
        app()
    except (ValueError, OSError) as error:
        if not _is_for_users(error):
            raise
        print(f"sweeper: {error}", file=sys.stderr)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            print("Make room on that disk, then run the same command again; what was saved is kept.", file=sys.stderr)
        sys.exit(BAD_INPUT)


def _is_for_users(error: Exception) -> bool:
    """Whether an exception is one of ours, or the system's about a file, and so says what to do."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in (
        "__main__",
        "sweeper",
        "models",
        "dashboards",
    )


def _console() -> "Console":
    """Progress and words for the person go to stderr; data to stdout."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def _read(file: Path, settings: list[str] | None) -> "Experiment":
    from sweeper.reading import read_experiment

    if not file.is_file():
        raise InputError(f"there is no file {file}; `sweeper init {file}` writes one to start from")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    return read_experiment(text, str(file), settings or ())


def _absolute(experiment: "Experiment") -> "Experiment":
    """The experiment with `data.root` seen from the current directory, so that it can be resumed from any other."""
    from dataclasses import replace

    root = experiment.data.root
    if root is None or "://" in root:
        return experiment
    return replace(experiment, data=replace(experiment.data, root=os.path.abspath(os.path.expanduser(root))))


def _with_numbers(experiment: "Experiment", sweep: "Sweep", keep: bool) -> "Experiment":
    """The experiment with class weights of other sweeps as numbers; nothing is imported where none are given."""
    if experiment.train.class_weights is None and "class_weights" not in str(experiment.search):
        return experiment
    from sweeper.borrowing import with_numbers

    return with_numbers(experiment, sweep, keep)


def _existing(storage: str, name: str) -> "Sweep":
    """The sweep of that name. Raises InputError that lists those there are."""
    from sweeper.source import unknown
    from sweeper.store import Sweep, sweeps

    names = [sweep.name for sweep in sweeps(storage)]
    if name not in names:
        raise InputError(f"{unknown(name, names, 'sweep') if names else 'there are no sweeps'} in {storage}")
    return Sweep(storage, name)


def _stored(sweep: "Sweep") -> "Experiment":
    from sweeper.reading import read_experiment

    return read_experiment(sweep.experiment(), sweep.folder.at("experiment.yaml"))


def _run(sweep: "Sweep", experiment: "Experiment", **options: Any) -> None:
    from sweeper.running import run_sweep

    if options["executor"] not in ("ray", "inline"):
        raise InputError(f"given --executor {options['executor']}, allowed ray or inline")
    code = run_sweep(sweep, experiment, _console(), **options)
    if code < STOPPED:
        _print_results(sweep, experiment, top=20)
    raise typer.Exit(code)


def _print_results(sweep: "Sweep", experiment: "Experiment", top: int | None) -> None:
    from dashboards.terminal import print_results
    from sweeper.results import history_table, trials_table
    from sweeper.space import Space

    axes, objective, records = Space.of(experiment.search).names, experiment.objective, sweep.records()
    trials, history = trials_table(records, axes), history_table(records)
    print_results(trials, history, axes, objective.metric, objective.mode, top, _output())


def _output() -> "Console":
    """Where data for the person go: stdout, plain text in a pipe or with NO_COLOR."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name that the terminal has no letters for
    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)


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

    experiment = _absolute(_read(file, settings))
    sweep = Sweep(storage, experiment.name)
    _run(sweep, _with_numbers(experiment, sweep, keep=True), executor=executor, address=address, uri=uri)


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
    sweep = _existing(storage, name)
    options = {"executor": executor, "address": address, "uri": uri, "retry_failed": retry_failed}
    _run(sweep, _stored(sweep), **options)


@app.command()
def plan(
    file: FileArgument, settings: SetOption = None, storage: StorageOption = STORAGE, as_json: JsonOption = False
) -> None:
    """Say what `run` would do: trials, what is done already, parameters, FLOPs, memory, time. Runs nothing."""
    from sweeper.planning import print_plan, reckon
    from sweeper.store import Sweep

    experiment = _absolute(_read(file, settings))
    sweep = Sweep(storage, experiment.name)
    reckoned = reckon(sweep, _with_numbers(experiment, sweep, keep=False))
    print(json.dumps(reckoned.as_json(), indent=1)) if as_json else print_plan(reckoned)


@app.command("list")
def list_command(storage: StorageOption = STORAGE, as_json: JsonOption = False) -> None:
    """The sweeps there are."""
    from sweeper.progress import standing
    from sweeper.store import sweeps

    rows = [standing(sweep, _stored(sweep)) for sweep in sweeps(storage)]
    if as_json:
        print(json.dumps(rows, indent=1))
    for row in [] if as_json else rows:
        print(f"{row['name']}: {row['told']}")
    if not rows and not as_json:
        _console().print(f"there are no sweeps in {storage}; start one with: sweeper run FILE")


@app.command()
def status(name: NameArgument, storage: StorageOption = STORAGE, as_json: JsonOption = False) -> None:
    """How far a sweep is."""
    from sweeper.progress import standing

    sweep = _existing(storage, name)
    row = standing(sweep, _stored(sweep))
    print(json.dumps(row, indent=1) if as_json else f"{row['name']}: {row['told']}")


@app.command()
def results(
    name: NameArgument,
    top: Annotated[int | None, typer.Option(help="Only the best so many.", min=1)] = None,
    is_per_class: Annotated[bool, typer.Option("--per-class", help="Accuracy by class, hardest first.")] = False,
    storage: StorageOption = STORAGE,
    as_json: JsonOption = False,
) -> None:
    """The table of a sweep's trials, best first; or of its classes for the best trials."""
    from dashboards.terminal_classes import print_classes
    from sweeper.results import named_table, ranked_table

    sweep = _existing(storage, name)
    experiment = _stored(sweep)
    objective = experiment.objective
    if as_json:
        from sweeper.exports import export

        export(ranked_table("per-class" if is_per_class else "trials", sweep, experiment, top), "json", None)
    elif is_per_class:
        trials, classes = (named_table(table, sweep, experiment) for table in ("trials", "per-class"))
        print_classes(trials, classes, objective.metric, objective.mode, top, _output())
    else:
        _print_results(sweep, experiment, top)


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
    from sweeper.source import unknown

    sweep = _existing(storage, name)
    if table not in results.TABLES:
        raise InputError(unknown(table, results.TABLES, "table"))
    form = form or exports.format_of(output)
    exports.export(results.named_table(table, sweep, _stored(sweep)), form, output, f"{name} {table}")
    if output not in (None, "-"):
        print(os.path.abspath(output))


@app.command()
def dashboard(
    names: Annotated[list[str], typer.Argument(metavar="NAME ...", help="One sweep or more.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Where to; <NAME>.html when left out.")
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            "--pictures", metavar="KEY", help="Show this trial's pictures too: the beginning of its key; repeatable."
        ),
    ] = None,
    storage: StorageOption = STORAGE,
) -> None:
    """Write one self-contained HTML page that compares trials and sweeps."""
    from dashboards.page import render
    from sweeper.pictures import find_keys, missing
    from sweeper.running import page_tables
    from sweeper.store import Folder

    sweeps = [_existing(storage, name) for name in dict.fromkeys(names)]
    keys = find_keys(sweeps, pictures or ())
    for sweep in sweeps:
        _draw_pictures(sweep, [key for key in keys if sweep.trial(key).artifacts.exists("model.pt")])
    target = (output or Path(f"{names[0]}.html")).absolute()
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file")
    tables = [page_tables(sweep, _stored(sweep), keys) for sweep in sweeps]
    missing(keys, [sweep.pictures for sweep in tables])
    Folder(str(target.parent)).write(target.name, render(tables).encode())
    print(target)
    if is_open:
        typer.launch(target.as_uri())


def _draw_pictures(sweep: "Sweep", keys: "Sequence[str]") -> None:
    """Draw what trials' kept models show, where it is not drawn; the page does without when the images are not here."""
    if not keys:
        return
    from sweeper.data import DataError
    from sweeper.explanation import ExplanationError, draw_explanation

    for key in keys:
        try:
            draw_explanation(sweep, key)
        except (DataError, ExplanationError) as error:
            _console().print(f"trial {key} is shown without saliency and kernels: {error}", style="yellow")


@app.command()
def sync(
    name: NameArgument,
    register: Annotated[str | None, typer.Option(metavar="MODEL", help="Register the best model by this name.")] = None,
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
) -> None:
    """Publish to MLflow what it does not have yet."""
    from sweeper.running import NOT_PUBLISHED, publish
    from sweeper.tracking import tracking_uri

    sweep = _existing(storage, name)
    experiment = _stored(sweep)
    with sweep.lock():
        missing = publish(sweep, experiment, tracking_uri(uri, experiment, sweep), _console(), register)
    raise typer.Exit(NOT_PUBLISHED if missing else 0)


@app.command()
def ui(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine only.")] = 5000,
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
) -> None:
    """Open MLflow's UI on the right store."""
    from sweeper.store import Folder
    from sweeper.ui import serve

    experiment = _stored(_existing(storage, name)) if name else None
    serve(Folder(storage).path, experiment, uri, port, _console())


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A sweep; with --augment an experiment file too.", show_default=False),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE ...]", help="Image files; some of the test images when left out."),
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option("--trial", metavar="KEY", help="The beginning of a trial's key; the best when left out."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="The convolution whose kernels are shown.")
    ] = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="Draw what augmentation makes of training images instead.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", metavar="PATH", help="The folder to write, <NAME>-<KEY>; with --augment the picture, sheet.png."
        ),
    ] = None,
    settings: SetOption = None,
    storage: StorageOption = STORAGE,
) -> None:
    """Show what a trial's network says of images, which pixels that rests on, its kernels and weights."""
    if augment:
        if images or trial or layer:
            raise InputError("--augment draws training images: leave images, --trial and --layer out")
        _draw_augmented(what, output or Path("sheet.png"), settings, storage)
        return
    if settings:
        raise InputError("--set goes with --augment and an experiment file; a trial's settings are what they were")
    if Path(what).is_file():
        raise InputError(f"{what} is a file; give a sweep's name, or --augment to see what training sees")
    from sweeper.explanation import ExplanationError, find_trial
    from sweeper.explanation_page import write_explanation
    from sweeper.running import best_record
    from sweeper.store import Folder

    sweep = _existing(storage, what)
    records = sweep.records()
    record = find_trial(records, trial) if trial is not None else best_record(records, _stored(sweep))
    if record is None:
        raise ExplanationError(f"no trial of {what} is complete yet, so there is no model to explain; run it first")
    folder = (output or Path(f"{what}-{record.trial.key}")).absolute()
    print(write_explanation(sweep, record, images or (), layer, Folder(str(folder))))


def _draw_augmented(what: str, output: Path, settings: list[str] | None, storage: str) -> None:
    """Rows of images, first as they are, then as augmentation may show them."""
    if Path(what).is_file():
        experiment = _absolute(_read(Path(what), settings))
    elif settings:
        raise InputError(f"--set changes an experiment file, and {what} is not one")
    else:
        experiment = _stored(_existing(storage, what))
    from sweeper.data import default_cache, prepare
    from sweeper.data.split import split
    from sweeper.training.sheet import augmented_sheet, write_sheet

    dataset = prepare(experiment.data, default_cache())
    write_sheet(augmented_sheet(experiment.data, dataset, split(dataset, experiment.data.split)), output)
    print(output.absolute())


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files, for editors."""
    from sweeper.reading import schema as file_schema

    print(json.dumps(file_schema(), indent=1))


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path("experiment.yaml"),
) -> None:
    """Write an experiment file to start from."""
    from importlib.resources import files

    if file.exists():
        raise InputError(f"{file} exists; give another name")
    file.write_text(files("sweeper").joinpath("starter.yaml").read_text())
    print(f"{file}: edit it, then: sweeper plan {file} && sweeper run {file}")


if __name__ == "__main__":
    main()
