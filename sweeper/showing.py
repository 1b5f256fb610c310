"""What is shown of a sweep: its dashboard, the facts on it, and the pictures of its best trial."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console

from sweeper.experiment import Experiment
from sweeper.provenance import codes
from sweeper.store import Record, Sweep
from sweeper.system.apart import Call, directly
from sweeper.tracking import run_pages

if TYPE_CHECKING:
    from sweeper.dashboards.views import SweepTables


def draw_explained(sweep: Sweep, key: str, console: Console, call: Call = directly) -> None:
    """Draw what a trial's predictions rest on and its kernels, when its model was kept; a failure is told."""
    if not sweep.trial(key).artifacts.exists("model.pt"):
        return
    try:
        call(_draw, sweep, key)
    except Exception as error:  # whatever a user's network makes of gradients: the sweep is whole without the pictures
        told = " ".join(f"{type(error).__name__}: {error}".split())
        console.print(
            f"saliency and kernels of trial {key} could not be drawn ({told}); try: {sweep.command('explain', {'--trial': key})}",
            style="yellow",
        )


def _draw(sweep: Sweep, key: str) -> None:
    from sweeper.explanation import draw_explanation

    draw_explanation(sweep, key)


def tell_undrawn(sweep: Sweep, console: Console) -> None:
    """Say which trials lack pictures, and where the reasons are."""
    found = sweep.folder.sub("trials").glob("*/artifacts/pictures/errors.txt")
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        console.print(f"some pictures could not be drawn; the numbers are whole. Why: {found[0]}{more}", style="yellow")


def write_dashboard(sweep: Sweep, experiment: Experiment, records: Sequence[Record]) -> str:
    """Write `dashboard.html` into the sweep folder; returns where it is."""
    from sweeper.dashboards.page import render

    sweep.folder.write("dashboard.html", render([page_tables(sweep, experiment, records)]).encode())
    return sweep.folder.told("dashboard.html")


def page_tables(
    sweep: Sweep, experiment: Experiment, records: Sequence[Record], pictures: Sequence[str] = ()
) -> "SweepTables":
    """All that the page shows of a sweep, with links to the runs that were published and more trials' pictures."""
    from sweeper.results import sweep_tables

    tables = sweep_tables(sweep, experiment, records, facts(sweep, experiment, records), pictures)
    return replace(tables, links=run_pages(sweep))


def facts(sweep: Sweep, experiment: Experiment, records: Sequence[Record]) -> dict[str, str]:
    """What the dashboard's overview says besides the trials. Times are ISO 8601 with the offset of this machine."""
    machine = sweep.machine()
    models = dict.fromkeys(str(record.trial.config["model"]["name"]) for record in records)
    fingerprints = sorted({record.trial.fingerprint for record in records})
    begun, ended = _span(records)
    known = {
        "data": f"{experiment.data.name}, {experiment.data.image_size} px",
        "split": _told_split(experiment),
        "data fingerprint": ", ".join(fingerprints),
        "model": ", ".join(models) or experiment.model.name,
        "search": experiment.search.method,
        "pruning": experiment.pruning.name if experiment.pruning else "none",
        "began": begun,
        "last trial ended": ended,
        "machine": f"{machine.device} ({machine.processor}), {machine.precision}" if machine else "",
        "code": "; ".join(codes(sweep)),
    }
    return {name: value for name, value in known.items() if value}


def _told_split(experiment: Experiment) -> str:
    split = experiment.data.split
    if isinstance(split, str):
        return split
    test = split.test if isinstance(split.test, str) else f"{split.test:.4g}"
    return f"training {split.train:.4g}, validation {split.val:.4g}, test {test}, seed {split.seed}"


def _span(records: Sequence[Record]) -> tuple[str, str]:
    """When the first epoch began and the last trial ended; empty where nothing says."""
    rows = [row for record in records for row in record.history if "time" in row]
    began = min((row["time"] - row.get("epoch_seconds", 0.0) for row in rows), default=None)
    ended = max((record.result.ended for record in records if record.result and record.result.ended), default=None)
    told = [
        "" if at is None else datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds") for at in (began, ended)
    ]
    return told[0], told[1]
