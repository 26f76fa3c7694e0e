"""The CloudWatch dashboard and the saved queries of the template speak of what a run really logs."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from cloud import metrics
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from tests.cloud.simulated import SimulatedFederation
from tests.cloud.test_alarms import OF_AWS, alarms, json_lines
from tests.cloud.test_template import RESOURCES, of_type

QUERIES = {
    query["Name"]["Fn::Sub"].partition("/")[2]: query for query in of_type("AWS::Logs::QueryDefinition").values()
}
OF_DIMENSION = {
    "federation": metrics.OF_FEDERATION.keys(),
    "function": metrics.OF_EVERY_INVOCATION.keys() | {name for own in metrics.OF_FUNCTION.values() for name in own},
}
WORDS = {"filter", "fields", "sort", "limit", "stats", "by", "as", "and", "or", "in", "asc", "desc"}
FUNCTIONS = {"ispresent", "sum", "count", "avg", "latest", "bin"}


@pytest.fixture
def shown(aws: EmbeddedAws, deployed: Deployment) -> Mapping[str, Any]:
    """The dashboard, as CloudWatch has it."""
    name = f"{deployed.stack}-{aws.region}"
    body = aws.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    return dict(json.loads(body))


def of_kind(shown: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in shown["widgets"] if widget["type"] == kind]


def fields_of(query: str) -> set[str]:
    """The fields of lines that a query of Logs Insights names, without those that it makes."""
    query = re.sub(r"SOURCE '[^']*' \||'[^']*'", "", query)
    made = set(re.findall(r"\bas (\w+)", query))
    words = set(re.findall(r"(?<![@\w.])[a-z_][\w.]*", query))
    return words - made - WORDS - FUNCTIONS


def test_every_widget_shows_metrics_that_there_are(
    aws: EmbeddedAws, deployed: Deployment, shown: Mapping[str, Any]
) -> None:
    searched: dict[str, set[str]] = {"federation": set(), "function": set()}
    for widget in of_kind(shown, "metric"):
        assert widget["region"] == aws.region
        for first, *more in widget["metrics"]:
            if more:
                metric, *dimensions = more
                assert set(dimensions[::2]) == OF_AWS[first, metric]
                continue
            found = re.fullmatch(
                r"""SEARCH\('\{"([\w-]+)",(\w+)\} MetricName="(\w+)"', '(Sum|Average|Maximum)'\)""", first["expression"]
            )
            assert found, first
            assert found[1] == deployed.stack
            searched[found[2]].add(found[3])
            assert first["label"].startswith(f"${{PROP('Dim.{found[2]}')}}")
    assert searched["federation"] == metrics.OF_FEDERATION.keys()
    assert searched["function"] <= OF_DIMENSION["function"]


def test_the_dashboard_shows_every_alarm_and_its_widgets_do_not_overlap(
    aws: EmbeddedAws, shown: Mapping[str, Any]
) -> None:
    (widget,) = of_kind(shown, "alarm")
    assert set(widget["alarms"]) == {alarm["AlarmArn"] for alarm in alarms(aws)}
    taken: set[tuple[int, int]] = set()
    for one in shown["widgets"]:
        place = {(one["x"] + x, one["y"] + y) for x in range(one["width"]) for y in range(one["height"])}
        assert max(x for x, _ in place) < 24
        assert taken.isdisjoint(place)
        taken |= place


def test_the_dashboard_can_be_left_out() -> None:
    (dashboard,) = [one for one in RESOURCES.values() if one["Type"] == "AWS::CloudWatch::Dashboard"]
    assert dashboard["Condition"] == "IsShown"


def test_queries_ask_for_fields_that_lines_have_and_for_the_functions_own_logs(
    aws: EmbeddedAws, deployed: Deployment, simulated: SimulatedFederation, shown: Mapping[str, Any]
) -> None:
    simulated.create(["d0", "d1", "d2"], rounds=1, target=1)
    simulated.start()
    simulated.opened(1)
    simulated.report_progress("d1", 1, "failed", "out of memory")
    simulated.put("d0", 1, b"no tensor")
    simulated.reason("d0", 1)
    scores = {"loss": 1.0, "accuracy": 0.5}
    simulated.answer("d0", 1, before=scores, after=scores)
    simulated.ended(1)
    simulated.answer("d2", 1)
    simulated.reason("d2", 1)
    simulated.settled()
    logged = [line for function in (deployed.averager, deployed.initiator) for line in json_lines(simulated, function)]
    fields = {field for line in logged for field in line} | {"trace", "error"}  # of failures, of which there were none
    fields |= {f"metrics.{name}" for line in logged for name in line.get("metrics", ())}

    assert len(QUERIES) > 5
    for query in QUERIES.values():
        assert query["LogGroupNames"] == [{"Ref": "InitiatorLogs"}, {"Ref": "AveragerLogs"}]
        assert fields_of(query["QueryString"]) <= fields
    groups = {group["logGroupName"] for group in aws.client("logs").describe_log_groups()["logGroups"]}
    for widget in of_kind(shown, "log"):
        sources = re.findall(r"SOURCE '([^']+)'", widget["query"])
        assert len(sources) == 2
        assert set(sources) <= groups
        assert fields_of(widget["query"]) <= fields
