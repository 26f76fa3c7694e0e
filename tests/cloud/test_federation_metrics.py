"""What CloudWatch is told of a federation: each round once, each update that does not count when it comes."""

from typing import Any

from operations.deployment import Deployment
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation
from tests.cloud.test_alarms import emitted, lines_with_metrics


def told(simulated: SimulatedFederation, metric: str) -> list[dict[str, Any]]:
    """The lines that make a metric of the federation."""
    return [
        line
        for line in lines_with_metrics(simulated, simulated.deployed.averager)
        if metric in line and line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["federation"]]
        if line["federation"] == simulated.name
    ]


def test_a_round_is_told_of_once_however_often_its_messages_come(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=2, extension_s=0.0)
    simulated.start()
    simulated.opened(1)
    arrivals = {}
    for thing in ("d0", "d1"):
        version = simulated.answer(thing, 1, before={"loss": 2.0, "f1": 0.5})
        arrivals[thing] = simulated.arrival(thing, 1, version)
    assert simulated.ended(1).status == "closed"
    assert simulated.invoke_again(simulated.deployed.averager, **arrivals) == set()
    simulated.opened(2)
    simulated.reach_deadline(2)
    assert simulated.ended(2).status == "aborted"
    simulated.check(2)
    simulated.abort(2, "once more")
    simulated.settled()

    def rounds() -> list[dict[str, Any]] | None:
        found = told(simulated, "closed_rounds")
        return found if len(found) >= 2 else None

    closed, aborted = eventually(rounds, "both rounds to be told of")
    assert [(line["round"], line["status"]) for line in (closed, aborted)] == [(1, "closed"), (2, "aborted")]
    assert (closed["closed_rounds"], closed["accepted_updates"], closed["loss_before"]) == (1, 2, 2.0)
    assert closed["update_bytes"] > 0
    assert closed["metrics"]["f1_before"] == 0.5
    assert (aborted["aborted_rounds"], aborted["unanswered_clients"]) == (1, 2)
    assert aborted["reason"].startswith("the deadline was reached")
    assert closed["message"].startswith("closed: accepted=2 failed=0 refused=0 unanswered=0")


def test_updates_that_do_not_count_are_told_of_as_they_come_by_thing_and_reason(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1", "d2"], rounds=1, target=1)
    simulated.start()
    simulated.opened(1)
    simulated.put("d1", 1, b"no tensor")
    simulated.reason("d1", 1)
    simulated.answer("d0", 1)
    simulated.ended(1)
    simulated.answer("d2", 1)
    assert simulated.reason("d2", 1).startswith("late: ")
    simulated.settled()
    (refused,) = eventually(lambda: told(simulated, "refused_updates"), "a refusal")
    assert (refused["thing"], refused["round"], refused["refused_updates"]) == ("d1", 1, 1)
    assert refused["reason"].startswith("malformed: ")
    (late,) = eventually(lambda: told(simulated, "late_updates"), "a late one")
    assert (late["thing"], late["reason"][:6], late["level"]) == ("d2", "late: ", "WARNING")


def test_nothing_that_a_device_says_becomes_a_metric_or_a_dimension(
    deployed: Deployment, simulated: SimulatedFederation
) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    made_up = f"{simulated.name}-made-up"
    simulated.put_object(f"updates/{made_up}/00000001/d0.safetensors", b"no tensor")
    simulated.answer("d0", 1, before={"loss": 1.0, "round_s": 9.0}, after={"loss": 1.0})
    simulated.ended(1)
    simulated.settled()
    told_of = lines_with_metrics(simulated, deployed.averager)
    dimensions = {dimension for line in told_of for _, _, one in emitted(line) for dimension in one}
    assert {name for name, _ in dimensions} == {"function", "federation"}
    assert ("federation", made_up) not in dimensions
    assert {metric for line in told_of for _, metric, _ in emitted(line)}.isdisjoint({"loss_after", "round_s_before"})
