"""The outcomes of `benchmarks.faults`, fault by tool, as text for a terminal and as Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.breaking.injections import FAULTS

Outcome = dict[str, Any]


class Record:
    """What has been measured, a JSON object a line in a file, or only in memory; lines say what they are by `kind`."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.lines = file.read_text().splitlines() if file and file.exists() else []

    def add(self, kind: str, line: Mapping[str, Any]) -> None:
        self.lines.append(json.dumps({"kind": kind, **line}))
        if self.file:
            with self.file.open("a") as file:
                file.write(self.lines[-1] + "\n")

    def read(self, kind: str) -> Iterator[dict[str, Any]]:
        return (line for line in map(json.loads, self.lines) if line["kind"] == kind)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """How many tries kept the promise; of each flaw in how many it was seen and how large it was."""
    judged = [outcome["flaws"] for outcome in outcomes if outcome["flaws"] is not None]
    if not judged:
        return "does not apply" if outcomes else ""
    told = f"{sum(not flaws for flaws in judged)} of {len(judged)}"
    names = dict.fromkeys(name for flaws in judged for name in flaws)
    broken = [_flaw(name, [flaws[name] for flaws in judged if name in flaws], len(judged)) for name in names]
    return f"{told}: {'; '.join(broken)}" if broken else told


def _flaw(name: str, sizes: list[int], tries: int) -> str:
    extent = str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)}-{max(sizes)}"
    often = "" if len(sizes) == tries else f" (in {len(sizes)})"
    return f"{name} {extent}{often}"


def table(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """A head and a row for each fault that was tried."""
    tools = list(dict.fromkeys(outcome["tool"] for outcome in outcomes))
    tried = [name for name in FAULTS if any(outcome["fault"] == name for outcome in outcomes)]
    rows = [["fault", "injected by", *tools]]
    for name in tried:
        of_fault = [outcome for outcome in outcomes if outcome["fault"] == name]
        cells = [verdict([outcome for outcome in of_fault if outcome["tool"] == tool]) for tool in tools]
        rows.append([name, FAULTS[name].how, *cells])
    return rows


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    head, *rows = table(outcomes)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_text(outcomes: Sequence[Outcome]) -> str:
    """A block for each fault, a line for each tool."""
    (_, _, *tools), *rows = table(outcomes)
    blocks = []
    for name, how, *cells in rows:
        lines = [f"  {tool:17} {cell}" for tool, cell in zip(tools, cells, strict=True)]
        blocks.append("\n".join([f"{name} ({how})", *lines]))
    return "\n".join(blocks)
