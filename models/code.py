"""What the code of a user's own network is, so that a change of it is not taken for the same network."""

import ast
import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweeper.models import MODELS, user_callable

OURS = "sweeper"
DIGITS = 16


def code_of(name: str) -> str | None:
    """The digest of the code of a network "package.module:callable"; None for those that come with the project or torchvision."""
    return code_at(name) if name not in MODELS and ":" in name else None


@cache
def code_at(path: str) -> str:
    """SHA-256, 16 digits of it, of the code that "package.module:callable" is imported from in this process.

    That is `own_modules`, without comments, docstrings and layout. Raises ModelError when there is no such callable.
    """
    trees = [[name, _plain(tree)] for name, (_, tree) in sorted(_walk(path).items())]
    return hashlib.sha256(json.dumps(trees).encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]


def own_modules(path: str) -> dict[str, Path]:
    """The file of the module that "package.module:callable" is in, and of each of the user's own that it imports.

    Also of those that are imported within functions; not of installed packages. Raises ModelError when there is no such
    callable.
    """
    return {name: file for name, (file, _) in _walk(path).items()}


def _walk(path: str) -> dict[str, tuple[Path, ast.AST]]:
    """`own_modules`, each with its syntax."""
    user_callable(path)
    first = path.partition(":")[0]
    modules, waiting = dict[str, tuple[Path, ast.AST]](), [first, *_above(first)]
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in modules or not file or not file.endswith(".py"):
            continue
        place = Path(file)
        if name != first and (name.partition(".")[0] == OURS or is_installed(place)):
            continue
        tree = _tree(place)
        modules[name] = (place, tree)
        found = _imported(tree, name, place.name == "__init__.py")
        waiting += [part for one in found for part in (one, *_above(one))]
    return modules


def _tree(file: Path) -> ast.AST:
    """A file's syntax; its bytes as one, where this Python does not read it: it may never be imported."""
    content = file.read_bytes()
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError):
        return ast.Constant(content)


def _file(name: str) -> str | None:
    """Where a module's code is, imported yet or not: what a function imports comes when it is first called."""
    if module := sys.modules.get(name):
        return getattr(module, "__file__", None)
    spec = _spec(name)
    return spec.origin if spec else None


def _spec(name: str) -> ModuleSpec | None:
    """As `importlib.util.find_spec`, but without importing the packages above, and None for what cannot be looked for."""
    above = name.rpartition(".")[0]
    try:
        if not above:
            return find_spec(name)
        package = _spec(above)
        return PathFinder.find_spec(name, package.submodule_search_locations or ()) if package else None
    except (ImportError, ValueError):
        return None


def _above(name: str) -> Iterator[str]:
    """The packages that are imported before a module of theirs."""
    while name := name.rpartition(".")[0]:
        yield name


def is_installed(file: Path) -> bool:
    """Whether a file is of Python itself, or of a package that was installed and not written here."""
    places = {"site-packages", "dist-packages"}
    return not places.isdisjoint(file.parts) or file.is_relative_to(sysconfig.get_path("stdlib"))


def _imported(tree: ast.AST, name: str, is_package: bool) -> Iterator[str]:
    """The modules that a module's import statements may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: len(name.split(".")) + is_package - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


def _plain(node: Any) -> Any:
    """A syntax tree as JSON, the same for every version of Python that reads it alike."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind"}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _is_text(node.body[:1]):
        fields["body"] = node.body[1:]
    return [type(node).__name__, {name: _plain(value) for name, value in fields.items()}]


def _is_text(body: list[ast.stmt]) -> bool:
    return [type(getattr(one, "value", None)) for one in body] == [ast.Constant] and isinstance(body[0], ast.Expr)
