"""Commands about experiment files and this machine."""

import json
import shlex
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from sweeper.cli.options import STORAGE, AddressOption, InputError, JsonOption, StorageOption, UriOption, app
from sweeper.cli.sweeps import output_console
from sweeper.exit_codes import BAD_INPUT


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

    from sweeper.store.folder import Folder

    if file.exists():
        raise InputError(f"{file} exists; give another name")
    target = file.absolute()
    told, starter = shlex.quote(str(file)), Template(files("sweeper").joinpath("starter.yaml").read_text())
    text = starter.substitute(name=json.dumps(target.stem, ensure_ascii=False), file=told)
    Folder(str(target.parent)).write(target.name, text.encode())
    print(f"{file}: edit it, then: sweeper plan {told} && sweeper run {told}")


@app.command()
def doctor(
    storage: StorageOption = STORAGE,
    uri: UriOption = None,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try what a sweep needs of this machine: disks, GPU, Ray, the tracking store."""
    from dataclasses import asdict

    from rich.text import Text

    from sweeper.doctor import Health, examine

    colours, worst, told = {Health.FINE: "green", Health.NOTE: "yellow", Health.TROUBLE: "red"}, Health.FINE, []
    terminal = output_console()
    for finding in examine(storage, uri, address):
        worst = max(worst, finding.health, key=list(Health).index)
        told.append(asdict(finding))
        if not as_json:
            line = Text(f"{finding.health:<8}", colours[finding.health]).append(f"{finding.subject:<10}", "bold")
            terminal.print(line.append(finding.told, ""), soft_wrap=True)
    if as_json:
        print(json.dumps(told, indent=1))
    if worst is Health.TROUBLE:
        raise typer.Exit(BAD_INPUT)
