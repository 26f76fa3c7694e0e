"""A federation as it is now, in a few lines of a terminal: pure."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from cli import run_failures
from cli.model_warnings import number
from cli.plurals import counted
from cli.sparkline import sparkline
from cloud.state.metric_direction import direction
from components.text import printable
from protocol.messages import Numbers
from reporting.pictures import formats
from reporting.records import STEPS
from reporting.round_figures import Failing, RoundFigures
from reporting.view import STATES, WITHOUT_UPDATE, Device, DeviceState, View

METRICS = 6
"""So many metrics have a curve: the first ones of those that matter most."""

_LABEL = 16
_GAP = 2
_BAR = 60
_CURVE = 20
_SHORTEST_CURVE = 4
_SHOWN_S = 0.05

_COLORS: dict[DeviceState, str] = {
    "asked": "grey50",
    "accepted": "cyan",
    "training": "blue",
    "uploading": "magenta",
    "done": "dark_cyan",
    "counted": "green",
    "declined": "yellow",
    "failed": "red",
    "refused": "dark_red",
}
_STEP_COLORS = ("grey50", "grey70", "cyan", "blue", "magenta", "dark_cyan", "red", "green", "yellow")


def picture(view: View, now: float, *, columns: int = 80, has_bars: bool = True) -> list[RenderableType]:
    """The lines of a picture, on a terminal of so many columns; no bar is cut, and of texts none that 80 columns have
    room for, but for those of others. With `has_bars`, the terminal can show those of curves."""
    devices = view.devices()
    bar = max(1, min(_BAR, columns - _LABEL - _GAP))
    curve = max(_SHORTEST_CURVE, _CURVE - (_BAR - bar))
    lines = [Text(_heading(view, now), "bold"), *_devices(devices, bar, curve)]
    if view.rounds:
        lines.append(_line("rounds", _bar([("green", len(view.measured())), ("grey30", _rounds_left(view))], bar)))
    lines += _curves(view.measured(), curve if has_bars else 0)
    if view.ended:
        lines += _time(view.ended[-1], bar)
    failing = [Failing(thing=one.name, state=one.state, reason=one.reason or "") for one in devices if _is_without(one)]
    lines += [Text(f"  {printable(text)}", "red") for text in run_failures.lines(failing)]
    if view.spent_usd is not None:
        lines.append(_line("dollars in AWS", Text(f"{formats.dollars(view.spent_usd)} so far, estimated")))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return list(lines)


def _heading(view: View, now: float) -> str:
    if view.held_by is not None:
        return printable(f"{view.federation}  {view.held_by}")
    heading = f"{view.federation}  round {view.round:,} of {view.rounds:,}: {view.state}"
    if view.open is None:
        return printable(heading)
    left = view.open.deadline - now
    deadline = f", deadline in {formats.seconds(left)}" if left > 0 and view.open.status == "open" else ""
    return printable(f"{heading}, for {formats.seconds(max(0.0, now - view.open.opened_at))}{deadline}")


def _rounds_left(view: View) -> int:
    return max(0, view.rounds - len(view.measured()))


def _is_without(device: Device) -> bool:
    return device.state in WITHOUT_UPDATE


def _devices(devices: Sequence[Device], bar: int, curve: int) -> Iterator[Text]:
    if not devices:
        return
    counts = {state: sum(one.state == state for one in devices) for state in STATES}
    told = [(f"{state} {count:,}", _COLORS[state]) for state, count in counts.items() if count]
    yield from _parts("devices", told, bar)
    yield _line("", _bar([(_COLORS[state], count) for state, count in counts.items()], bar))
    shares = [share for one in devices if one.state == "training" and (share := one.share) is not None]
    if shares:
        done = sum(shares) / len(shares)
        of_all = _bar([(_COLORS["training"], done), ("grey30", 1 - done)], curve)
        yield _line("training", Text.assemble(of_all, f"  {done:.0%} of it, {counted(len(shares), 'device')}"))


def _curves(measured: Sequence[Numbers], width: int) -> Iterator[Text]:
    names = dict.fromkeys(name for one in measured for name in one)
    ranked = sorted(names, key=lambda name: (not name.startswith("held_out_"), -direction(name)))
    for name in ranked[:METRICS]:
        values = [one.get(name) for one in measured]
        known = [value for value in values if value is not None]
        if not known:
            continue
        curve = f"{sparkline(values, width):{width}}" if width else ""
        yield _line(name, Text(f"{number(known[0])}  {curve}  {number(known[-1])}{_best(name, values)}"))


def _best(name: str, values: Sequence[float | None]) -> str:
    known = [(value, place) for place, value in enumerate(values, 1) if value is not None]
    if not (sign := direction(name)):
        return ""
    value, place = max(known, key=lambda pair: (sign * pair[0], -pair[1]))
    return f"  best {number(value)} in {place:,}"


def _time(figures: RoundFigures, bar: int) -> Iterator[Text]:
    steps = [(step, figures.split.get(step, 0.0), color) for step, color in zip(STEPS, _STEP_COLORS, strict=True)]
    told = [(f"{step} {seconds:.1f}", color) for step, seconds, color in steps if seconds >= _SHOWN_S]
    yield from _parts(f"round {figures.round:,}", [(formats.seconds(figures.round_s), ""), *told], bar)
    if told:
        yield _line("", _bar([(color, seconds) for _, seconds, color in steps], bar))


def _parts(label: str, parts: Sequence[tuple[str, str]], width: int) -> Iterator[Text]:
    """Words in the colors of a bar's parts, on as many lines as they take."""
    line = Text()
    for word, color in parts:
        if line and len(line) + len(word) + 2 > width:
            yield _line(label, line)
            label, line = "", Text()
        line.append("  " if line else "").append(word, color)
    yield _line(label, line)


def _line(label: str, content: Text) -> Text:
    shown = printable(label)
    if len(shown) > _LABEL:
        shown = f"{shown[: _LABEL - 2]}.."
    return Text.assemble((f"{shown:{_LABEL + _GAP}}", "dim"), content)


def _bar(parts: Sequence[tuple[str, float]], width: int) -> Text:
    """Parts as long as their shares, in colors; it needs no other character than a space."""
    whole = sum(max(0.0, value) for _, value in parts)
    bar, begun, drawn = Text(), 0.0, 0
    for color, value in parts:
        begun += max(0.0, value)
        end = round(width * begun / whole) if whole else 0
        bar.append(" " * (end - drawn), f"on {color}")
        drawn = end
    return bar
