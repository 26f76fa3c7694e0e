"""What a round that ends adds to its federation's course: the best model so far, how long rounds take, what they cost,
what was evaluated, and whether it was the last one. Pure functions of the round."""

import msgspec

from cloud.averager.round.drift import drifts
from cloud.state.budget import over_budget
from cloud.state.metric_direction import direction
from cloud.state.records import BestModel, ModelEvaluation, RoundRecord
from cloud.state.round_warnings import merged


def concluded(record: RoundRecord, cost_usd: float | None) -> RoundRecord:
    """A round that has ended, with what follows from it for the federation. `cost_usd` is what it has cost, if that is
    known."""
    record = msgspec.structs.replace(
        record,
        warnings=merged(record.warnings, drifts(record)),
        average_s=_average_s(record),
        best=best_after(record),
        evaluation=_evaluation_after(record),
    )
    if cost_usd is not None:
        spent_usd = (record.spent_usd or 0.0) + cost_usd
        next_usd = record.round_usd if record.evaluates else cost_usd  # an evaluation is cheap, and the next one trains
        record = msgspec.structs.replace(record, spent_usd=spent_usd, round_usd=next_usd)
    return msgspec.structs.replace(record, stopped=reason_to_stop(record))


def best_after(record: RoundRecord) -> BestModel | None:
    """The best model so far by the metric of the settings' stop rule, None if there is none, or nothing was measured.
    What clients measured in a round, before they trained, is of the model that it began with."""
    metric = record.settings.stop.metric
    before = record.best if record.best is not None and record.best.metric == metric else None
    value = (record.metrics or {}).get(f"{metric}_before")
    if metric is None or value is None or not _judges(record):
        return before
    sign = direction(metric)
    if before is not None and sign * value <= sign * before.value:
        return before
    return BestModel(metric=metric, value=value, round=record.round, model=record.base)


def reason_to_stop(record: RoundRecord) -> str:
    """Why no round follows one that has ended, by the settings' stop rule; "" if it says nothing. `best` is known."""
    return _good_enough(record) or over_budget(record.settings.stop, record.spent_usd, record.round_usd)


def _good_enough(record: RoundRecord) -> str:
    stop, best = record.settings.stop, record.best
    if stop.metric is None or best is None or best.metric != stop.metric or not _judges(record):
        return ""
    sign = direction(stop.metric)
    if stop.at is not None and sign * best.value >= sign * stop.at:
        return f"{stop.metric} is {best.value:.4g}: stop.at is {stop.at:g}"
    if stop.patience is not None and record.round - best.round >= stop.patience:
        return f"{stop.metric} has not been better than {best.value:.4g} for {stop.patience} rounds: stop.patience"
    return ""


def _judges(record: RoundRecord) -> bool:
    """Whether what a round measures says how good a model is: if some rounds evaluate, only these do. Others measure
    clients that were selected because they are fast, say, and each round others."""
    return record.evaluates or record.settings.evaluation.every_rounds is None


def _evaluation_after(record: RoundRecord) -> ModelEvaluation | None:
    if not record.evaluates or not record.metrics:
        return record.evaluation
    return ModelEvaluation(round=record.round, model=record.base.key, metrics=record.metrics, spreads=record.spreads)


def _average_s(record: RoundRecord) -> float | None:
    """The moving average of how long rounds with a new model took, as that of turnarounds."""
    if record.status != "closed" or record.closed_at is None or record.evaluates:
        return record.average_s
    took_s = record.closed_at - record.opened_at
    if record.average_s is None:
        return took_s
    past = record.settings.selection.smoothing
    return past * record.average_s + (1 - past) * took_s
