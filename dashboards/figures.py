"""How the charts look: Plotly figures and the two themes. The scripts fill in the numbers."""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from sweeper.dashboards.levels import MOST

Json = dict[str, Any]


@dataclass(frozen=True)
class Theme:
    """Colours of one scheme. `categories` and both scales can be told apart by colour-blind readers.

    `ordered` runs from low to high axis values, `accuracy` from 0 to 1, `change` from less by way of the same to more;
    `states` has one colour a trial state.
    """

    ink: str
    muted: str
    paper: str
    panel: str
    grid: str
    accent: str
    mark: str
    categories: tuple[str, ...]
    ordered: tuple[str, ...]
    accuracy: tuple[str, ...]
    change: tuple[str, ...]
    states: dict[str, str]


THEMES = {
    "light": Theme(
        ink="#20242a",
        muted="#626a75",
        paper="#faf9f6",
        panel="#ffffff",
        grid="#e5e2db",
        accent="#1d5c9c",
        mark="#fdf3d7",
        categories=("#0072b2", "#d55e00", "#009e73", "#b8578c", "#8f6b00", "#4a9fd4", "#5b4b9a", "#6b7280"),
        ordered=("#7ec95c", "#2f9d88", "#31688e", "#443a83", "#5a1f7d"),
        accuracy=("#f8f5ea", "#d6e7c6", "#93ccb9", "#4aa3b6", "#2369a1", "#153668"),
        change=("#b04a00", "#e8a06a", "#f6f4ee", "#6fb1da", "#005a92"),
        states={
            "complete": "#2b6ca3",
            "pruned": "#c28a0e",
            "running": "#3f9c86",
            "interrupted": "#3f9c86",
            "diverged": "#c4541a",
            "failed": "#8d2b52",
            "waiting": "#b4b9c0",
        },
    ),
    "dark": Theme(
        ink="#e6e8eb",
        muted="#9ba4af",
        paper="#14171b",
        panel="#1b1f24",
        grid="#2e343b",
        accent="#7fb4ee",
        mark="#3a3420",
        categories=("#56b4e9", "#f08a4b", "#34c79b", "#e79ac4", "#e6c84f", "#8fa8ff", "#b49cf0", "#9ba4af"),
        ordered=("#45659c", "#2f8f9d", "#35b779", "#9fd93a", "#fde725"),
        accuracy=("#171d26", "#1b3d52", "#1e6a78", "#3c9886", "#86c48e", "#e2efa4"),
        change=("#f7a56f", "#a3541f", "#20252c", "#2b6f9c", "#7cc8f2"),
        states={
            "complete": "#5a9fd6",
            "pruned": "#e0b040",
            "running": "#4fbfa5",
            "interrupted": "#4fbfa5",
            "diverged": "#ec7f45",
            "failed": "#d0668f",
            "waiting": "#6d747d",
        },
    ),
}


def theme(of: Theme) -> Json:
    """What the scripts need of a theme: a Plotly template and the colours that it hands out."""
    axis = {"gridcolor": of.grid, "linecolor": of.grid, "zerolinecolor": of.grid, "tickfont": {"color": of.muted}}
    font = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": of.ink}
    layout = {
        "font": font,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {"bgcolor": of.panel, "bordercolor": of.muted, "font": font, "align": "left"},
    }
    template = go.layout.Template(layout=layout, data={"heatmap": [{"colorscale": _scale(of.accuracy)}]})
    return {
        "template": template.to_plotly_json(),
        "ink": of.ink,
        "muted": of.muted,
        "panel": of.panel,
        "accent": of.accent,
        "categories": of.categories,
        "states": of.states,
        "change": _scale(of.change),
        "ordered": {n: _samples(of.ordered, n) for n in range(1, MOST + 2)},
    }


def _scale(colours: tuple[str, ...]) -> list[list[Any]]:
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def _samples(scale: tuple[str, ...], count: int) -> list[str]:
    points = [i / (count - 1) for i in range(count)] if count > 1 else [0.5]
    return [str(colour) for colour in sample_colorscale(list(scale), points)]


def as_json(figure: go.Figure) -> Json:
    """A figure without Plotly's default template; the scripts put the theme's in its place."""
    plain: Json = figure.to_plotly_json()
    plain["layout"].pop("template", None)
    return plain


def learning_curves() -> Json:
    """Four traces to copy and fill: validation, training, where a trial ended, and the highlighted trial."""
    hover = {"connectgaps": False, "hovertemplate": "<b>%{text}</b><br>epoch %{x}: %{y}<extra></extra>"}
    return as_json(
        go.Figure(
            data=[
                go.Scatter(mode="lines", **hover),
                go.Scatter(mode="lines", **hover, line={"dash": "dot"}),
                go.Scatter(mode="markers", **hover, marker={"line": {"width": 1.5}}),
                go.Scatter(mode="lines+markers", **hover, line={"width": 3}, marker={"size": 5}),
            ],
            layout={
                "height": 520,
                "margin": {"l": 56, "r": 12, "t": 34, "b": 48},
                "hovermode": "closest",
                "xaxis": {"title": {"text": "epoch"}, "showgrid": False, "ticks": "outside", "tickformat": "d"},
                "yaxis": {"automargin": True, "zeroline": False},
                "legend": {"orientation": "h", "yanchor": "top", "y": -0.14, "x": 0},
            },
        )
    )


def ranking() -> Json:
    """Two traces to fill: each trial's objective and its test metric, by rank."""
    hover = "<b>%{text}</b><br>%{y}<extra></extra>"
    return as_json(
        go.Figure(
            data=[
                go.Scatter(mode="markers", hovertemplate=hover),
                go.Scatter(mode="markers", hovertemplate=hover, marker={"symbol": "circle-open", "line": {"width": 2}}),
            ],
            layout={
                "height": 350,
                "margin": {"l": 56, "r": 12, "t": 62, "b": 44},
                "hovermode": "closest",
                "xaxis": {"title": {"text": "rank"}, "showgrid": False, "zeroline": False, "tickformat": "d"},
                "yaxis": {"automargin": True, "zeroline": False},
                "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
            },
        )
    )
