"""A federation, looked at again and again while its rounds go on: wherever it is, by what its tables say.

A look takes one GetItem and one BatchGetItem, and at most SHADOWS shadows and, RESPONSES_PER_S at the most, the
responses to the open round; besides, each round once, when it has ended. So what watching costs does not grow with the
number of clients.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from cloud.state.federations import Federations
from cloud.state.records import FederationRecord, RoundRecord, RoundResult
from cloud.state.rounds import Responses, UnknownRoundError
from protocol.messages import FINAL_PHASES, Progress
from reporting.fetching import RoundsOf, read_rounds
from reporting.round_figures import RoundFigures, figures_of
from reporting.view import View, held_by, state_of

REFRESH_S = 2.0
"""So long is waited from one look to the next."""

SHADOWS = 10
"""So many devices are asked in a look how far they are: those that were asked longest ago."""

RESPONSES_PER_S = 100
"""The responses to an open round are all read at once, and so seldom that they are no more than this."""

Tell = Callable[[RoundRecord, Responses], None]
"""Is called with each round that has ended."""

ProgressOf = Callable[[str, Sequence[str]], dict[str, Progress | None]]
"""What things of a federation say in their shadows, None if nothing."""


class Looking(Protocol):
    """What looks at a federation, as a Watcher does; `record` is the federation's, once it has looked."""

    record: FederationRecord

    def look(self) -> View: ...


class Watcher:
    """Looks at a federation. `shadows` is None if nobody wants to know how far devices are. The last `rounds` are read
    with all their responses, and so are those that end later; `tell` is called with each.

    Attributes, once it has looked:
        record: the federation's.
    """

    record: FederationRecord

    def __init__(
        self,
        federation: str,
        federations: Federations,
        rounds_of: RoundsOf,
        shadows: ProgressOf | None,
        *,
        rounds: int = 1,
        tell: Tell = lambda _record, _responses: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = federation
        self._federations = federations
        self._rounds_of = rounds_of
        self._rounds = rounds_of(Counter())
        self._shadows = shadows
        self._first_rounds = rounds
        self._tell = tell
        self._clock = clock
        self._life: str | None = None

    def look(self) -> View:
        """What there is to see now.

        Raises:
            UnknownFederationError: there is none of this name, or not any more.
        """
        self.record = record = self._federations.get(self._name)
        if record.life != self._life:
            self._begin(record)
        self._catch_up(record)
        is_last = record.round >= record.settings.rounds or bool(record.ended_by_rule)
        is_over = is_last and record.status == "finished"
        under_way = None if is_over else self._under_way(record)
        return View(
            federation=record.federation,
            round=record.round if under_way is None else under_way.round,
            rounds=record.settings.rounds,
            state=state_of(record, under_way),
            open=under_way,
            answers=self._responses if under_way else Responses(),
            heard={thing: said for thing, said in self._said.items() if said is not None} if under_way else {},
            earlier=self._earlier,
            ended=tuple(self._ended),
            held_by=held_by(record, is_open=under_way is not None),
            is_over=is_over,
        )

    def _begin(self, record: FederationRecord) -> None:
        first = max(1, record.round - self._first_rounds + 1)
        before = [one for one in self._rounds.results(record.federation, record.life) if one.round < first]
        self._life = record.life
        self._earlier: tuple[RoundResult, ...] = tuple(before)
        self._ended: list[RoundFigures] = []
        self._seen = first - 1
        self._previous_end = before[-1].closed_at if before else None
        self._forget()

    def _forget(self) -> None:
        """What was read of a round that was open."""
        self._version = -1
        self._responses = Responses()
        self._responses_due = 0.0
        self._said: dict[str, Progress | None] = {}
        self._asked_at: dict[str, float] = {}

    def _catch_up(self, record: FederationRecord) -> None:
        for found in read_rounds(self._rounds_of, record, range(self._seen + 1, record.round + 1)):
            self._seen = found.round
            if found.record is None:  # it can't be read, which is logged
                continue
            heard = self._last_words(found.record)
            self._ended.append(figures_of(found.record, found.responses, self._previous_end, heard))
            self._previous_end = found.record.closed_at
            self._tell(found.record, found.responses)
            self._forget()

    def _last_words(self, ended: RoundRecord) -> dict[str, Progress | None]:
        """Of those from whom no answer came."""
        asked = ended.vanished[:SHADOWS]
        return self._shadows_of(ended, asked) if asked and self._shadows else {}

    def _under_way(self, record: FederationRecord) -> RoundRecord | None:
        try:
            found = self._rounds.of(record.federation, record.life, record.round + 1)
        except UnknownRoundError:
            return None
        self._read_responses(found)
        if found.status == "open" and self._shadows:
            self._ask(found)
        return found

    def _read_responses(self, found: RoundRecord) -> None:
        now, version = self._clock(), found.version + found.refused
        if version != self._version and now >= self._responses_due:
            self._version = version
            self._responses = self._rounds.responses(found.federation, found.round)
            self._responses_due = now + len(found.cohort) / RESPONSES_PER_S

    def _ask(self, found: RoundRecord) -> None:
        answered = {one.thing for one in (*self._responses.accepted, *self._responses.failed)}
        final = {thing for thing, said in self._said.items() if said is not None and said.phase in FINAL_PHASES}
        at_it = [member.thing for member in found.cohort if member.thing not in answered | final]
        asked = sorted(at_it, key=lambda thing: self._asked_at.get(thing, 0.0))[:SHADOWS]
        now = self._clock()
        self._asked_at |= dict.fromkeys(asked, now)
        self._said |= self._shadows_of(found, asked)

    def _shadows_of(self, record: RoundRecord, things: Sequence[str]) -> dict[str, Progress | None]:
        """What they say of this round, or of that which they still work on for it."""
        assert self._shadows is not None  # noqa: S101 - callers have looked
        rounds = {member.thing: member.assigned_in or record.round for member in record.cohort}
        return {
            thing: said if said and (said.round, said.life) == (rounds.get(thing), record.life) else None
            for thing, said in self._shadows(record.federation, things).items()
        }
