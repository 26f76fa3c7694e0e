"""Curves and bars as SVG files: with this package's only import of matplotlib, which takes a second."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cli.experiments.curves import Plot
from cli.experiments.round_times import RoundTime
from reporting.files import replacing
from reporting.records import STEPS

ROUND_TIME = "round-time.svg"

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


def draw_round_times(times: Sequence[RoundTime], out: Path) -> Path:
    """Draws a bar a combination, of what its rounds take their time for; returns the file."""
    path = out / ROUND_TIME
    with _axes(path, height=1.5 + 0.4 * len(times)) as axes:
        left = [0.0] * len(times)
        for number, part in enumerate(STEPS):
            widths = [time.parts[number] for time in times]
            if any(widths):
                bars = axes.barh(range(len(times)), widths, left=left, label=part, color=f"C{number}")
                for time, bar in zip(times, bars, strict=True):
                    bar.set_gid(f"{part} {time.combination}")
            left = [begin + width for begin, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(times)), [time.combination for time in times])
        axes.invert_yaxis()
        axes.set_xlabel("simulated seconds of a round, on the average")
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return path


def _draw(plot: Plot, across: str, places: Sequence[Sequence[float]], path: Path) -> None:
    with _axes(path, height=5.5) as axes:
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


@contextmanager
def _axes(path: Path, height: float) -> Iterator[Axes]:
    """Axes, which are a file when all is drawn. The same things give the same bytes, and texts stay texts."""
    with mpl.rc_context({"svg.hashsalt": "fedgrass", "svg.fonttype": "none", "text.parse_math": False}):
        figure = Figure(figsize=(9, height), layout="constrained")
        yield figure.add_subplot()
        with replacing(path) as file:
            figure.savefig(file, format="svg", metadata={"Date": None})
