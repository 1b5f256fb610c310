"""Commands about experiment files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeper.cli.options import InputError, app

if TYPE_CHECKING:
    pass


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
