"""The alarms of a deployed stack watch what a run really emits, and rise with what they are about."""

import json
from typing import Any

from cloud import metrics
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.function_logs import function_log
from sandbox.polling import eventually
from tests.cloud.simulated import SimulatedFederation

OF_AWS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName"},
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {"QueueName"},
    ("AWS/S3", "BucketSizeBytes"): {"BucketName", "StorageType"},
}
"""Metrics that AWS's own services emit, and their dimensions, as AWS documents them."""


def json_lines(simulated: SimulatedFederation, function: str) -> list[dict[str, Any]]:
    """All that a function has logged, but what Lambda says of its invocations."""
    return [json.loads(line) for line in function_log(simulated.aws, function) if line.startswith("{")]


def lines_with_metrics(simulated: SimulatedFederation, function: str) -> list[dict[str, Any]]:
    """The lines of a function that CloudWatch makes metrics of."""
    return [line for line in json_lines(simulated, function) if "_aws" in line]


def lines(simulated: SimulatedFederation, function: str) -> list[dict[str, Any]]:
    """What a function has emitted of its invocations."""
    return [line for line in lines_with_metrics(simulated, function) if "function" in line]


def total(simulated: SimulatedFederation, metric: str) -> float:
    """The sum of a metric of the averager."""
    return sum(float(line.get(metric, 0)) for line in lines(simulated, simulated.deployed.averager))


def emitted(line: dict[str, Any]) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """The metrics that CloudWatch makes of a line: namespace, name, dimensions."""
    return {
        (one["Namespace"], metric["Name"], tuple((name, line[name]) for name in dimensions))
        for one in line["_aws"]["CloudWatchMetrics"]
        for metric in one["Metrics"]
        for dimensions in one["Dimensions"]
        if isinstance(line[metric["Name"]], int | float)
    }


def alarms(aws: EmbeddedAws) -> list[dict[str, Any]]:
    """The alarms of the stack, as CloudWatch has them."""
    found: list[dict[str, Any]] = aws.client("cloudwatch").describe_alarms(AlarmNamePrefix="fedgrass-")["MetricAlarms"]
    return found


def test_every_alarm_watches_a_metric_that_a_run_emits_or_one_that_aws_does(
    aws: EmbeddedAws, deployed: Deployment, simulated: SimulatedFederation
) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    simulated.put("d0", 1, b"no tensor")
    simulated.reason("d0", 1)
    simulated.wake()
    simulated.settled()
    told = [line for function in (deployed.averager, deployed.initiator) for line in lines(simulated, function)]
    there = set().union(*map(emitted, told))
    queues = {url.rpartition("/")[2] for url in aws.client("sqs").list_queues()["QueueUrls"]}
    watched = alarms(aws)
    assert watched
    for alarm in watched:
        dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
        kind = (alarm["Namespace"], alarm["MetricName"])
        if alarm["Namespace"] == deployed.stack:
            assert (*kind, tuple(dimensions.items())) in there
            continue
        assert dimensions.keys() == OF_AWS[kind]
        if "QueueName" in dimensions:
            assert dimensions["QueueName"] in queues
        else:
            assert (dimensions["BucketName"], dimensions["StorageType"]) == (deployed.bucket, "StandardStorage")


def test_functions_emit_what_they_declare_and_no_more(deployed: Deployment, simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.wake()
    simulated.start()
    simulated.opened(1)
    simulated.answer("d0", 1)
    simulated.ended(1)
    simulated.settled()
    for function, name in (("averager", deployed.averager), ("initiator", deployed.initiator)):
        names = {metric for line in lines(simulated, name) for _, metric, _ in emitted(line)}
        assert names == metrics.OF_EVERY_INVOCATION.keys() | metrics.OF_FUNCTION[function].keys()


def test_updates_that_are_refused_are_counted_and_those_that_only_come_late_are_not(
    simulated: SimulatedFederation,
) -> None:
    before = total(simulated, "refused_updates")

    def refused() -> float:
        simulated.settled()
        return total(simulated, "refused_updates") - before

    simulated.create(["d0", "d1", "d2"], rounds=1, target=1)
    simulated.start()
    simulated.opened(1)
    of_junk = [
        simulated.arrival(thing, number, simulated.put(thing, number, b"no tensor"))
        for thing, number in (("d1", 1), ("stranger", 1), ("d1", 9))
    ]
    simulated.put_object(f"updates/{simulated.name}/no-update.safetensors", b"no tensor")
    assert simulated.reason("d1", 1).startswith("malformed: ")
    assert simulated.reason("stranger", 1) == "not in cohort"
    assert simulated.reason("d1", 0) == "unknown round 9"
    eventually(lambda: refused() == 4, "the refusals to be counted")

    simulated.answer("d0", 1)
    assert simulated.ended(1).accepted == 1
    simulated.answer("d2", 1)
    assert simulated.reason("d2", 1).startswith("late: ")
    for arrival in of_junk[:2]:  # told of again, they are no news
        assert simulated.invoke_again(simulated.deployed.averager, again=arrival) == set()
    assert refused() == 4


def test_a_round_that_ends_without_a_model_is_counted_once(simulated: SimulatedFederation) -> None:
    before = total(simulated, "aborted_rounds")
    simulated.create(["d0", "d1"], rounds=2, extension_s=0.0)
    simulated.start()
    simulated.opened(1)
    simulated.reach_deadline(1)
    assert simulated.ended(1).status == "aborted"
    simulated.check(1)
    simulated.opened(2)
    for thing in ("d0", "d1"):
        simulated.answer(thing, 2)
    assert simulated.ended(2).status == "closed"
    simulated.settled()
    eventually(lambda: total(simulated, "aborted_rounds") == before + 1, "the abort to be counted")


def test_each_wake_up_says_how_many_federations_stand_still(
    deployed: Deployment, simulated: SimulatedFederation
) -> None:
    def stalled() -> int:
        simulated.wake()
        told = [line for line in lines(simulated, deployed.initiator) if "stalled_federations" in line]
        newest = max(told, key=lambda line: line["_aws"]["Timestamp"])  # environments have each a stream of their own
        return int(newest["stalled_federations"])

    simulated.create(["d0"], rounds=1)
    at_rest = stalled()
    simulated.operations.federations.change_status(simulated.name, "running", ("ready",))
    assert stalled() == at_rest + 1  # nothing has opened yet: this very wake-up asks for it
    simulated.opened(1)
    assert stalled() == at_rest
    simulated.answer("d0", 1)
    simulated.ended(1)
    assert stalled() == at_rest
