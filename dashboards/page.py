"""Tables of sweeps -> one self-contained HTML page: no network, no file beside it."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sweeper.dashboards import figures
from sweeper.dashboards.cells import CellBoard, best_cell, cell_board
from sweeper.dashboards.class_figures import class_figures
from sweeper.dashboards.classes import ClassCounts, class_counts
from sweeper.dashboards.comparison import MOST_CLASSES, class_gaps, same_data
from sweeper.dashboards.effects import effects
from sweeper.dashboards.headline import Tile, headline, tiles
from sweeper.dashboards.levels import label
from sweeper.dashboards.parameter_figures import parameter_figures
from sweeper.dashboards.parameters import parameters
from sweeper.dashboards.pictures import BUDGET, Albums, albums, picture_data, picture_labels
from sweeper.dashboards.predictions import CHARACTERS, image_sets
from sweeper.dashboards.ranking import objective
from sweeper.dashboards.views import (
    MOST_TRIALS,
    Column,
    Leaderboard,
    Overview,
    SweepTables,
    by_rank,
    curves,
    families,
    leaderboard,
    metric_kind,
    metric_label,
    overview,
    swept,
    trial_labels,
    trial_levels,
)
from sweeper.dashboards.wording import exact, shown, spread, with_unit
from sweeper.text.durations import duration

DIGITS = 6
TABS = (
    ("overview", "Overview"),
    ("trials", "Leaderboard"),
    ("curves", "Curves"),
    ("classes", "Classes"),
    ("parameters", "Hyper-parameters"),
    ("confusion", "Confusion"),
    ("pictures", "Pictures"),
)
"""Each is a panel, static/<name>.html."""
SCRIPTS = (
    *("core", "ranking", "curves", "table", "elements", "chooser", "statistics", "predictions"),
    *("classes", "bars", "effects", "compare", "confusion", "parameters", "comparison", "pictures", "start"),
)


class Section(NamedTuple):
    """What the template shows of one sweep."""

    sweep: SweepTables
    overview: Overview
    board: Leaderboard
    cells: CellBoard | None
    first: Mapping[str, Any] | None
    headline: str
    tiles: tuple[Tile, ...]
    splits: tuple[ClassCounts, ...]
    albums: Albums
    album_labels: Sequence[str]
    data: Mapping[str, Any]


def render(sweeps: Sequence[SweepTables]) -> str:
    """The page of one or more sweeps."""
    own = "\n".join(_resource(f"{name}.js") for name in SCRIPTS)
    scripts = [_script(get_plotlyjs()), _script(f'"use strict";\n(() => {{\n{own}}})();')]
    environment = Environment(
        loader=PackageLoader("sweeper.dashboards", "static"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        shown=shown, setting=label, exact=exact, metric=with_unit, spread=spread, duration=duration, swept=swept
    )
    environment.filters.update(groupwise=_groupwise, edges=_edges)
    budgets = BUDGET // len(sweeps), CHARACTERS // len(sweeps)
    sections = [_section(sweep, *budgets) for sweep in sweeps]
    drawn = {"curves": figures.learning_curves(), "ranking": figures.ranking()}
    drawn |= class_figures() | parameter_figures()
    themes = {name: figures.theme(theme) for name, theme in figures.THEMES.items()}
    payload = {"themes": themes, "figures": drawn, "sweeps": [section.data for section in sections]}
    return environment.get_template("template.html").render(
        title=", ".join(sweep.name for sweep in sweeps),
        policy=_policy(scripts),
        themes={name: asdict(theme) for name, theme in figures.THEMES.items()},
        style=Markup(_resource("page.css")),  # noqa: S704 - our own file
        scripts=scripts,
        sections=sections,
        tabs=TABS,
        verdict=same_data(sweeps),
        gaps=class_gaps(sweeps),
        most_classes=MOST_CLASSES,
        most_trials=MOST_TRIALS,
        payload=Markup(embedded(payload)),  # noqa: S704 - no < or > is left in it
        pictures=Markup(embedded([picture_data(section.albums) for section in sections])),  # noqa: S704 - nor here
    )


def _resource(name: str) -> str:
    return (files("sweeper.dashboards") / "static" / name).read_text(encoding="utf-8")


def _script(text: str) -> Markup:
    if "</script" in text.lower() or "<!--" in text:
        raise AssertionError("a script of the page would end its own element")
    return Markup("\n" + text.replace("\r\n", "\n") + "\n")  # noqa: S704 - our own files, checked


def _policy(scripts: Iterable[str]) -> str:
    """A content security policy that lets only these scripts run, and nothing load from anywhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    rest = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {rest}"


def embedded(value: Any) -> str:
    """JSON that is safe inside a script element, whatever the texts in it say."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


class Group(NamedTuple):
    name: str
    size: int


def _groupwise(columns: Sequence[Column]) -> list[Group]:
    """Neighbouring columns of one group, for the header above the header."""
    return [Group(name, len(list(part))) for name, part in groupby(columns, key=lambda column: column.group)]


def _edges(columns: Sequence[Column]) -> list[str]:
    """The class of each column that starts a group after the first."""
    groups = [column.group for column in columns]
    return ["", *(" edge" if group != before else "" for before, group in pairwise(groups))]


def _section(sweep: SweepTables, picture_bytes: int, characters: int) -> Section:
    view, board, splits = overview(sweep), leaderboard(sweep), class_counts(sweep)
    cells, found = cell_board(sweep), albums(sweep, picture_bytes)
    told, numbers = headline(sweep, view, board, cells), tiles(sweep, view, cells)
    data = _data(sweep, board, splits, characters)
    first = best_cell(cells, sweep.metric) if cells else None
    first = first and {**first, "kind": metric_kind(sweep.metric)}
    return Section(sweep, view, board, cells, first, told, numbers, splits, found, picture_labels(sweep, found), data)


def _data(sweep: SweepTables, board: Leaderboard, splits: Sequence[ClassCounts], budget: int) -> dict[str, Any]:
    """The numbers that the scripts draw: columns, not rows, and every text once."""
    trials, drawn = by_rank(sweep), curves(sweep)
    test = "test/" + sweep.metric.rpartition("/")[2]
    return {
        "metric": metric_label(sweep.metric),
        "kind": metric_kind(sweep.metric),
        "mode": sweep.mode,
        "test": metric_label(test),
        "best": board.best,
        "trials": {"number": list(trials["number"]), "state": list(trials["state"]), "label": trial_labels(sweep)},
        "objective": rounded(objective(trials, sweep.metric)),
        "testObjective": rounded(objective(trials, test)) if test != sweep.metric else [None] * len(trials),
        "levels": {axis: levels._asdict() for axis, levels in trial_levels(sweep).items()},
        "parameters": _plain(parameters(sweep)),
        "families": [family._asdict() for family in families(list(drawn.metrics), sweep.metric)],
        "curves": {
            "offsets": drawn.offsets,
            "epochs": drawn.epochs,
            "metrics": {name: rounded(values) for name, values in drawn.metrics.items()},
        },
        "classes": [split._asdict() | {"mean": rounded(split.mean)} for split in splits],
        "effects": [[effect._asdict() for effect in effects(sweep, split)] for split in splits],
        "images": [images._asdict() for images in image_sets(sweep, budget)],
    }


def _plain(value: Any) -> Any:
    """Named tuples as objects, within each other too."""
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def rounded(values: Iterable[float]) -> list[float | None]:
    """Numbers at six significant digits, None for those that are not finite."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values]
