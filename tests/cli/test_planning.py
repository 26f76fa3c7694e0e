"""fedgrass plan: what a round will take is what one takes."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from cli.planning.forecast import ALARMS, FEDERATION_METRICS, METRICS, forecast
from cli.planning.models import model_of
from cloud import metrics
from cloud.averager.work.sharding import MEMORY_MB
from cloud.averaging.part_sizes import MAX_MODEL_BYTES
from cloud.pricing.prices import Price, by_region, prices_of
from cloud.pricing.round_forecast import INITIATOR_MB
from cloud.settings import Averaging
from operations.deployment import TEMPLATE
from protocol import tensors
from protocol.messages import Encoding, ModelHeader, encode
from tests.cli.running import fedgrass

ABOUT = ModelHeader(federation="f", round=0)
RESNET18 = 46_796_608
REGION = "us-east-1"
PRICES = [price for prices in by_region().values() for price in msgspec.structs.astuple(prices)]


def told(*arguments: str) -> dict[str, Any]:
    ran = fedgrass("plan", "--region", REGION, *arguments, "--json")
    assert ran.status == 0, ran.error
    found: dict[str, Any] = ran.result
    return found


def test_the_same_question_has_the_same_answer() -> None:
    question = ("--model-bytes", str(RESNET18), "--clients", "40")
    found = told(*question)
    assert found == told(*question)
    assert found["plan"]["shards"] > 1
    assert sum(found["dollars"].values()) == pytest.approx(found["dollars_a_round"])
    assert found["dollars_a_thousand_rounds"] == pytest.approx(1000 * found["dollars_a_round"])


def test_the_largest_model_is_planned() -> None:
    assert told("--model-bytes", str(MAX_MODEL_BYTES), "--clients", "1500")["parts"] == 10_000


def test_a_models_own_file_is_asked_for_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(tensors.dump({"w": np.zeros(10, "<i8")}, {"w": "I64"}, encode(ABOUT)))
    found = told("--model", str(path), "--clients", "3")
    assert (found["model_bytes"], found["update_bytes"]) == (path.stat().st_size, 80)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clients", "3"], "either --model-bytes or --model"),
        (["--clients", "1501", "--model-bytes", "1000"], "less than or equal to 1500"),
        (["--clients", "300", "--model-bytes", str(RESNET18), "--rule", "custom"], "smaller cohort"),
        (["--clients", "3", "--model-bytes", "99999999999999"], "less than or equal to 52428800000"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_a_remedy(arguments: list[str], said: str) -> None:
    ran = fedgrass("plan", "--region", REGION, *arguments)
    assert ran.status == 2
    assert said in ran.error


@pytest.mark.parametrize("rule", ["weighted", "median", "multi_krum", "custom"])
@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
def test_more_clients_never_cost_less(rule: str, encoding: Encoding) -> None:
    dollars = [
        forecast(model_of(1_000_000), ABOUT, clients, Averaging(rule=rule), encoding, REGION).dollars_a_round  # type: ignore[arg-type]
        for clients in (1, 3, 10, 30, 100)
    ]
    assert dollars == sorted(dollars)
    assert dollars[0] > 0


def test_fewer_bytes_of_an_update_take_less_time() -> None:
    seconds = [
        sum(forecast(model_of(RESNET18), ABOUT, 40, Averaging(shards=1), encoding, REGION).seconds.values())
        for encoding in ("float32", "bfloat16", "int8")
    ]
    assert seconds == sorted(seconds, reverse=True)


def shown(*arguments: str) -> str:
    ran = fedgrass("plan", "--clients", "40", *arguments)
    assert ran.status == 0, ran.error
    return ran.out


def test_people_are_shown_dollars_and_where_the_prices_are_from() -> None:
    said = shown("--model-bytes", "437544", "--region", REGION)
    assert "dollars a round" in said
    assert all(f"{price.as_of}, {price.source}" in said for price in msgspec.structs.astuple(prices_of(REGION)))
    assert "not enough memory" in shown("--model-bytes", "1200000000", "--region", REGION)


def test_what_greengrass_asks_for_a_core_device_is_named_apart() -> None:
    found = told("--model-bytes", "1000", "--clients", "40")
    assert found["greengrass_month"] == pytest.approx(40 * 0.16)
    assert not any("Greengrass" in name and amount > 1 for name, amount in found["month"].items())
    assert "for Greengrass itself: $0.16 a core device, $6.40 for 40" in shown(
        "--model-bytes", "1000", "--region", REGION
    )


def test_a_region_has_its_own_prices() -> None:
    question = ("--model-bytes", "1000", "--clients", "40")
    here, there = told(*question), told(*question, "--region", "eu-west-1")
    assert (here["region"], there["region"]) == ("us-east-1", "eu-west-1")
    assert there["greengrass_month"] > here["greengrass_month"]
    assert there["dollars"]["DynamoDB"] > here["dollars"]["DynamoDB"]
    assert there["calls"] == here["calls"]


@pytest.mark.parametrize(
    ("configured", "region"), [({}, "us-east-1"), ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1")]
)
def test_the_region_is_that_of_the_aws_configuration(
    configured: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in configured.items():
        monkeypatch.setenv(name, value)
    assert f"list prices in {region}" in shown("--model-bytes", "1000")


def test_a_region_without_known_prices_is_refused_with_those_that_have_some() -> None:
    with pytest.raises(match="'eu-west-9' are known, only those of us-east-1, eu-west-1"):
        prices_of("eu-west-9")
    ran = fedgrass("plan", "--clients", "1", "--model-bytes", "1", "--region", "eu-west-9", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (2, "unknown_region")


@pytest.mark.parametrize("price", PRICES, ids=lambda price: f"{price.unit} {price.dollars}")
def test_a_price_has_its_month_and_a_page_of_awss_own(price: Price) -> None:
    own = "https://aws.amazon.com/", "https://pricing.us-east-1.amazonaws.com/offers/"
    assert price.source.startswith(own)
    assert re.fullmatch(r"20\d\d-[01]\d", price.as_of)
    assert price.dollars > 0


class _Tags(yaml.CSafeLoader):
    """Reads a template, whose functions (!Ref, ...) mean nothing here."""


_Tags.add_multi_constructor("!", lambda *_: None)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Tags)  # noqa: S506
    return found


def test_the_functions_have_the_memory_that_is_reckoned_with(template: dict[str, Any]) -> None:
    assert template["Parameters"]["InitiatorMemory"]["Default"] == INITIATOR_MB
    assert template["Parameters"]["AveragerMemory"]["Default"] == MEMORY_MB


def test_there_are_as_many_metrics_and_alarms_as_are_paid_for(template: dict[str, Any]) -> None:
    assert METRICS == 2 * len(metrics.OF_EVERY_INVOCATION) + sum(map(len, metrics.OF_FUNCTION.values())) == 15
    assert FEDERATION_METRICS == len(metrics.OF_FEDERATION) == 12
    dashboards = [each for each in template["Resources"].values() if each["Type"] == "AWS::CloudWatch::Dashboard"]
    assert len(dashboards) == 1
    alarms = [each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == ALARMS
    assert all("MetricName" in alarm for alarm in alarms)  # one of several metrics is paid for by the metric


def test_a_round_costs_about_the_same_in_any_large_fleet_and_a_month_by_the_fleet() -> None:
    question = ("--model-bytes", "1000", "--clients", "100", "--policy", "random")
    small, large, larger = (told(*question, "--fleet", str(fleet)) for fleet in (100, 10_000, 100_000))
    assert small == told(*question)
    assert larger["dollars"] == large["dollars"]
    assert larger["calls"] == large["calls"]
    assert large["dollars"]["DynamoDB"] - small["dollars"]["DynamoDB"] == pytest.approx(161 * 0.125e-6, rel=0.01)
    assert larger["greengrass_month"] == pytest.approx(16_000)
    assert larger["fleet"] == 100_000


def test_a_policy_that_compares_clients_reads_more_of_them() -> None:
    question = ("--model-bytes", "1000", "--clients", "100", "--fleet", "100000", "--policy")
    drawn, compared = (told(*question, policy)["dollars"]["DynamoDB"] for policy in ("random", "fastest"))
    assert compared - drawn == pytest.approx(3_900 * 0.125e-6)


def test_a_cohort_that_is_larger_than_its_fleet_is_refused() -> None:
    ran = fedgrass("plan", "--model-bytes", "1000", "--clients", "100", "--fleet", "99", "--json")
    assert ran.status == 2
    assert "can't be selected from a --fleet of 99" in ran.error


def test_a_round_that_evaluates_uploads_next_to_nothing_and_downloads_the_moving_average_as_well() -> None:
    header, averaging = model_of(RESNET18), Averaging(ema=0.9)
    trains = forecast(header, ABOUT, 40, averaging, "float32", REGION)
    evaluates = forecast(header, ABOUT, 40, averaging, "float32", REGION, evaluates=True)
    assert evaluates.update_bytes < 0.001 * trains.update_bytes
    assert evaluates.offered_bytes == 2 * trains.offered_bytes
    assert evaluates.sharding.alone
    assert evaluates.keep == 0
    assert forecast(header, ABOUT, 40, Averaging(), "float32", REGION, evaluates=True).dollars_a_round < (
        trains.dollars_a_round
    )
