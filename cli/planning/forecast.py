"""What a round will take, and a month: of the round it is what the cloud reckons with (cloud/pricing). Pure."""

import math

from cloud import metrics
from cloud.initiator.selection import selection_policy_of
from cloud.initiator.selection.drawing import DRAWN, SECTORS
from cloud.initiator.selection.policy import WHOLE_FLEET
from cloud.pricing.prices import GB, Price, Prices, prices_of
from cloud.pricing.round_forecast import (
    CALL_S,
    CLIENT_BYTES,
    INITIATOR_MB,
    LOG_BYTES,
    SHADOW_KB,
    FleetReads,
    RoundForecast,
    forecast_round,
)
from cloud.settings import Averaging, SelectionPolicyName
from cloud.state.batches import KEYS_AT_ONCE
from cloud.state.clients import COUNTED_S
from protocol.messages import Encoding, ModelHeader
from protocol.tensors import Header

RECONCILE_S = 300
"""How often a device asks for its shadow, if its configuration does not say otherwise (`reconcile_s`)."""

METRICS = sum(len(metrics.OF_EVERY_INVOCATION) + len(own) for own in metrics.OF_FUNCTION.values())
FEDERATION_METRICS = len(metrics.OF_FEDERATION)
ALARMS = 7
"""What cloud/template.yaml has of them; each looks at one metric."""

_MONTH_S, _WAKE_S, _QUEUES, _POLLERS, _POLL_S = 30 * 86_400, 300, 5, 5, 20


class Forecast(RoundForecast, frozen=True, kw_only=True):
    """What a round will take, and what is beside it. `keep` is what the files of one round's model cost each month that
    they are kept; `month` what a month costs a `fleet` of so many besides, whether there are rounds or not; and
    `greengrass_month` what Greengrass asks for its core devices, whatever runs on them."""

    region: str
    fleet: int
    rule: str
    encoding: Encoding
    dollars_a_round: float
    dollars_a_thousand_rounds: float
    keep: float
    month: dict[str, float]
    greengrass_month: float
    price_list: tuple[Price, ...]


def forecast(
    model: Header,
    about: ModelHeader,
    clients: int,
    settings: Averaging,
    encoding: Encoding,
    region: str,
    *,
    has_bfloat16: bool = False,
    fleet: int | None = None,
    policy: SelectionPolicyName = "all",
    evaluates: bool = False,
) -> Forecast:
    """As `forecast_round`. The clients are selected from a `fleet`; None if they are all.

    Raises:
        TooMuchWorkError: no invocation could do its share in its time.
        UnknownRegionError: the Region's prices are not known.
    """
    prices = prices_of(region)
    fleet = max(clients, fleet or 0)
    reads = _reads(clients, fleet, policy)
    found = forecast_round(
        model,
        about,
        clients,
        settings,
        encoding,
        prices,
        has_bfloat16=has_bfloat16,
        reads=reads,
        evaluates=evaluates,
    )
    total = math.fsum(found.dollars.values())
    return Forecast(
        **{name: getattr(found, name) for name in RoundForecast.__struct_fields__},
        region=region,
        fleet=fleet,
        rule=settings.rule,
        encoding=encoding,
        dollars_a_round=total,
        dollars_a_thousand_rounds=1000 * total,
        keep=prices.s3_gb_month.of(found.written_bytes / GB),
        month=_month(fleet, prices),
        greengrass_month=prices.greengrass_core.of(fleet),
        price_list=tuple(getattr(prices, name) for name in prices.__struct_fields__),
    )


def _reads(clients: int, fleet: int, policy: SelectionPolicyName) -> FleetReads:
    if fleet <= WHOLE_FLEET:
        return FleetReads(others=fleet - clients)
    pool = selection_policy_of(policy).pool(clients)
    return FleetReads(names=DRAWN, windows=SECTORS - 1, records=pool, batches=math.ceil(pool / KEYS_AT_ONCE))


def _month(fleet: int, prices: Prices) -> dict[str, float]:
    asks, wakes, polls = fleet * _MONTH_S / RECONCILE_S, _MONTH_S / _WAKE_S, _QUEUES * _POLLERS * _MONTH_S / _POLL_S
    return {
        f"devices asking for their shadow every {RECONCILE_S} s": prices.iot_shadow.of(SHADOW_KB * asks)
        + prices.iot_message.of(3 * asks),
        "devices being connected, which Greengrass is anyway": prices.iot_minute.of(fleet * _MONTH_S / 60),
        f"Lambda polling {_QUEUES} queues": prices.sqs_request.of(polls),
        "the initiator's wake-ups": prices.lambda_request.of(wakes)
        + prices.lambda_gb_s.of(wakes * CALL_S * 3 * INITIATOR_MB / 1024)
        + prices.dynamodb_read.of(4 * wakes)
        + prices.log_gb.of(wakes * LOG_BYTES / GB),
        f"{METRICS} metrics of the functions and {ALARMS} alarms": prices.metric.of(METRICS) + prices.alarm.of(ALARMS),
        f"{FEDERATION_METRICS} metrics of a federation": prices.metric.of(FEDERATION_METRICS),
        "the dashboard, which is free if the account has no more than three": prices.dashboard.of(1),
    } | _counting(fleet, prices)


def _counting(fleet: int, prices: Prices) -> dict[str, float]:
    if fleet <= WHOLE_FLEET:
        return {}
    units = fleet * CLIENT_BYTES / 8192
    counted = prices.dynamodb_read.of(units * _MONTH_S / COUNTED_S)
    return {"counting a large fleet, if a round opens in each hour": counted}
