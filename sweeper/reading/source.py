"""YAML text as plain values that remember their lines.

YAML 1.2's core schema, so that `1e-3` is a number and `no` is a word; every duplicate key is reported.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import yaml

from sweeper.reading.mistakes import Mistake, Path, Source

MAX_NODES, MAX_CHARACTERS = 100_000, 10_000_000  # a file of aliases would otherwise grow without bound
MAX_DEPTH = 50
MAX_DIGITS = 1000

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)


for _name, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^(?:{_pattern})$"), [c if c != "\0" else "" for c in _first]
    )


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something else than text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: yaml.SafeDumper.yaml_implicit_resolvers.get(first, []) + _Loader.yaml_implicit_resolvers.get(first, [])
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
    }


def read_source(text: str, file: str) -> Source:
    """Parse YAML text; what is wrong with it is in the result's `mistakes`."""
    source = Source(file)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = _Converter(source).convert(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        tab = "; indent with spaces, not with a tab" if r"'\t'" in (error.problem or "") else ""
        source.mistakes.append(Mistake(place, "", f"this is not YAML: {error.problem or error.context}{tab}"))
        return source
    except yaml.reader.ReaderError as error:
        place = f"{file}:{text.count(chr(10), 0, error.position) + 1}"
        source.mistakes.append(
            Mistake(place, "", f"this is not YAML: the character {error.character:#06x} is not allowed")
        )
        return source
    except yaml.YAMLError as error:
        source.mistakes.append(Mistake(file, "", f"this is not YAML: {error}"))
        return source
    except (ValueError, OverflowError):  # PyYAML's own, at an escape such as "\UFFFFFFFF"
        place = f"{file}:{loader.line + 1}" if loader else file
        source.mistakes.append(Mistake(place, "", "this is not YAML: an escape that names no character"))
        return source
    except RecursionError:
        source.mistakes.append(Mistake(file, "", "nested too deeply to be an experiment"))
        return source
    if isinstance(values, dict):
        source.values = values
    else:
        source.add(
            (), "an experiment file is a mapping that starts with `name:`; `sweeper init` writes one to start from"
        )
    return source


def write_source(values: Mapping[str, Any]) -> str:
    """Plain values as YAML that `read_source` reads back as they are."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def set_value(source: Source, setting: str, bare: Container[str] = ()) -> Path | None:
    """Apply `--set PATH=VALUE` to a file's values; VALUE is YAML, a PATH that is in `bare` means train.<PATH>.

    Returns where it is in the file; None for a mistake.
    """
    name, equals, text = setting.partition("=")
    place = f"--set {name}"
    if not equals or not name.strip():
        source.mistakes.append(
            Mistake(f"--set {setting}", "", "write --set PATH=VALUE, for instance --set train.lr=0.01")
        )
        return None
    value = read_source(f"value: {text}" if text.strip() else "value: null", place)
    if value.mistakes:
        source.mistakes += value.mistakes
        return None
    path = _setting_path(name.strip(), bare)
    into: Any = source.values
    for depth, step in enumerate(path[:-1], start=1):
        if not isinstance(into.get(step), dict):
            into[step] = {}
            source.places[path[:depth]] = place
        into = into[step]
    into[path[-1]] = value.values.get("value")
    source.places = {at: line for at, line in source.places.items() if at[: len(path)] != path}
    source.places[path] = place
    return path


def _setting_path(name: str, bare: Container[str]) -> tuple[str, ...]:
    if name.startswith("search.space."):
        return ("search", "space", name.removeprefix("search.space."))
    if name in bare:
        return ("train", name)
    return tuple(name.split("."))


class _Converter:
    """YAML nodes to plain values, noting each one's line."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.left, self.characters_left = MAX_NODES, MAX_CHARACTERS

    def convert(self, node: yaml.Node, path: Path) -> Any:
        self.left -= 1
        if self.left < 0:
            raise yaml.YAMLError(f"it holds more than {MAX_NODES:,} values")
        if len(path) > MAX_DEPTH:
            raise RecursionError
        self.source.places.setdefault(path, f"{self.source.file}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        own: dict[str, int] = {}
        for key_node, value_node in _merged_first(node):
            line = key_node.start_mark.line + 1
            if key_node.tag == _TAG + "merge":
                self._merge(result, value_node, path)
                continue
            key = _encodable(self._text(key_node)) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in own:
                self.source.places[(*path, key)] = f"{self.source.file}:{line}"
                self.source.add((*path, key), f"this key was given already on line {own[key]}; keep one of the two")
            own.setdefault(key, line)
            self.source.places[(*path, key)] = f"{self.source.file}:{line}"
            result[key] = self.convert(value_node, (*path, key))
        return result

    def _merge(self, result: dict[str, Any], node: yaml.Node, path: Path) -> None:
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            values = self.convert(part, path)
            if isinstance(values, dict):
                result.update({key: value for key, value in values.items() if key not in result})
            else:
                self.source.add(path, "`<<` merges a mapping; this is none")

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        paired, kind = self._text(node), node.tag.removeprefix(_TAG)
        text = _encodable(paired)
        if text != paired:
            self.source.add(path, "holds half a surrogate pair, which is no character")
        if kind not in _SCALARS:
            self.source.add(path, f"the tag {node.tag!r} is not used here; write a plain value")
            return text
        try:
            return _SCALARS[kind](text)
        except ValueError:  # `!!int word`, or an integer of thousands of digits
            self.source.add(path, f"{text[:40]!r} is not a {kind} that can be read")
            return text

    def _text(self, node: yaml.Node) -> str:
        """A scalar's text, which is counted anew for each alias of it."""
        text = str(node.value)
        self.characters_left -= len(text)
        if self.characters_left < 0:
            raise yaml.YAMLError(f"its values hold more than {MAX_CHARACTERS:,} characters")
        return _paired(text)


def _merged_first(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    yield from sorted(node.value, key=lambda pair: pair[0].tag != _TAG + "merge")


def _paired(text: str) -> str:
    """A text whose halves of surrogate pairs, as JSON escapes what is beyond 16 bits, are the character they make."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _integer(text: str) -> int:
    if (
        len(text) > MAX_DIGITS
    ):  # Python's own limit is on decimal digits alone, and would be met as such a number is written
        raise ValueError
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    return int(text, base)


def _number(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str, "int": _integer, "float": _number, "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
}  # fmt: skip
