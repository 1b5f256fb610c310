"""An entry of `MODELS` or `LOSSES`: a constructor by name, imported when it is first called."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any


class Entry:
    """The constructor at `path` ("package.module:callable") and the types of its keyword arguments."""

    def __init__(self, path: str, **arguments: type) -> None:
        self.path = path
        self.arguments = arguments

    def load(self) -> Callable[..., Any]:
        return user_callable(self.path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.load()(*args, **kwargs)


def user_callable(path: str) -> Callable[..., Any]:
    """Import the callable at "package.module:callable".

    Raises ValueError with a sentence for the user when there is none.
    """
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: there is no module {error.name!r} on the Python path") from error
    except AttributeError as error:
        raise ValueError(f"{path}: the module {module_name} has no {name!r}") from error
    if not callable(found):
        raise ValueError(f"{path}: is a {type(found).__name__}, not something to call")
    return found  # type: ignore[no-any-return]


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a callable has a parameter of that name."""
    return name in inspect.signature(function).parameters
