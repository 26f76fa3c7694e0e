"""How long `fedgrass dashboard` takes to bring a page up to date, with a large fleet.

`python -m benchmarks.dashboard` looks at a federation of 1,000 devices after 50 rounds, whose records are made up and
in memory: what reading them takes is AWS's. The last line is JSON: {"devices", "rounds", "moment_s", "moment_kb",
"round_s", "round_kb", "page_kb"}: the processor time of drawing what is new, and how much of it a page gets, when a
hundred devices have gone on, and when a round has ended; and what a page that is opened gets.
"""

import statistics
import sys
import time
from typing import Annotated

import msgspec
import typer

from cli.dashboard.board import Board
from cli.dashboard.drawing import Drawing
from cli.dashboard.page import page
from cloud.state.records import FederationRecord, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import ModelReference, Progress, Timings
from reporting.round_figures import RoundFigures, figures_of
from reporting.view import View
from reporting.watching import Tell
from sandbox.example_updates import BASE, report, round_record

_ROUND_S = 60.0
_MOVING = 100


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    devices: int
    rounds: int
    moment_s: float
    moment_kb: float
    round_s: float
    round_kb: float
    page_kb: float


class MadeUp:
    """A federation whose rounds end when they are told to, and whose devices go on a hundred at a time."""

    def __init__(self, devices: int, rounds: int, tell: Tell) -> None:
        self._things = [f"device-{number:04d}" for number in range(devices)]
        self._tell = tell
        self._looks = 0
        self._ended: list[RoundFigures] = []
        opened = round_record(*self._things)
        model = ModelReference(key="federations/f/models/00000001.safetensors", sha256=BASE.sha256, bytes=BASE.bytes)
        settings = msgspec.structs.replace(opened.settings, rounds=10 * rounds)
        self.record = FederationRecord(
            federation="f", settings=settings, status="running", round=0, model=model, schema="s"
        )
        for _ in range(rounds):
            self.end_round()

    def end_round(self) -> None:
        """With an update of each device but one in twenty, which failed."""
        number = self.record.round + 1
        begun = number * _ROUND_S
        times = {"averaged_at": begun + 58, "closed_at": begun + 59, "opened_at": begun, "deadline": begun + 60}
        ended = round_record(*self._things, round=number, status="closed", **times)
        responses = [self._response(thing, place, ended) for place, thing in enumerate(self._things)]
        found = Responses(
            accepted=tuple(one for one in responses if one.state == "accepted"),
            failed=tuple(one for one in responses if one.state == "failed"),
            notified=dict.fromkeys(self._things, begun),
        )
        metrics = {"accuracy_before": 1 - 1 / number, "loss_before": 1 / number}
        ended = msgspec.structs.replace(ended, accepted=len(found.accepted), failed=len(found.failed), metrics=metrics)
        self._tell(ended, found)
        self._ended.append(figures_of(ended, found, begun - 1, {}))
        self.record = msgspec.structs.replace(self.record, round=number)

    def look(self) -> View:
        """A hundred devices have gone on since the last time."""
        self._looks += 1
        number = self.record.round + 1
        said = {}
        for place, thing in enumerate(self._things):
            epoch = max(0, self._looks - place % (len(self._things) // _MOVING or 1))
            said[thing] = Progress(round=number, phase="training", epoch=epoch, epochs=1000)
        opened = round_record(*self._things, round=number, opened_at=number * _ROUND_S, deadline=1e12)
        return View(
            federation="f",
            round=number,
            rounds=self.record.settings.rounds,
            state="open",
            open=opened,
            heard=said,
            ended=tuple(self._ended),
        )

    def _response(self, thing: str, place: int, record: RoundRecord) -> ResponseRecord:
        at = record.opened_at + 10 + place / 100
        if place % 20 == 0:
            reason = f"train() of task.py: ValueError: sensor {place} is wet"
            return ResponseRecord(thing=thing, state="failed", arrived_at=at, inspected_at=at, reason=reason)
        timings = Timings(accepted_at=at - 8, downloaded_at=at - 7, trained_at=at - 2, uploading_at=at - 1, train_s=4.0)
        values = {"accuracy": place / 1000, "loss": 1 - place / 1000}
        said = report(thing, round=record.round, before=values, after=values, timings=timings)
        return ResponseRecord(thing=thing, state="accepted", arrived_at=at, inspected_at=at + 1, bytes=9, report=said)


def measure(devices: int, rounds: int) -> Figures:
    """Draw such a federation again and again."""
    made: list[MadeUp] = []

    def make(tell: Tell, _: int) -> MadeUp:
        made.append(MadeUp(devices, rounds, tell))
        return made[0]

    drawing, board = Drawing(make, None, "us-east-1"), Board()
    board.show(*drawing.draw())
    size = len(page("f", board).encode())
    moments = [_new(drawing, board) for _ in range(5)]
    ends = []
    for _ in range(3):
        made[0].end_round()
        ends.append(_new(drawing, board))
    return Figures(
        devices=devices,
        rounds=rounds,
        moment_s=round(statistics.median(seconds for seconds, _ in moments), 3),
        moment_kb=round(statistics.median(count for _, count in moments) / 1000, 1),
        round_s=round(statistics.median(seconds for seconds, _ in ends), 3),
        round_kb=round(statistics.median(count for _, count in ends) / 1000, 1),
        page_kb=round(size / 1000, 1),
    )


def _new(drawing: Drawing, board: Board) -> tuple[float, int]:
    """The processor time until there is something to be sent, in seconds, and its bytes."""
    seen, begun = board.version, time.process_time()
    board.show(*drawing.draw())
    told = msgspec.json.encode(board.since(seen))
    return time.process_time() - begun, len(told)


def main(
    devices: Annotated[int, typer.Option(min=100, help="How many devices.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds have ended.")] = 50,
) -> None:
    """Print the figures as JSON."""
    sys.stdout.write(msgspec.json.encode(measure(devices, rounds)).decode() + "\n")


if __name__ == "__main__":
    typer.run(main)
