"""The plots of a page as SVG files: bars for costs and rates, lines for latencies.

They have no background and use colours that are readable on white and on dark pages. Text stays text. The same numbers
always give the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.measures import Spread, number

TEXT = "#777d85"
COLOURS = ("#2f81c7", "#cf7a22", "#5f8f3e", "#9a67c9")  # of the brokers, in the order of the run
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "leveret",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "axes.titlesize": 10,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
BAR_IN = 0.21  # height of a bar
ROOM_IN = 0.75  # for titles and legend


@dataclass
class Panel:
    """One plot of a figure: its title, and for each broker a value at each position."""

    title: str
    values: dict[str, list[Spread | None]]


def bars(path: Path, places: Sequence[str], panels: Sequence[Panel]) -> None:
    """Horizontal bars from zero: a group for each position, a bar for each broker, thin lines for ranges."""
    brokers = list(panels[0].values)
    height = ROOM_IN + BAR_IN * len(places) * (len(brokers) + 0.7)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, height), layout="constrained")
        for axes, panel in zip(_row(figure, len(panels)), panels, strict=True):
            _bars(axes, len(places), panel)
            axes.set_yticks(range(len(places)), places)
            axes.invert_yaxis()
        _save(figure, path, brokers)


def _bars(axes: Axes, places: int, panel: Panel) -> None:
    thick = 0.8 / len(panel.values)
    for index, spreads in enumerate(panel.values.values()):
        colour = COLOURS[index % len(COLOURS)]
        for place, spread in enumerate(spreads):
            if spread is not None:
                y = place - 0.4 + thick * (index + 0.5)
                axes.barh(y, spread.median, thick * 0.9, color=colour)
                axes.hlines(y, spread.least, spread.most, color=TEXT, linewidth=1)
                axes.annotate(
                    number(spread.median), (spread.most, y), (4, 0), textcoords="offset points", va="center", fontsize=8
                )
    axes.set_title(panel.title, loc="left")
    axes.set_ylim(-0.5, places - 0.5)
    axes.set_xlim(left=0)
    axes.margins(x=0.18)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def lines(path: Path, places: Sequence[str], panels: Sequence[Panel]) -> None:
    """A line for each broker over the positions, on a logarithmic axis, with ranges as shades."""
    brokers = list(panels[0].values)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 3.2), layout="constrained")
        for axes, panel in zip(_row(figure, len(panels)), panels, strict=True):
            for index, spreads in enumerate(panel.values.values()):
                known = [(place, spread) for place, spread in enumerate(spreads) if spread is not None]
                x = [place for place, _ in known]
                colour = COLOURS[index % len(COLOURS)]
                axes.plot(x, [spread.median for _, spread in known], color=colour, marker="o", markersize=4)
                low, high = [spread.least for _, spread in known], [spread.most for _, spread in known]
                axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_xticks(range(len(places)), places)
            axes.set_title(panel.title, loc="left")
        _save(figure, path, brokers)


def _row(figure: Figure, count: int) -> list[Axes]:
    made = figure.subplots(1, count, sharey=True, squeeze=False)
    return list(made[0])


def _save(figure: Figure, path: Path, brokers: Sequence[str]) -> None:
    marks = [
        matplotlib.patches.Patch(color=COLOURS[index % len(COLOURS)], label=name) for index, name in enumerate(brokers)
    ]
    figure.legend(handles=marks, loc="outside lower left", ncols=len(brokers), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
