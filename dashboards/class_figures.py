"""How the charts of classes look: accuracies, bars with intervals, effects of axes, confusion."""

import plotly.graph_objects as go

from sweeper.dashboards.figures import Json, as_json

MARGIN = {"l": 8, "r": 12, "t": 8, "b": 40}
COLOUR_BAR = {"thickness": 10, "outlinewidth": 0, "len": 200, "lenmode": "pixels", "y": 1, "yanchor": "top"}


def class_figures() -> dict[str, Json]:
    return {"classes": _classes(), "bars": _bars(), "effects": _effects(), "confusion": _confusion()}


def _classes() -> Json:
    """One heatmap to fill: trials down, classes across, accuracy as colour."""
    return as_json(_matrix(COLOUR_BAR | {"tickformat": ".0%"}))


def _bars() -> Json:
    """One trace to copy for each trial: classes down, accuracy and its interval across."""
    whisker = {"type": "data", "symmetric": False, "thickness": 1.4, "width": 3}
    hover = {"hovertemplate": "%{hovertext}<extra></extra>"}
    return as_json(
        go.Figure(
            data=[go.Bar(orientation="h", error_x=whisker, **hover)],
            layout={
                "margin": MARGIN | {"t": 34, "r": 24},
                "barmode": "group",
                "bargap": 0.28,
                "bargroupgap": 0.08,
                "xaxis": {"range": [0, 1], "tickformat": ".0%", "zeroline": False, "automargin": True},
                "yaxis": {"showgrid": False, "autorange": "reversed", "automargin": True, "ticks": ""},
                "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "traceorder": "normal"},
                "showlegend": True,
            },
        )
    )


def _effects() -> Json:
    """One heatmap to fill: axes down, classes across, the share of variance as colour."""
    return as_json(_matrix(COLOUR_BAR | {"tickformat": ".0%", "len": 140}, zmin=0, zmax=1))


def _confusion() -> Json:
    """One heatmap to fill: true classes down, predicted ones across."""
    figure = _matrix(COLOUR_BAR)
    figure.update_layout(
        xaxis={"title": {"text": "predicted", "standoff": 6}}, yaxis={"title": {"text": "true", "standoff": 6}}
    )
    return as_json(figure)


def _matrix(colorbar: Json, **scale: float) -> go.Figure:
    axis = {"showgrid": False, "automargin": True, "ticks": "", "zeroline": False}
    return go.Figure(
        data=[go.Heatmap(hoverinfo="text", xgap=1, ygap=1, hoverongaps=False, colorbar=colorbar, **scale)],
        layout={
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "xaxis": axis | {"side": "top", "ticklabeloverflow": "allow"},
            "yaxis": axis | {"autorange": "reversed"},
        },
    )
