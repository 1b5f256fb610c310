"""Commands that show sweeps: the page, MLflow's UI, what a trial's network sees."""

from pathlib import Path
from typing import Annotated

import typer

from sweeper.cli.options import STORAGE, InputError, SetOption, StorageOption, UriOption, app
from sweeper.cli.sweeps import absolute, console, existing, read, stored


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
    from sweeper.dashboards.page import render
    from sweeper.pictures import find_keys, missing
    from sweeper.showing import draw_explained, page_tables
    from sweeper.store import Folder

    sweeps = [existing(storage, name) for name in dict.fromkeys(names)]
    keys = find_keys(sweeps, pictures or ())
    for sweep in sweeps:
        for key in keys:
            draw_explained(sweep, key, console())
    target = (output or Path(f"{names[0]}.html")).absolute()
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file")
    tables = [page_tables(sweep, stored(sweep), sweep.records(), keys) for sweep in sweeps]
    missing(keys, [sweep.pictures for sweep in tables])
    Folder(str(target.parent)).write(target.name, render(tables).encode())
    print(target)
    if is_open:
        typer.launch(target.as_uri())


@app.command()
def ui(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The sweep to open it on.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine only.")] = 5000,
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
) -> None:
    """Open MLflow's UI on the right store."""
    from sweeper.ui import serve

    sweep = existing(storage, name) if name else None
    serve(storage, sweep, stored(sweep) if sweep else None, uri, port, console())


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
    from sweeper.best import best_record
    from sweeper.explanation import ExplanationError
    from sweeper.explanation.page import write_explanation
    from sweeper.store import Folder
    from sweeper.trial import find_key

    sweep = existing(storage, what)
    records = {record.trial.key: record for record in sweep.records()}
    if trial is None:
        record = best_record(records.values(), stored(sweep).objective)
    else:
        record = records[find_key(records, trial, sweep.command("export"))]
    if record is None:
        raise ExplanationError(f"no trial of {what} is complete yet, so there is no model to explain; run it first")
    folder = (output or Path(f"{what}-{record.trial.key}")).absolute()
    print(write_explanation(sweep, record, images or (), layer, Folder(str(folder))))


def _draw_augmented(what: str, output: Path, settings: list[str] | None, storage: str) -> None:
    """Rows of images, first as they are, then as augmentation may show them."""
    if Path(what).is_file():
        experiment = absolute(read(Path(what), settings, storage))
    elif settings:
        raise InputError(f"--set changes an experiment file, and {what} is not one")
    else:
        experiment = stored(existing(storage, what))
    from sweeper.data import default_cache, prepare
    from sweeper.data.split import split
    from sweeper.training.sheet import augmented_sheet, write_sheet

    dataset = prepare(experiment.data, default_cache())
    write_sheet(augmented_sheet(experiment.data, dataset, split(dataset, experiment.data.split)), output)
    print(output.absolute())
