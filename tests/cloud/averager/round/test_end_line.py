"""cloud/averager/round/end_line.py: what an operator sees of a round that has ended, as metrics and as fields."""

import msgspec

from cloud.averager.round.end_line import figures_of, properties_of
from cloud.averager.round.pooled_metrics import pooled_metrics
from cloud.metrics import OF_FEDERATION
from cloud.settings import Averaging
from cloud.state.records import ResponseRecord
from cloud.state.rounds import Responses
from tests.cloud.examples import report, round_record

OPEN = msgspec.structs.replace(round_record("d0", "d1", "d2", "d3"), opened_at=100.0, accepted=2, failed=1)
CLOSED = msgspec.structs.replace(
    OPEN,
    status="closed",
    averaging_at=130.0,
    averaged_at=131.5,
    closed_at=132.0,
    metrics={"loss_before": 0.5, "loss_after": 0.25, "accuracy_before": 0.75, "mae_before": 3.0},
)


def response(thing: str, state: str, size: int | None = None) -> ResponseRecord:
    return ResponseRecord(thing=thing, state=state, arrived_at=110.0, inspected_at=111.0, bytes=size)  # type: ignore[arg-type]


RESPONSES = Responses(
    accepted=(response("d0", "accepted", 600), response("d1", "accepted", 400)),
    failed=(response("d2", "failed"),),
    refused=(response("d3", "refused", 9_999),),
)


def test_a_round_with_a_model_has_all_metrics_of_a_federation_but_those_that_come_when_it_is_over() -> None:
    assert figures_of(CLOSED, RESPONSES) == {
        "closed_rounds": 1,
        "aborted_rounds": 0,
        "round_s": 32.0,
        "averaging_s": 1.5,
        "accepted_updates": 2,
        "failed_clients": 1,
        "unanswered_clients": 1,
        "update_bytes": 1000,
        "loss_before": 0.5,
        "accuracy_before": 0.75,
    }
    assert figures_of(CLOSED, RESPONSES).keys() == OF_FEDERATION.keys() - {"refused_updates", "late_updates"}


def test_a_round_without_a_model_has_no_time_of_averaging_and_no_metrics_of_one() -> None:
    aborted = msgspec.structs.replace(OPEN, status="aborted", closed_at=160.0, reason="the deadline")
    figures = figures_of(aborted, RESPONSES)
    assert (figures["closed_rounds"], figures["aborted_rounds"], figures["round_s"]) == (0, 1, 60.0)
    assert figures.keys().isdisjoint({"averaging_s", "loss_before", "accuracy_before"})
    assert properties_of(aborted)["reason"] == "the deadline"


def test_no_device_can_make_up_a_metric_that_is_paid_for() -> None:
    made_up = dict.fromkeys((*OF_FEDERATION, *(f"m{number}" for number in range(99))), 9.0) | {"loss": 1.0}
    metrics = pooled_metrics(Averaging(), [report(before=made_up, after=made_up)]).metrics
    closed = msgspec.structs.replace(CLOSED, metrics=metrics)
    figures = figures_of(closed, RESPONSES)
    assert figures.keys() <= OF_FEDERATION.keys()
    assert (figures["closed_rounds"], figures["update_bytes"]) == (1, 1000)
    assert properties_of(closed)["metrics"] == metrics
