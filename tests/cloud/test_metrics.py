"""cloud/metrics.py: every invocation tells what it cost, whether it went well or not."""

import json
from collections import Counter
from typing import Any

import pytest

from cloud import metrics


def line_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(capsys.readouterr().out)
    return line


def test_an_invocation_writes_one_line_that_cloudwatch_makes_metrics_of(capsys: pytest.CaptureFixture[str]) -> None:
    calls = Counter({"left.From.BeforeThis": 9})
    waited_s = {"read": 9.0}
    left_out = Counter({"FederationRecord": 9})
    with metrics.measured("meadow", "averager", calls, waited_s, left_out) as properties:
        waited_s["write"] = 0.25
        calls["s3.GetObject"] += 2
        calls["dynamodb.Query"] += 1
        left_out["ClientRecord"] += 2
        properties["federation"] = "f"
    line = line_of(capsys)
    (definition,) = line["_aws"]["CloudWatchMetrics"]
    assert definition["Namespace"] == "meadow"
    assert definition["Dimensions"] == [["function"]]
    names = [metric["Name"] for metric in definition["Metrics"]]
    assert all(isinstance(line[name], int | float) for name in names)
    assert (line["function"], line["federation"], line["errors"]) == ("averager", "f", 0)
    assert (line["aws_calls"], line["calls"]) == (3, {"dynamodb.Query": 1, "s3.GetObject": 2})
    assert line["waited_s"] == {"write": 0.25}
    assert (line["unreadable_records"], line["left_out"]) == (2, {"ClientRecord": 2})
    assert "unreadable_records" in names
    assert line["duration_s"] >= 0
    assert line["peak_memory_mb"] > 10


def test_an_invocation_that_fails_is_counted_and_still_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookupError), metrics.measured("meadow", "initiator", Counter(), {}, Counter()):
        raise LookupError("no such table")
    line = line_of(capsys)
    assert (line["errors"], line["error"]) == (1, "LookupError: no such table")
