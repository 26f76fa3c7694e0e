"""cloud/averager/round/conclusions.py: the best model, when rounds stop, how long they take."""

from typing import Any

import msgspec
import pytest

from cloud.averager.round.conclusions import concluded
from cloud.state.records import BestModel, RoundRecord
from tests.cloud.examples import BASE, federation, round_record

OLD = msgspec.structs.replace(BASE, sha256="d" * 64)


def ended(
    number: int,
    value: float | None = None,
    before: BestModel | None = None,
    cost_usd: float | None = None,
    **changes: Any,
) -> RoundRecord:
    """A round that has ended, in which clients measured this accuracy of the global model, if any."""
    stop = {"metric": "accuracy", "at": 0.9, "patience": 3} | changes.pop("stop", {})
    metrics = {} if value is None else {"accuracy_before": value, "accuracy_after": 1.0}
    record = round_record(
        "a",
        round=number,
        status="closed",
        settings=federation(stop=stop, rounds=50),
        metrics=metrics,
        best=before,
        opened_at=1000.0,
        closed_at=1010.0,
    )
    return concluded(msgspec.structs.replace(record, **changes), cost_usd)


def best(value: float, number: int) -> BestModel:
    return BestModel(metric="accuracy", value=value, round=number, model=OLD)


def test_the_best_model_is_the_one_that_clients_measured_before_they_trained() -> None:
    assert ended(1, 0.5).best == BestModel(metric="accuracy", value=0.5, round=1, model=BASE)
    assert ended(4, 0.5, best(0.4, 3)).best == BestModel(metric="accuracy", value=0.5, round=4, model=BASE)
    assert ended(4, 0.4, best(0.4, 3)).best == best(0.4, 3)
    assert ended(4, 0.3, best(0.4, 3)).best == best(0.4, 3)
    assert ended(4, None, best(0.4, 3)).best == best(0.4, 3)


def test_of_a_loss_less_is_better() -> None:
    stop = {"metric": "loss", "at": None, "patience": None}
    before = msgspec.structs.replace(best(0.4, 3), metric="loss")
    better = ended(4, before=before, stop=stop, metrics={"loss_before": 0.3})
    assert better.best is not None
    assert better.best.value == 0.3
    assert ended(4, before=before, stop=stop, metrics={"loss_before": 0.5}).best == before


def test_what_was_best_by_another_metric_is_not_compared() -> None:
    before = msgspec.structs.replace(best(9.0, 3), metric="score")
    assert ended(4, 0.2, before).best == BestModel(metric="accuracy", value=0.2, round=4, model=BASE)


def test_without_a_metric_nothing_is_noted_and_nothing_stops() -> None:
    found = ended(4, 0.99, stop={"metric": None, "at": None, "patience": None})
    assert (found.best, found.stopped) == (None, "")


def test_rounds_stop_when_the_metric_is_as_good_as_asked_for() -> None:
    assert ended(4, 0.89, best(0.4, 3)).stopped == ""
    assert ended(4, 0.9, best(0.4, 3)).stopped == "accuracy is 0.9: stop.at is 0.9"
    stop = {"metric": "loss", "at": 0.2, "patience": None}
    assert ended(4, stop=stop, metrics={"loss_before": 0.25}).stopped == ""
    assert ended(4, stop=stop, metrics={"loss_before": 0.15}).stopped == "loss is 0.15: stop.at is 0.2"


def test_rounds_stop_when_nothing_was_better_for_as_many_rounds_as_asked_for() -> None:
    assert ended(5, 0.3, best(0.4, 3)).stopped == ""
    assert ended(6, 0.41, best(0.4, 3)).stopped == ""
    stopped = "accuracy has not been better than 0.4 for 3 rounds: stop.patience"
    assert ended(6, 0.3, best(0.4, 3)).stopped == stopped
    assert ended(6, None, best(0.4, 3), status="aborted").stopped == stopped


