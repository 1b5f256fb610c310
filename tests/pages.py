"""What tests of the page share: sweeps that are whole, hostile or hardly there, and their tables and elements."""

from collections.abc import Sequence
from html.parser import HTMLParser

from folders import SPACE

from sweeper import results
from sweeper.dashboards import views
from sweeper.store import Sweep

HOSTILE = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x")',
    "x" * 300,
    "🐟",
    "سمكة ذهبية",
    "a|b\\c",
    "</script><img src=x onerror=alert(2)>",
    "&amp;",
    '<b>b</b><a href="javascript:alert(3)">x</a>',
    "",
)
FACTS = {"data": "digits <b>", "mlflow": "http://127.0.0.1:5000/#/experiments/1", "bad": "javascript:alert(4)"}


def tables(
    sweep: Sweep, axes: Sequence[str] = tuple(SPACE), metric: str = "val/top1", mode: str = "max"
) -> views.SweepTables:
    records = sweep.records()
    return views.SweepTables(
        sweep.name,
        "one & only",
        tuple(axes),
        metric,
        mode,
        results.trials_table(records, axes),
        results.history_table(records),
        results.per_class_table(sweep, records),
        FACTS,
    )


class Elements(HTMLParser):
    """Every element of a page with its attributes; the texts of scripts apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())
