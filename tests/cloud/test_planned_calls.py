"""cli/planning/calls.py: the calls that a round makes are the ones that were planned."""

from collections import Counter

import numpy as np

from cli.planning.calls import Round, averager, initiator, later
from cli.planning.forecast import round_of
from cloud.settings import Federation
from protocol import tensors
from protocol.messages import CheckRound, ModelHeader, encode
from sandbox.federated_run import FunctionLine, function_lines
from tests.cloud.examples import federation, update_of
from tests.cloud.simulated import SimulatedFederation, eventually


def run(simulated: SimulatedFederation, numbers: int, clients: int, settings: Federation) -> Round:
    """A federation's first round, whose updates come one after another; returns it as it could have been planned."""
    value = {"w": np.zeros(numbers, "<f4")}
    model = tensors.dump(value, {"w": "F32"}, encode(ModelHeader(federation=simulated.name, round=0)))
    header = tensors.parse_header(model, len(model))
    operations = simulated.operations
    reference = operations.put_initial(settings, model)
    operations.federations.create(settings, reference, tensors.schema_id(header.schema))
    things = [f"{simulated.name}-{number}" for number in range(clients)]
    for thing in things:
        simulated.register(thing)
        simulated.say_hello(thing)
    eventually(lambda: len(operations.clients.of(simulated.name)) == clients, "all to be known")
    simulated.start()
    simulated.opened(1)
    for number, thing in enumerate(things, 1):
        simulated.put(thing, 1, update_of({"w": np.full(numbers, 1e-3, "<f4")}, simulated.report(thing, 1)))
        if number < clients:
            simulated.accepted_count(1, number)
    assert simulated.ended(1).status == "closed"
    return round_of(
        header,
        ModelHeader(federation=simulated.name, round=0),
        clients,
        settings.averaging,
        settings.encoding,
        copied=settings.download == "bfloat16",
    )


def lines_of(simulated: SimulatedFederation, function: str, last: str) -> list[FunctionLine]:
    """The lines of a round, once the invocation is over that made this call."""

    def look() -> list[FunctionLine] | None:
        lines = function_lines(simulated.aws, function)
        mine = [line for line in lines if (line.federation, line.round) == (simulated.name, 1)]
        return mine if any(last in line.calls for line in mine) else None

    return eventually(look, f"the lines of {function}")


def counted(lines: list[FunctionLine]) -> Counter[str]:
    return sum((Counter(line.calls) for line in lines), Counter())


def test_a_small_round_makes_the_calls_that_were_planned(simulated: SimulatedFederation) -> None:
    settings = federation(name=simulated.name, rounds=2)
    planned = run(simulated, 1000, 7, settings)
    opening = counted(lines_of(simulated, simulated.deployed.initiator, "iot-data-plane.UpdateThingShadow"))
    assert opening == initiator(7)
    lines = lines_of(simulated, simulated.deployed.averager, "s3.PutObject")
    made = counted(lines)
    # Each update comes alone. What shares a batch with one is an earlier federation's look at a round that has ended.
    looks = sum(line.messages - 1 for line in lines)
    wanted = averager(planned) + Counter({"dynamodb.BatchGetItem": looks})
    reads = made.pop("s3.GetObject") - wanted.pop("s3.GetObject")
    # Updates that are in memory are not read again; an environment that has not met the model reads its header.
    assert -7 <= reads <= 2
    # A transaction that meets another one, as of a hello that is delivered again, is tried again.
    assert made in (wanted, wanted + Counter({"dynamodb.TransactWriteItems": 1}))


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


def test_a_large_round_makes_the_calls_that_were_planned(simulated: SimulatedFederation) -> None:
    settings = federation(
        name=simulated.name,
        rounds=2,
        averaging={"shards": 2, "optimizer": {"name": "fedavgm"}, "ema": 0.9},
        download="bfloat16",
    )
    planned = run(simulated, 6 << 20, 3, settings)
    assert (planned.plan.shards, len(planned.grid.parts)) == (2, 3)
    wanted = averager(planned)
    made = counted(lines_of(simulated, simulated.deployed.averager, "s3.CompleteMultipartUpload"))
    wanted["s3.GetObject"] -= 2 * len(planned.grid.parts)  # beside the first model there is no state and no average
    assert 3 <= made["s3.GetObject"] <= wanted["s3.GetObject"] + 3  # of the updates, two can be in memory still
    # Jobs that end at once note it one after the other; and a delivery may look at the round when it has ended.
    more = later(planned) + Counter({"dynamodb.BatchGetItem": 2, "dynamodb.TransactWriteItems": 2})
    for kind, count in wanted.items():
        if kind != "s3.GetObject":
            assert count <= made[kind] <= count + more[kind], kind
    assert made.keys() <= wanted.keys() | more.keys()
