"""The horizontal axes that the charts of a run have: its rounds, and its time."""

from collections.abc import Sequence

from reporting.pictures import formats
from reporting.pictures.charts.plane import Across, Axis
from reporting.pictures.charts.scale import tight_scale_of
from reporting.pictures.recorded_run import RecordedRun
from reporting.records import RoundLine

_UNITS_OF_TIME = (
    (180, "seconds", 1),
    (10_800, "minutes", 60),
    (259_200, "hours", 3600),
    (float("inf"), "days", 86_400),
)


def by_round(lines: Sequence[RoundLine]) -> Across:
    """A place for each round, with room for a bar."""
    numbers = [line.round for line in lines]
    scale = tight_scale_of((numbers[0] - 0.5, numbers[-1] + 0.5) if numbers else (), whole=True)
    labels = tuple(f"{tick:,.0f}" for tick in scale.ticks)
    return Across(Axis("round", scale, labels), tuple(map(float, numbers)), tuple(f"round {n:,}" for n in numbers))


def by_time(run: RecordedRun) -> Across | None:
    """A place for each end of a round; None if they take no time, as without devices in a simulation."""
    elapsed = [run.elapsed_s(line) for line in run.drawn]
    if not elapsed or elapsed[-1] <= 0 or elapsed != sorted(elapsed):
        return None
    name, unit = next((name, unit) for most, name, unit in _UNITS_OF_TIME if elapsed[-1] <= most)
    places = tuple(each / unit for each in elapsed)
    scale = tight_scale_of([0.0, *places])
    labels = tuple(f"{tick:,.6g}" for tick in scale.ticks)
    named = f"simulated {name}" if run.summary.clock == "simulated" else name
    hints = tuple(
        f"round {line.round:,}, after {formats.seconds(each)}" for line, each in zip(run.drawn, elapsed, strict=True)
    )
    return Across(Axis(named, scale, labels), places, hints)
