"""What is wrong with an experiment file, each thing with its line."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sweeper.text.redaction import redacted

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with an experiment file: where, and what to do about it."""

    place: str  # "file.yaml:12" or "--set train.lr"
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class ExperimentError(ValueError):
    """Everything that is wrong with an experiment file."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


@dataclass
class Source:
    """A file's values, where each stands, and what was wrong so far."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    added: set[Mistake] = field(default_factory=set)

    def add(self, path: Path, message: str) -> None:
        """Report a mistake at `path`, on the line of the nearest thing that has one."""
        mistake = Mistake(self.place(path), dotted(path), message)
        if mistake not in self.added:
            self.added.add(mistake)
            self.mistakes.append(mistake)

    def place(self, path: Path) -> str:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.file)

    def at(self, path: Path) -> Any:
        """The value at `path`, None when there is none."""
        value: Any = self.values
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def dotted(path: Path) -> str:
    """`("search", "space", "lr", 2)` as `search.space.lr[2]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def unknown(given: str, known: Iterable[str], what: str) -> str:
    """ "unknown key `momentun`; did you mean `momentum`? Known: ..."."""
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ";"
    return f"unknown {what} `{given}`{hint} allowed: {', '.join(known) or 'none'}"


def shown(value: Any, length: int = 60) -> str:
    """A value as the file would write it, cut to a readable length."""
    text = redacted(json.dumps(value, ensure_ascii=False, default=str))  # before it is cut: half a password is one too
    return text if len(text) <= length else text[:length] + "…"
