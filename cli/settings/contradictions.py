"""Settings that are each of the right kind, and make no sense together."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from cli.plurals import counted
from cli.settings import meant
from cli.settings.problems import Problem, shown
from cloud.averager.round.cron import InvalidCronError, cron_of
from cloud.averager.round.pacing import pacing_policy_of
from cloud.averaging.rules import least_updates, rule_of
from cloud.initiator.learning_rate import LEAST, learning_rate_in
from cloud.initiator.selection import selection_policy_of
from cloud.settings import (
    DEFAULT_QUORUM,
    MAX_COHORT,
    Amount,
    Evaluation,
    Federation,
    PacingPolicyName,
    RuleName,
    SelectionPolicyName,
    Stop,
    amount_of,
    share_of,
)
from cloud.state.completion import completion_of
from cloud.state.metric_direction import direction
from protocol import names

_GROUP = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
"""What AWS IoT takes for the name of a thing group."""

_HEEDED: dict[tuple[str, str], dict[str, frozenset[str]]] = {
    ("selection", "policy"): {name: selection_policy_of(name).settings for name in get_args(SelectionPolicyName)},
    ("averaging", "rule"): {name: rule_of(name).settings for name in get_args(RuleName)},
    ("pacing", "policy"): {name: pacing_policy_of(name).settings for name in get_args(PacingPolicyName)},
}
"""Of each choice, which fields beside it count with which name."""


def contradictions(settings: Federation, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What can be told without knowing how many clients there are; `raw` is what the user wrote."""
    try:
        names.check_federation(settings.name)
    except names.InvalidNameError as error:
        other = meant.name(settings.name)
        yield Problem(("name",), f"{error}; did you mean {other}?" if other else str(error))
    group = settings.thing_group
    if group is not None and not _GROUP.fullmatch(group):
        yield Problem(
            ("thing_group",), f"{shown(group)}: use 1 to 128 of a-z, A-Z, 0-9, ':', '_' and '-', or leave it out"
        )
    training, pacing = settings.training, settings.pacing
    if training.epochs is None and training.steps is None:
        yield Problem(("training",), "is without epochs and steps: give one of them, such as epochs: 1")
    if training.epochs is not None and training.steps is not None:
        both = f"epochs {training.epochs} and steps {training.steps}"
        yield Problem(
            ("training", "steps"),
            f"{both}: give either epochs or steps; an epoch is a pass over a device's examples, a step is one batch",
        )
    yield from _schedule(settings)
    if "interval_s" in pacing_policy_of(pacing.policy).settings and pacing.interval_s == 0:
        yield Problem(("pacing", "interval_s"), f"is 0: {pacing.policy} needs the seconds between rounds")
    if "times" in pacing_policy_of(pacing.policy).settings:
        yield from _times(pacing.times or "")
    if "ready" in pacing_policy_of(pacing.policy).settings and pacing.ready is None:
        yield Problem(
            ("pacing", "ready"),
            f"is missing: {pacing.policy} needs how many clients have to be ready, a number or a share such as 60%",
        )
    yield from _stop(settings.stop)
    yield from _evaluation(settings)
    if "extension_s" in raw and settings.extension_s > settings.deadline_s:
        yield Problem(
            ("extension_s",),
            f"{settings.extension_s:g} is more than deadline_s, {settings.deadline_s:g}: "
            "a round is extended by no more than it has",
        )
    cohort, dropout = settings.selection.cohort, settings.selection.dropout
    if isinstance(cohort, int) and cohort / (1 - dropout) > MAX_COHORT:
        yield Problem(
            ("selection", "cohort"),
            f"{cohort} clients, with a dropout of {dropout:g}, are more than the {MAX_COHORT} that a round can have: "
            "ask for fewer; with policy random they are others in each round",
        )
    yield from _ignored(settings)
    yield from _amounts(settings, raw)
    known = cohort if isinstance(cohort, int) else None
    target = amount_of(settings.target, known) if known is not None else settings.target
    too_few = list(_too_few(settings, known, target if isinstance(target, int) else None))
    # By default the quorum is what the rule needs, if that is more.
    yield from too_few or (_low_quorum(settings, known) if "quorum" in raw else ())


def fleet_contradictions(settings: Federation, clients: int) -> Iterator[Problem]:
    """What a fleet of so many clients can't fulfil."""
    minimum = settings.selection.minimum
    if minimum > clients:
        yield Problem(
            ("selection", "minimum"),
            f"{minimum} is more than the {counted(clients, 'client')} that there are: no round could open",
        )
    cohort = amount_of(settings.selection.cohort, max(clients, 1))
    too_few = list(_too_few(settings, cohort, amount_of(settings.target, cohort)))
    yield from too_few or (_low_quorum(settings, cohort) if settings.quorum != DEFAULT_QUORUM else ())


def _times(text: str) -> Iterator[Problem]:
    try:
        cron_of(text)
    except InvalidCronError as error:
        yield Problem(("pacing", "times"), str(error))


def _stop(stop: Stop) -> Iterator[Problem]:
    if stop.metric is not None and not direction(stop.metric):
        yield Problem(
            ("stop", "metric"),
            f"{shown(stop.metric)} does not tell by its name whether more of it is better: use one with a word such as "
            "accuracy, score, loss or error in it",
        )
    for name, value in (("at", stop.at), ("patience", stop.patience)):
        if stop.metric is None and value is not None:
            yield Problem(("stop", name), f"{value:g} without stop.metric: name what is measured, such as accuracy")


