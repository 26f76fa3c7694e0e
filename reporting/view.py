"""A federation at a moment, as onlookers see it: what its rounds came to, and what each client is at. Pure."""

from typing import Literal, get_args

import msgspec

from cloud.state.records import FederationRecord, RoundRecord, RoundResult
from cloud.state.rounds import Responses
from protocol.messages import Numbers, Progress
from reporting.round_figures import RoundFigures

DeviceState = Literal["asked", "accepted", "training", "uploading", "done", "counted", "declined", "failed", "refused"]
STATES: tuple[DeviceState, ...] = get_args(DeviceState)
"""In the order in which a client comes to them: `done` has sent its update, `counted` is one that counts."""

WITHOUT_UPDATE: frozenset[DeviceState] = frozenset({"declined", "failed", "refused"})


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What a client of the present round is at. `epoch` of its `epochs` is behind it, if it tells."""

    name: str
    state: DeviceState
    reason: str | None = None
    epoch: int | None = None
    epochs: int | None = None

    @property
    def share(self) -> float | None:
        """How much of its training is behind it, from 0 to 1; None if it does not tell."""
        return min(1.0, self.epoch / self.epochs) if self.epoch is not None and self.epochs else None


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What an onlooker can see.

    `round` is the one that is under way, or the last one; `open` its record, and `answers` and `heard` what came of its
    clients, as far as that was read: None of `heard` is one that has said nothing. `ended` are rounds that were seen to
    their end, `earlier` those before. `held_by` is what an operator has to do before another round opens.
    """

    federation: str = ""
    round: int = 0
    rounds: int = 0
    state: str = "starting"
    open: RoundRecord | None = None
    answers: Responses = Responses()
    heard: dict[str, Progress] = {}
    earlier: tuple[RoundResult, ...] = ()
    ended: tuple[RoundFigures, ...] = ()
    held_by: str | None = None
    is_over: bool = False

    def devices(self) -> list[Device]:
        """The clients of the present round, in the order of their names."""
        asked = [] if self.open is None else [member.thing for member in self.open.cohort]
        found = {thing: _device(thing, self.heard.get(thing)) for thing in sorted({*asked, *self.heard})}
        for response in self.answers.refused:
            if response.thing in found and not response.is_late:
                found[response.thing] = Device(name=response.thing, state="refused", reason=response.reason)
        for response in self.answers.failed:
            state: DeviceState = "declined" if response.state == "declined" else "failed"
            found[response.thing] = Device(name=response.thing, state=state, reason=response.reason)
        for response in self.answers.accepted:
            found[response.thing] = Device(name=response.thing, state="counted")
        return list(found.values())

    @property
    def counting(self) -> int:
        """How many updates count in the present round: by the answers that were read, as the states of `devices`, so
        that both tell of the same moment. The round's record was read at another."""
        return len(self.answers.accepted)

    def measured(self) -> list[Numbers]:
        """The metrics of each round that has ended, those on data that no device has first."""
        before: list[Numbers] = [dict(result.metrics or {}) for result in self.earlier]
        return before + [
            {**{f"held_out_{name}": value for name, value in one.metrics.items()}, **one.client_metrics}
            for one in self.ended
        ]

    @property
    def spent_usd(self) -> float | None:
        """What the rounds that have ended have cost in AWS, as far as that is known."""
        spent = [*(one.spent_usd for one in self.earlier), *(one.spent_usd for one in self.ended)]
        return next((one for one in reversed(spent) if one is not None), None)


def _device(thing: str, said: Progress | None) -> Device:
    if said is None:
        return Device(name=thing, state="asked")
    return Device(name=thing, state=said.phase, reason=said.reason, epoch=said.epoch, epochs=said.epochs)


def state_of(record: FederationRecord, under_way: RoundRecord | None) -> str:
    """What the federation is at, in words."""
    if under_way is not None:
        return under_way.status
    if record.status != "running":
        return "not started" if record.status == "ready" else record.status
    return "waiting for clients" if record.waiting else "between rounds"


def held_by(record: FederationRecord, *, is_open: bool) -> str | None:
    """What an operator has to do before another round opens; None if nothing."""
    name, has_more = record.federation, record.round < record.settings.rounds
    if is_open or not has_more:
        return None
    if record.status == "ready":
        return f"not started: it begins with fedgrass start {name}"
    if record.status == "paused":
        return f"paused: it goes on with fedgrass resume {name}"
    if record.waiting and record.expelled:
        return f"too few clients are left: it goes on with fedgrass readmit, of {', '.join(record.expelled)}"
    return None
