"""An entry of `MODELS` or `LOSSES`: a callable by name, imported when it is loaded."""

import importlib
import inspect
import re
import traceback
from collections.abc import Callable
from typing import Any

CALLABLE = r"\w+(\.\w+)*:\w+"


class ModelError(ValueError):
    """A model or loss that cannot be found, built or used as asked, told in a sentence for the user."""


class WeightsFileError(ModelError):
    """A file of trained weights that cannot be had or read here."""


class Entry:
    """The callable at `path` ("package.module:callable") and its keyword arguments: types, or Literals of choices."""

    def __init__(self, path: str, **arguments: Any) -> None:
        self.path = path
        self.arguments = arguments

    def load(self) -> Callable[..., Any]:
        return user_callable(self.path)


def user_callable(path: str) -> Callable[..., Any]:
    """Import the callable at "package.module:callable". Raises ModelError when there is none."""
    if not re.fullmatch(CALLABLE, path):
        raise ModelError(f'{path}: write "package.module:callable"')
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise ModelError(
                f"{path}: there is no module {error.name!r} on the Python path; run from the folder where it lies, or add "
                "that folder to PYTHONPATH"
            ) from error
        raise ModelError(f"{path}: {module_name} imports {error.name!r}, which is not installed here") from error
    except (Exception, SystemExit) as error:  # whatever the user's own file raises
        told, place = traceback.format_exception_only(error), traceback.extract_tb(error.__traceback__)[-1]
        where = "" if isinstance(error, SyntaxError) else f" ({place.filename}, line {place.lineno})"
        raise ModelError(f"{path}: {module_name} cannot be imported: {''.join(told).strip()}{where}") from error
    found = getattr(module, name, None)
    if found is None:
        raise ModelError(f"{path}: the module {module_name} has no {name!r}")
    if not callable(found):
        raise ModelError(f"{path}: is a {type(found).__name__}, not something to call")
    return found  # type: ignore[no-any-return]


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a callable has a parameter of that name."""
    return name in inspect.signature(function).parameters