@pytest.mark.parametrize(("before", "average_s"), [(None, 10.0), (20.0, 0.8 * 20 + 0.2 * 10)])
def test_how_long_rounds_take_is_averaged_over_those_with_a_model(before: float | None, average_s: float) -> None:
    assert ended(4, average_s=before).average_s == pytest.approx(average_s)
    assert ended(4, average_s=before, status="aborted").average_s == before


def test_concluding_twice_gives_the_same_once_it_is_written() -> None:
    """The step that ends a round is taken from the round as it was before, however often."""
    before = round_record("a", round=4, status="averaging", average_s=20.0, best=best(0.4, 3))
    after = {"status": "closed", "closed_at": 1010.0, "metrics": {"accuracy_before": 0.5}}
    first = concluded(msgspec.structs.replace(before, **after), 0.5)
    assert concluded(msgspec.structs.replace(before, **after), 0.5) == first


ANY_METRIC = {"metric": None, "at": None, "patience": None}


@pytest.mark.parametrize(
    ("spent", "cost", "budget", "goes_on"),
    [
        (None, 0.1, 0.3, True),
        (0.1, 0.1, 0.3, True),
        (0.1 + 0.1, 0.1, 0.3, False),
        (0.1, 0.1, 0.299, False),
        (None, 0.2, 0.3, False),
        (5.0, None, 0.3, True),
        (5.0, 0.1, None, True),
    ],
)
def test_no_round_follows_that_would_take_the_cost_over_the_budget(
    spent: float | None, cost: float | None, budget: float | None, goes_on: bool
) -> None:
    found = ended(3, cost_usd=cost, spent_usd=spent, stop=ANY_METRIC | {"budget_usd": budget})
    assert (found.stopped == "") is goes_on
    if cost is not None:
        assert (found.spent_usd, found.round_usd) == ((spent or 0.0) + cost, cost)


def test_a_budget_that_ends_the_rounds_tells_the_dollars() -> None:
    found = ended(3, cost_usd=0.1, spent_usd=0.1, stop=ANY_METRIC | {"budget_usd": 0.25})
    assert found.stopped == (
        "the rounds have cost $0.200000, and another would cost about $0.100000: stop.budget_usd is 0.25"
    )


def test_where_rounds_evaluate_only_they_say_how_good_a_model_is() -> None:
    def after(number: int, value: float, *, evaluates: bool) -> RoundRecord:
        settings = federation(
            stop={"metric": "accuracy", "at": 0.9, "patience": 3}, evaluation={"every_rounds": 5}, rounds=50
        )
        return ended(number, value, best(0.5, 5), settings=settings, evaluates=evaluates)

    trained = after(9, 0.95, evaluates=False)
    assert (trained.best, trained.stopped, trained.evaluation) == (best(0.5, 5), "", None)
    evaluated = after(10, 0.6, evaluates=True)
    assert evaluated.best == BestModel(metric="accuracy", value=0.6, round=10, model=BASE)
    assert evaluated.evaluation is not None
    assert (evaluated.evaluation.round, evaluated.evaluation.model) == (10, BASE.key)
    assert "stop.patience" in after(10, 0.4, evaluates=True).stopped
    assert "stop.at" in after(10, 0.92, evaluates=True).stopped


def test_how_long_rounds_take_is_learned_from_those_that_train() -> None:
    assert ended(4, average_s=8.0).average_s != 8.0
    assert ended(4, average_s=8.0, evaluates=True).average_s == 8.0


def test_a_budget_reckons_with_another_round_that_trains_after_one_that_evaluates() -> None:
    budget = {"metric": None, "at": None, "patience": None, "budget_usd": 0.3}
    found = ended(4, cost_usd=0.01, spent_usd=0.1, round_usd=0.1, stop=budget, evaluates=True)
    assert found.spent_usd == pytest.approx(0.11)
    assert found.round_usd == 0.1
    assert found.stopped == ""
    assert ended(4, cost_usd=0.01, spent_usd=0.2, round_usd=0.1, stop=budget, evaluates=True).stopped != ""
