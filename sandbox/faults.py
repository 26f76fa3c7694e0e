"""Which faults there are, when each is to happen, and whether a federation survived them: all of it pure."""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses


class Fault(StrEnum):
    """What can go wrong."""

    POWER = "a device loses power in mid-training"
    AGENT = "an agent is killed"
    IDLE_LINE = "MQTT is cut for seconds as an assignment comes"
    BUSY_LINE = "MQTT is cut for seconds in mid-training"
    REFUSAL = "S3 answers 503 to a tenth of the calls"
    AVERAGER = "the averager is killed in mid-average"
    DUPLICATE = "events come twice"
    STRAGGLER = "a device stands still past the deadline"


DISRUPTIONS = (
    (Fault.STRAGGLER,),
    (Fault.AVERAGER,),
    *2 * ((Fault.POWER,), (Fault.AGENT,)),
    (Fault.IDLE_LINE, Fault.BUSY_LINE),
)
"""Each of these has a round of its own, but not the first, which starts processes, nor the last two: in them those who
were away come back."""

MIN_ROUNDS = 10
MIN_DEVICES = 4


class Planned(msgspec.Struct, frozen=True):
    """A fault that is to happen in this round, or in a later one should it come too late for this; and to which device,
    if it is one of a device's."""

    fault: Fault
    round: int
    thing: str | None = None


class ImpossibleChaosError(ValueError):
    """Too few rounds or devices for all faults."""


def check(rounds: int, devices: int) -> None:
    """Pass if there is room for all faults.

    Raises:
        ImpossibleChaosError: there are too few rounds or devices.
    """
    if rounds < MIN_ROUNDS or devices < MIN_DEVICES:
        raise ImpossibleChaosError(
            f"chaos needs at least {MIN_ROUNDS} rounds and {MIN_DEVICES} devices, not {rounds} and {devices}"
        )


def plan(seed: int, rounds: int, things: Iterable[str]) -> list[Planned]:
    """When what happens to whom; the same seed gives the same plan. Devices take turns: a nucleus gives up on an agent
    that ends again and again.

    Raises:
        ImpossibleChaosError: there are too few rounds or devices.
    """
    every = sorted(things)
    check(rounds, len(every))
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    when = sorted(generator.sample(range(2, rounds - 1), len(DISRUPTIONS)))
    what = generator.sample(DISRUPTIONS, len(DISRUPTIONS))
    victims = itertools.cycle(generator.sample(every, len(every)))
    planned = [Planned(Fault.DUPLICATE, number) for number in range(2, rounds, 3)]
    for number, faults in zip(when, what, strict=True):
        planned += [Planned(fault, number, None if fault is Fault.AVERAGER else next(victims)) for fault in faults]
    return planned


class Injection(msgspec.Struct, frozen=True):
    """A fault that happened: in which round, and to which device, if it is one of a device's."""

    fault: Fault
    round: int
    thing: str | None = None


class Survival(msgspec.Struct, frozen=True, kw_only=True):
    """How often a fault happened, in which rounds, and whether all went on as it should: if not, `problems` say what
    did not."""

    fault: Fault
    injected: int
    rounds: tuple[int, ...]
    survived: bool
    problems: tuple[str, ...] = ()


def judge(
    injections: Sequence[Injection], rounds: Sequence[RoundRecord], responses: Mapping[int, Responses]
) -> list[Survival]:
    """One Survival for each fault, from all rounds of a federation, and the responses to each.

    A fault is survived if it happened, each round that it happened in closed and counted each client once, and the
    device that it happened to took part again. Refusals happen in all rounds.
    """
    of_all = {fault: [each for each in injections if each.fault is fault] for fault in Fault}
    by_number = {record.round: record for record in rounds}
    judged = []
    for fault, happened in of_all.items():
        affected = sorted(by_number if fault is Fault.REFUSAL else {each.round for each in happened})
        problems = [] if happened else ["it did not happen"]
        for number in affected:
            problems += _problems_of_round(by_number[number], responses[number])
        for each in happened:
            problems += _problems_of(each, by_number[each.round], responses)
        judged.append(
            Survival(
                fault=fault,
                injected=len(happened),
                rounds=tuple(affected),
                survived=not problems,
                problems=tuple(dict.fromkeys(problems)),
            )
        )
    return judged


def _problems_of_round(record: RoundRecord, responses: Responses) -> list[str]:
    problems = []
    if record.status != "closed":
        problems.append(f"round {record.round} is {record.status}: {record.reason}")
    if record.lease_owner is not None:
        problems.append(f"round {record.round} is {record.status}, and leased by {record.lease_owner}")
    accepted = [response.thing for response in responses.accepted]
    if len(accepted) != record.accepted or len(set(accepted)) != len(accepted):
        problems.append(f"round {record.round} counted {record.accepted} updates, of {len(accepted)} clients")
    if strangers := set(accepted) - {member.thing for member in record.cohort}:
        problems.append(f"round {record.round} counted {', '.join(sorted(strangers))}, not of its cohort")
    return problems


def _problems_of(injection: Injection, record: RoundRecord, responses: Mapping[int, Responses]) -> list[str]:
    number, thing = injection.round, injection.thing
    problems = []
    if thing is not None and not any(_took_part(thing, responses[other]) for other in responses if other >= number):
        problems.append(f"{thing} took no part after round {number}")
    if injection.fault is Fault.AVERAGER and record.attempts < 2:
        problems.append(f"round {number} was averaged at the first attempt")
    if injection.fault is Fault.STRAGGLER and thing is not None:
        if _took_part(thing, responses[number]):
            problems.append(f"{thing} was in time in round {number}")
        elif (record.closed_at or 0.0) < record.deadline:
            problems.append(f"round {number} did not wait for {thing}")
    return problems


def _took_part(thing: str, responses: Responses) -> bool:
    return any(response.thing == thing for response in responses.accepted)
