"""A user's own modules, which Ray takes along to the nodes of a cluster."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweeper.experiment import Experiment, to_plain
from sweeper.models import CALLABLE
from sweeper.models.code import OURS, is_installed, own_modules


def user_models(experiment: Experiment) -> tuple[str, ...]:
    """Each "package.module:callable" that a trial of the experiment may be asked to build."""
    return tuple(sorted(set(_callables(to_plain(experiment.model))) | set(_callables(to_plain(experiment.search)))))


def modules_to_ship(experiment: Experiment) -> list[str]:
    """The files and packages of the user's models, of what these import, and of what else was imported from where they lie.

    Modules that are installed are not among them: the nodes have their own. Raises ModelError for a model that is not there.
    """
    models = user_models(experiment)
    imported = {_top(name, file) for model in models for name, file in own_modules(model).items()}
    tops = {name.partition(":")[0].partition(".")[0] for name in models}
    roots = {path.parent for top in tops - {OURS} if (path := _place(top)) and not is_installed(path)}
    loaded = {name.partition(".")[0] for name in sys.modules} - {OURS}
    beside = {path for top in loaded if (path := _place(top)) and path.parent in roots}
    return sorted(str(path) for path in beside | imported if not is_installed(path))


def _callables(value: Any) -> Iterator[str]:
    if isinstance(value, str) and re.fullmatch(CALLABLE, value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _callables(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _callables(item)


def _top(name: str, file: Path) -> Path:
    """The file of a module, or the folder of the first package above it."""
    depth = name.count(".") + (file.name == "__init__.py")
    return file.absolute().parents[depth - 1] if depth else file.absolute()


def _place(top: str) -> Path | None:
    """The file of a loaded top-level module, or the folder of a package."""
    module = sys.modules.get(top)
    folders = list(getattr(module, "__path__", None) or ())
    if folders:
        return Path(folders[0]).absolute()
    file = getattr(module, "__file__", None)
    return Path(file).absolute() if file and file.endswith(".py") else None
