"""Curves as SVG files: with this package's only import of matplotlib, which takes a second."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from cli.experiments.curves import Plot
from reporting.files import replacing

_STYLES = ("-", "--", ":")
_COLORS = 10
"""So many colors there are, of matplotlib's; then the next style of lines begins."""

_UNREADABLE = re.compile(r"[^A-Za-z0-9._-]+")


def draw(plot: Plot, out: Path) -> list[Path]:
    """Draws a metric by round, and by simulated time if that goes on; returns the files."""
    name = _UNREADABLE.sub("-", plot.metric)
    files = [out / f"{name}-by-round.svg"]
    _draw(plot, "round", [curve.rounds for curve in plot.curves], files[0])
    if plot.has_time:
        files.append(out / f"{name}-by-time.svg")
        _draw(plot, "simulated seconds", [curve.seconds for curve in plot.curves], files[1])
    return files


def _draw(plot: Plot, across: str, places: Sequence[Sequence[float]], path: Path) -> None:
    # The same curves give the same bytes, and texts stay texts.
    with mpl.rc_context({"svg.hashsalt": "fedgrass", "svg.fonttype": "none", "text.parse_math": False}):
        figure = Figure(figsize=(9, 5.5), layout="constrained")
        axes = figure.add_subplot()
        for number, (curve, at) in enumerate(zip(plot.curves, places, strict=True)):
            color, style = f"C{number % _COLORS}", _STYLES[number // _COLORS]
            marker = "o" if len(at) == 1 else None
            (line,) = axes.plot(at, curve.mean, label=curve.combination, marker=marker, color=color, linestyle=style)
            line.set_gid(f"line {curve.combination}")
            band = axes.fill_between(at, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
            band.set_gid(f"band {curve.combination}")
        axes.set_xlabel(across)
        axes.set_ylabel(plot.metric)
        axes.grid(visible=True, alpha=0.3)
        if plot.left_out:
            axes.set_title(f"the best {len(plot.curves)} of {len(plot.curves) + plot.left_out} combinations")
        axes.legend(fontsize="small", loc="best")
        with replacing(path) as file:
            figure.savefig(file, format="svg", metadata={"Date": None})
