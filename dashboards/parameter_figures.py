"""How the charts of hyper-parameters look: prototypes for the scripts to fill.

Parallel coordinates are plain lines: Plotly's own need WebGL and code made at run time, which the page forbids.
"""

import plotly.graph_objects as go

from sweeper.dashboards.figures import Json, as_json

BUTTONS = 34  # pixels above a chart for Plotly's buttons
HOVER = "<b>%{text}</b><br>%{y}<extra></extra>"


def parameter_figures() -> dict[str, Json]:
    return {"parallel": _parallel(), "slice": _slice(), "pair": _pair(), "importances": _importances()}


def _parallel() -> Json:
    """One trace to copy: the lines of trials of about the same objective."""
    hidden = {"visible": False, "fixedrange": True}
    return as_json(
        go.Figure(
            data=[go.Scatter(mode="lines", connectgaps=False, hovertemplate="<b>%{text}</b><extra></extra>")],
            layout={
                "height": 460,
                "margin": {"l": 40, "r": 40, "t": 40, "b": 20},
                "hovermode": "closest",
                "xaxis": hidden,
                "yaxis": {**hidden, "range": [-0.06, 1.06]},
                "legend": {"orientation": "h", "yanchor": "top", "y": -0.02, "x": 0},
            },
        )
    )


def _slice() -> Json:
    """Complete trials, pruned trials, and the means of the complete ones."""
    ring = {"symbol": "circle-open", "size": 7}
    return as_json(
        go.Figure(
            data=[
                go.Scatter(mode="markers", hovertemplate=HOVER, opacity=0.65),
                go.Scatter(mode="markers", hovertemplate=HOVER, marker=ring),
                go.Scatter(mode="lines+markers", hovertemplate=HOVER, line={"width": 1}),
            ],
            layout={
                "height": 300,
                "margin": {"l": 52, "r": 10, "t": BUTTONS, "b": 48},
                "hovermode": "closest",
                "showlegend": False,
                "xaxis": {"showgrid": False, "ticks": "outside", "zeroline": False},
                "yaxis": {"automargin": True, "zeroline": False},
            },
        )
    )


def _pair() -> Json:
    bar = {"thickness": 10, "outlinewidth": 0, "len": 0.9}
    bare = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True, "type": "category"}
    return as_json(
        go.Figure(
            data=[go.Heatmap(hoverinfo="text", xgap=2, ygap=2, hoverongaps=False, colorbar=bar)],
            layout={"margin": {"l": 8, "r": 8, "t": BUTTONS, "b": 8}, "xaxis": bare, "yaxis": bare},
        )
    )


def _importances() -> Json:
    shares = go.Bar(
        orientation="h", texttemplate="%{x:.0%}", textposition="outside", hoverinfo="skip", cliponaxis=False
    )
    return as_json(
        go.Figure(
            data=[shares],
            layout={
                "margin": {"l": 8, "r": 48, "t": BUTTONS, "b": 36},
                "bargap": 0.35,
                "xaxis": {"tickformat": ".0%", "rangemode": "tozero", "fixedrange": True, "zeroline": False},
                "yaxis": {"automargin": True, "autorange": "reversed", "fixedrange": True, "ticks": ""},
            },
        )
    )
