"""The commands' arguments and options, and what is wrong with them."""

from pathlib import Path
from typing import Annotated

import typer

from sweeper import __version__

app = typer.Typer(
    help="Grid search for image classifiers: one YAML file, every trial tracked, pruned, resumable and comparable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        print(f"sweeper {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """What comes before a command."""


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file.", show_default=False)]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.", show_default=False)]

SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of the file; repeatable.")
]

StorageOption = Annotated[
    str, typer.Option("--storage", envvar="SWEEPER_STORAGE", metavar="DIR", help="Where the sweep folders are.")
]


def _absolute(uri: str | None) -> str | None:
    from sweeper.tracking.names import absolute_uri

    return uri and absolute_uri(uri)


UriOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="The MLflow store, in the place of the file's; `run` and `resume` keep it with the sweep.",
        callback=_absolute,
    ),
]

ExecutorOption = Annotated[
    str, typer.Option("--executor", metavar="ray|inline", help="On Ray Tune, or in this process.")
]


def _other_cluster(address: str | None) -> str | None:
    """None for `local`, by which Ray means a cluster of its own, and for nothing at all."""
    return None if address == "local" else address or None


AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="RAY_ADDRESS",
        metavar="A",
        help="A running Ray cluster to join.",
        callback=_other_cluster,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]

STORAGE = "./sweeps"


class InputError(ValueError):
    """What the user typed names nothing, or something else than is allowed."""
