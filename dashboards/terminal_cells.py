"""Cells in the terminal: what each setting reached over its seeds."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.text import Text

from sweeper.dashboards.levels import varies
from sweeper.dashboards.ranking import objective
from sweeper.dashboards.terminal import counted, fitting, ranked_rows, short_number, told_dropped, told_order


def print_cells(
    cells: pd.DataFrame, axes: Sequence[str], metric: str, mode: str, top: int | None, console: Console
) -> None:
    """The first `top` rows of the cells table (all when None): axes that vary, complete trials, mean ± deviation."""
    if not len(cells):
        console.print(Text("No trials yet.", style="dim"))
        return
    shown = cells[:top]
    changing = [axis for axis in axes if varies(cells[axis])]
    measures = dict.fromkeys([metric, "val/top1", "test/top1"])
    spreads = {name: _spreads(shown, name) for name in measures if f"{name}_mean" in cells.columns}
    counts = [f"{complete} of {seeds}" for complete, seeds in zip(shown["complete"], shown["seeds"], strict=True)]
    best = ["-" if pd.isna(number) else f"#{number}" for number in shown["best_number"]]
    table = shown[changing].assign(complete=counts, **spreads, best=best)
    columns, dropped = fitting(table, list(table.columns), console.width - 1)
    has_winner = bool(objective(cells, f"{metric}_mean").notna().iloc[0])
    marks = ["*" if has_winner and not row else "" for row in range(len(shown))]
    states = ["complete" if complete else "pruned" for complete in shown["complete"]]
    console.print(ranked_rows(marks, columns, states))
    number = f"{counted(len(cells), 'cell')} of {counted(int(cells['seeds'].sum()), 'trial')}"
    lines = [f"{number}. {told_order(len(shown), len(cells), f'mean {metric} ({mode})', has_winner)}"]
    lines += ["Mean ± standard deviation over a cell's complete trials."] if cells["complete"].max() > 1 else []
    for line in [*lines, *told_dropped(dropped)]:
        console.print(Text(line, style="dim"))


def _spreads(cells: pd.DataFrame, metric: str) -> list[str]:
    """ "0.9749 ± 0.0021"; the mean alone where there is one trial."""
    pairs = zip(cells[f"{metric}_mean"].tolist(), cells[f"{metric}_std"].tolist(), strict=True)
    return [
        short_number(mean) + (f" ± {short_number(deviation)}" if deviation == deviation else "")
        for mean, deviation in pairs
    ]
