"""Pydantic's errors in the words of an experiment file: what was given, what is allowed, the nearest name."""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import ErrorDetails

from sweeper.experiment import Experiment
from sweeper.reading.mistakes import Path, shown, unknown


@cache
def adapter() -> TypeAdapter[Experiment]:
    return TypeAdapter(Experiment)


@cache
def experiment_schema() -> dict[str, Any]:
    return adapter().json_schema()


def explain(errors: Iterable[ErrorDetails], values: Mapping[str, Any], path: Path = ()) -> list[tuple[Path, str]]:
    """Pydantic's errors on the part of a file at `path`, one message a place.

    The alternatives of a union become "allowed A, or B".
    """
    grouped: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        grouped.setdefault(_path(error, values), []).append(error)
    deepest = [at for at in grouped if not any(other[: len(at)] == at and other != at for other in grouped)]
    return [((*path, *at), _message((*path, *at), grouped[at])) for at in deepest]


def _path(error: ErrorDetails, values: Any) -> Path:
    """The steps of an error's location that are in the file; pydantic mixes in the names of union members."""
    path: Path = ()
    for step in error["loc"]:
        if isinstance(values, Mapping) and step in values:
            path, values = (*path, step), values[step]
        elif isinstance(values, list) and isinstance(step, int):
            path, values = (*path, step), values[step]
    if error["type"] in ("missing", "missing_argument"):
        path = (*path, error["loc"][-1])
    return path


def _message(path: Path, errors: list[ErrorDetails]) -> str:
    first = errors[0]
    if first["type"] == "missing":
        section = next((step for step in reversed(path[:-1]) if isinstance(step, str)), None)
        return f"is missing; {f'`{section}` needs it' if section else 'every experiment file must give it'}"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return unknown(str(path[-1]), _known_keys(path[:-1]), "key")
    allowed = list(dict.fromkeys(_allowed(error) for error in errors))
    given = shown(first["input"])
    return f"given {given}, allowed {', or '.join(allowed)}" + _nearest_literal(first["input"], errors)


def _known_keys(path: Path) -> list[str]:
    """The keys that the schema knows at `path`."""
    part: Any = experiment_schema()
    root = part
    for step in (None, *path):
        if step is not None:
            part = part.get("properties", {}).get(step, {})
        choices = [part, *part.get("anyOf", [])]
        reference = next((choice["$ref"] for choice in choices if "$ref" in choice), None)
        if reference:
            part = root["$defs"][reference.rsplit("/", 1)[-1]]
    return list(part.get("properties", {}))


def _nearest_literal(given: Any, errors: list[ErrorDetails]) -> str:
    words = [
        word.strip("'\" ") for e in errors if e["type"] == "literal_error" for word in _words(e["ctx"]["expected"])
    ]
    near = difflib.get_close_matches(given, words, n=1) if isinstance(given, str) else []
    return f"; did you mean `{near[0]}`?" if near else ""


def _words(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


_ALLOWED = {
    "string_type": "text", "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false", "bool_parsing": "true or false",
    "dict_type": "a mapping of names to values", "tuple_type": "a list", "list_type": "a list",
    "dataclass_type": "a mapping of names to values", "dataclass_exact_type": "a mapping of names to values",
    "finite_number": "a finite number", "greater_than": "more than {gt:g}", "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}", "less_than_equal": "{le:g} or less", "literal_error": "{expected}",
    "too_short": "at least {min_length} of them", "none_required": "null",
    "string_pattern_mismatch": "up to 100 letters, digits, spaces, `_`, `.` or `-`, starting with a letter or digit",
    "value_error": "{error}", "int_parsing_size": "a whole number of ordinary size",
}  # fmt: skip


def _allowed(error: ErrorDetails) -> str:
    template = _ALLOWED.get(error["type"])
    return template.format(**error.get("ctx", {})) if template else error["msg"]
