"""The calls to AWS that a round makes: `fedgrass plan` knows them within bounds, and none is made twice."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from cli.planning.forecast import forecast
from protocol import tensors
from protocol.messages import CheckRound, ModelHeader, encode
from sandbox.function_logs import FunctionLine, function_lines
from sandbox.polling import eventually
from tests.cloud.examples import federation, update_of
from tests.cloud.simulated import SimulatedFederation

SIZES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "one invocation": (1000, 7, {}),
    "krum": (1000, 5, {"averaging": {"rule": "krum"}}),
    "several invocations": (
        6 << 20,
        3,
        {"averaging": {"shards": 2, "optimizer": {"name": "fedavgm"}, "ema": 0.9}, "download": "bfloat16"},
    ),
    "several invocations, krum": (3 << 20, 3, {"averaging": {"shards": 2, "rule": "krum", "byzantine": 0}}),
    "variance reduction": (1000, 4, {"averaging": {"variance_reduction": True}}),
    "buffered": (1000, 4, {"target": 4, "max_staleness": 2}),
}
"""Numbers of a model, clients that are averaged, and settings."""


def run(simulated: SimulatedFederation, numbers: int, clients: int, settings: dict[str, Any]) -> tuple[bytes, int]:
    """A federation's rounds, whose updates come one after another; returns the model that they start from, and which
    round is to be counted. If it is buffered, that is the second: as many clients again are training since the first.
    With variance reduction, too: the first one has no last updates to read.
    """
    busy = clients if "max_staleness" in settings else 0
    rounds = 2 if busy or settings.get("averaging", {}).get("variance_reduction") else 1
    value = {"w": np.zeros(numbers, "<f4")}
    model = tensors.dump(value, {"w": "F32"}, encode(ModelHeader(federation=simulated.name, round=0)))
    things = [f"d{number}" for number in range(clients + busy)]
    simulated.create(things, value, {"w": "F32"}, rounds=3, **settings)
    simulated.start()
    for round_number in range(1, rounds + 1):
        simulated.opened(round_number)
        for number, thing in enumerate(things[:clients], 1):
            simulated.assignment(thing, round_number)
            report = simulated.report(thing, round_number)
            simulated.put(thing, round_number, update_of({"w": np.full(numbers, 1e-3, "<f4")}, report))
            if number < clients:
                simulated.accepted_count(round_number, number)
        assert simulated.ended(round_number).status == "closed"
    return model, rounds


def lines_of(simulated: SimulatedFederation, function: str, last: str, round_number: int = 1) -> list[FunctionLine]:
    """The lines of a round, once the invocation is over that made this call."""

    def look() -> list[FunctionLine] | None:
        lines = function_lines(simulated.aws, function)
        mine = [line for line in lines if (line.federation, line.round) == (simulated.name, round_number)]
        return mine if any(last in line.calls for line in mine) else None

    return eventually(look, f"the lines of {function}")


def by_service(lines: list[FunctionLine]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for line in lines:
        for kind, calls in line.calls.items():
            service, _, operation = kind.partition(".")
            apart = {"s3": " reads" if operation == "GetObject" else " writes"}
            counted[service + apart.get(service, "")] += calls
    return counted


@pytest.mark.parametrize(("numbers", "clients", "settings"), SIZES.values(), ids=SIZES)
def test_a_round_makes_the_calls_that_were_planned_within_what_the_help_says(
    simulated: SimulatedFederation, numbers: int, clients: int, settings: dict[str, Any]
) -> None:
    model, round_number = run(simulated, numbers, clients, settings)
    made = federation(name=simulated.name, **settings)
    planned = forecast(
        tensors.parse_header(model, len(model)),
        ModelHeader(federation=simulated.name, round=0),
        clients,
        made.averaging,
        made.encoding,
        "us-east-1",
        has_bfloat16=made.has_bfloat16_copy,
    ).calls
    written = "s3.PutObject" if numbers < 1 << 20 else "s3.CompleteMultipartUpload"
    found = by_service(
        lines_of(simulated, simulated.deployed.initiator, "iot-data-plane.UpdateThingShadow", round_number)
        + lines_of(simulated, simulated.deployed.averager, written, round_number)
    )
    # Updates that are in memory are not read again. That the round is looked at later is not waited for.
    assert clients <= found.pop("s3 reads") <= 1.15 * planned.pop("s3 reads") + 3
    assert sum(found.values()) == pytest.approx(sum(planned.values()), rel=0.15)
    assert found == {service: pytest.approx(count, rel=0.25, abs=3) for service, count in planned.items()}


def test_updates_that_one_invocation_inspects_and_averages_are_read_once(simulated: SimulatedFederation) -> None:
    things = ["d0", "d1", "d2"]
    simulated.create(things, rounds=1)
    events = simulated.put_early({thing: simulated.update(thing, 1) for thing in things})
    simulated.claim(*things)
    assert simulated.invoke(simulated.deployed.averager, **events) == set()
    lines = lines_of(simulated, simulated.deployed.averager, "s3.PutObject")
    (closing,) = (line.calls for line in lines if "s3.PutObject" in line.calls)
    base, header = 1, 1
    assert closing["s3.GetObject"] - len(things) in (base, base + header)


def test_a_look_that_finds_that_the_round_has_ended_reads_it_and_no_more(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.ended(1)
    simulated.opened(2)  # with which the federation is still at round 1
    simulated.settled()
    before = lines_of(simulated, simulated.deployed.averager, "s3.PutObject")
    look = CheckRound(federation=simulated.name, life=simulated.life, round=1, at=0.0)
    assert simulated.invoke(simulated.deployed.averager, look=encode(look).decode()) == set()
    (line,) = lines_of(simulated, simulated.deployed.averager, "s3.PutObject")[len(before) :]
    assert line.calls == {"dynamodb.BatchGetItem": 1}


def test_an_update_that_comes_late_is_recorded_and_has_nothing_follow_again(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1", "d2"], rounds=2, target=1)
    simulated.start()
    late = simulated.update("d1", 1)
    simulated.assignment("d1", 1)
    simulated.answer("d0", 1)
    simulated.ended(1)
    simulated.opened(2)
    simulated.settled()
    before = lines_of(simulated, simulated.deployed.averager, "s3.PutObject")
    simulated.put("d1", 1, late)
    assert "late" in simulated.reason("d1", 1)
    simulated.settled()
    (line,) = lines_of(simulated, simulated.deployed.averager, "s3.PutObject")[len(before) :]
    reads = {"s3.GetObject", "dynamodb.BatchGetItem"}
    assert line.calls.keys() - reads == {"dynamodb.TransactWriteItems"}