def _evaluation(settings: Federation) -> Iterator[Problem]:
    evaluation, place = settings.evaluation, ("evaluation",)
    if isinstance(evaluation.cohort, int) and evaluation.cohort > MAX_COHORT:
        yield Problem(
            (*place, "cohort"),
            f"{evaluation.cohort} is more than the {MAX_COHORT} clients that a round can have: ask for fewer, who are "
            "others each time",
        )
    if evaluation.every_rounds is None and evaluation.cohort != Evaluation().cohort:
        yield Problem(
            (*place, "cohort"), f"{evaluation.cohort} without evaluation.every_rounds: say which rounds evaluate"
        )
    if evaluation.every_rounds is not None and settings.max_staleness:
        yield Problem(
            (*place, "every_rounds"),
            f"{evaluation.every_rounds} with max_staleness {settings.max_staleness}: where clients train on from round "
            "to round, there is none in which nobody trains: leave one of them out",
        )


def _schedule(settings: Federation) -> Iterator[Problem]:
    """A schedule may be longer than the rounds: those of a trial are fewer."""
    training, place = settings.training, ("training", "schedule")
    if training.schedule.final > training.learning_rate:
        yield Problem(
            (*place, "final_learning_rate"),
            f"{training.schedule.final:g} is more than training.learning_rate, {training.learning_rate:g}",
        )
    if learning_rate_in(settings, settings.rounds) <= LEAST:
        yield Problem(
            place,
            f"{training.schedule.name} makes the learning rate 0 before the last of {settings.rounds:,} rounds: let it "
            "shrink less, or more rarely",
        )


def _ignored(settings: Federation) -> Iterator[Problem]:
    """Settings that the chosen policy or rule ignores. Defaults may be written out."""
    for (part, choice), heeded in _HEEDED.items():
        values = getattr(settings, part)
        chosen = getattr(values, choice)
        for name in sorted(frozenset().union(*heeded.values()) - heeded[chosen]):
            value = getattr(values, name)
            if value != getattr(type(values)(), name):
                users = " or ".join(one for one, fields in heeded.items() if name in fields)
                yield Problem(
                    (part, name),
                    f"{shown(value)} with {part}.{choice} {chosen}, which does not heed it: "
                    f"leave it out, or choose {users}",
                )


def _amounts(settings: Federation, raw: Mapping[str, Any]) -> Iterator[Problem]:
    cohort, target, quorum = settings.selection.cohort, settings.target, settings.quorum
    for name, amount in (("target", target), ("quorum", quorum)):
        if isinstance(amount, int) and isinstance(cohort, int) and amount > cohort:
            yield Problem((name,), f"{amount} is more than selection.cohort, {cohort}")
    if not completion_of(settings.completion).ends_at_target:
        return
    # A default quorum that is over the target only means that no round closes below its target.
    if "quorum" in raw and _over(quorum, target, cohort):
        yield Problem(
            ("quorum",),
            f"{quorum} is more than target, {target}: a round ends at its target, so it has no more updates",
        )
    if settings.max_staleness and not _over(cohort if isinstance(cohort, int) else "100%", target, cohort):
        yield Problem(
            ("max_staleness",),
            f"{settings.max_staleness} with target {target}: if a round waits for its whole cohort, no update can be "
            "late; target is the size of the buffer: choose a smaller one",
        )


def _over(first: Amount, second: Amount, cohort: Amount) -> bool:
    """Whether the first amount exceeds the second. If the cohort's size is not known, a number counts as less than
    100 %."""
    if isinstance(cohort, int):
        return amount_of(first, cohort) > amount_of(second, cohort)
    if isinstance(first, int) and isinstance(second, int):
        return first > second
    if isinstance(first, str) and isinstance(second, str):
        return share_of(first) > share_of(second)
    return isinstance(first, str) and share_of(first) == 1


def _too_few(settings: Federation, cohort: int | None, target: int | None) -> Iterator[Problem]:
    """Whether rounds of so many clients, or of so many updates, could never have what the rule needs."""
    averaging = settings.averaging
    needed = least_updates(averaging)
    counts = {
        "selection.cohort": cohort,
        "target": target if completion_of(settings.completion).ends_at_target else None,
    }
    for name, clients in counts.items():
        if clients is None or clients >= needed:
            continue
        least = rule_of(averaging.rule).least
        yield Problem(
            ("averaging", least.setting),
            f"{getattr(averaging, least.setting)} with {name} {clients}: {averaging.rule} needs {needed} {least.why}",
        )
        return


def _low_quorum(settings: Federation, cohort: int | None) -> Iterator[Problem]:
    needed, quorum = least_updates(settings.averaging), settings.quorum
    if isinstance(quorum, str) and cohort is None:
        return
    updates = quorum if cohort is None else amount_of(quorum, cohort)
    if isinstance(updates, int) and updates < needed:
        yield Problem(
            ("quorum",),
            f"{quorum} is fewer than the {needed} updates that averaging.rule {settings.averaging.rule} needs",
        )
