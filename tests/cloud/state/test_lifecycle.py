"""Every edge of a round's life, and that there are no others."""

from typing import Any

import msgspec
import pytest

from cloud.settings import Averaging, Federation, LocalTraining
from cloud.state.lifecycle import (
    MAX_ATTEMPTS,
    MIN_LEASE_S,
    Aborted,
    Averaged,
    Checked,
    Counted,
    Event,
    Expelled,
    JobDone,
    Lease,
    LetGo,
    Satisfied,
    Sharded,
    is_stalled,
    lease_s,
    next_check,
    step,
)
from cloud.state.records import CohortMember, FederationRecord, FederationStatus, RoundRecord, Work
from protocol.messages import ModelReference

OPENED, DEADLINE, EXTENSION_S = 1000.0, 1600.0, 60.0
EARLY, LATE = 1100.0, 1700.0
MINE = Lease("me", 1720.0)
MODEL = ModelReference(key="federations/grass/models/00000001.safetensors", sha256="1" * 64, bytes=8)
AVERAGED = Averaged(owner="other", model=MODEL, metrics={"loss_after": 0.5}, averaged_at=1109.0, vanished=("t3",))
EVENTS: list[Event] = [
    Counted(accepted=1),
    Counted(failed=1),
    Counted(accepted=1, recovered=1),
    Satisfied(),
    Checked(),
    Aborted("enough"),
    Expelled("t1"),
    AVERAGED,
    Sharded("other", Work(stages=("parts",), shards=2)),
    JobDone(0, 0),
    LetGo("other", "out of memory"),
]


def settings(**changes: Any) -> Federation:
    training = LocalTraining(batch_size=1, learning_rate=0.1, epochs=1)
    return Federation(name="grass", training=training, **{"extension_s": EXTENSION_S, **changes})


def opened(**changes: Any) -> RoundRecord:
    """An open round of four clients, which aims at three and makes do with two."""
    values: dict[str, Any] = {
        "federation": "grass",
        "round": 1,
        "status": "open",
        "settings": settings(),
        "base": MODEL,
        "schema": "s",
        "cohort": tuple(CohortMember(thing=f"t{i}") for i in range(4)),
        "target": 3,
        "quorum": 2,
        "deadline": DEADLINE,
        "opened_at": OPENED,
    }
    return RoundRecord(**values | changes)


def averaging(**changes: Any) -> RoundRecord:
    """A round that another invocation is averaging, for the first time."""
    lease = {"lease_owner": "other", "lease_until": 1120.0}
    values = {"status": "averaging", "accepted": 3, "attempts": 1, "averaging_at": 1105.0, **lease}
    return opened(**values | changes)


def changes_of(before: RoundRecord, after: RoundRecord) -> dict[str, Any]:
    """The fields that a step changed."""
    fields = before.__struct_fields__
    return {name: getattr(after, name) for name in fields if getattr(before, name) != getattr(after, name)}


def taken(now: float, attempts: int = 1) -> dict[str, Any]:
    """What changes when the lease of an open round is taken."""
    lease = {"lease_owner": MINE.owner, "lease_until": MINE.until}
    return {"status": "averaging", "averaging_at": now, "attempts": attempts, **lease}


# Open: expelling


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (None, {"failed": 2}),
        ("accepted", {"accepted": 0, "failed": 2}),
        ("failed", {}),
        ("declined", {}),
    ],
)
def test_a_client_that_is_expelled_has_failed_whatever_it_had_answered(answer: Any, counts: dict[str, int]) -> None:
    before = opened(accepted=1, failed=1)
    after = step(before, Expelled("t1", answer), EARLY, MINE)
    assert changes_of(before, after) == {"expelled": ("t1",), **counts}


def test_a_thing_that_is_no_client_of_the_round_is_expelled_without_a_count() -> None:
    before = opened(accepted=2, failed=1, expelled=("z",))
    assert changes_of(before, step(before, Expelled("stranger"), EARLY, MINE)) == {"expelled": ("stranger", "z")}


def test_a_client_is_expelled_once() -> None:
    before = opened(accepted=2, failed=1, expelled=("t1",))
    assert step(before, Expelled("t1", "failed"), EARLY, MINE) is before


@pytest.mark.parametrize("before", [averaging(), opened(status="closed"), opened(status="aborted")])
def test_what_is_averaged_already_is_left_as_it_is_by_an_expulsion(before: RoundRecord) -> None:
    assert step(before, Expelled("t1", "accepted"), EARLY, MINE) is before


def test_the_expulsion_of_the_last_client_that_a_round_waits_for_ends_it() -> None:
    before = opened(accepted=2, failed=1, target=4)
    assert changes_of(before, step(before, Expelled("t1"), EARLY, MINE)) == {
        "expelled": ("t1",),
        "failed": 2,
        **taken(EARLY),
    }


# Open: counting


def test_an_update_below_the_target_is_counted_and_the_round_stays_open() -> None:
    before = opened()
    assert changes_of(before, step(before, Counted(accepted=1), EARLY, MINE)) == {"accepted": 1}


def test_a_failure_is_counted_and_the_round_stays_open() -> None:
    before = opened()
    assert changes_of(before, step(before, Counted(failed=1), EARLY, MINE)) == {"failed": 1}


def test_one_count_may_bring_updates_and_failures() -> None:
    before = opened(accepted=1)
    assert changes_of(before, step(before, Counted(accepted=1, failed=1), EARLY, MINE)) == {"accepted": 2, "failed": 1}


def test_an_update_after_its_clients_failure_replaces_the_failure() -> None:
    before = opened(accepted=1, failed=2)
    after = step(before, Counted(accepted=1, recovered=1), EARLY, MINE)
    assert changes_of(before, after) == {"accepted": 2, "failed": 1}


def test_the_target_starts_averaging() -> None:
    before = opened(accepted=2)
    assert changes_of(before, step(before, Counted(accepted=1), EARLY, MINE)) == {"accepted": 3, **taken(EARLY)}


def test_updates_that_overshoot_the_target_count_all() -> None:
    before = opened(accepted=2)
    assert changes_of(before, step(before, Counted(accepted=2), EARLY, MINE)) == {"accepted": 4, **taken(EARLY)}


def test_the_target_is_about_updates_not_about_failures() -> None:
    after = step(opened(accepted=2), Counted(failed=1), EARLY, MINE)
    assert after.status == "open"


def test_the_targets_last_update_starts_averaging_after_the_deadline_too() -> None:
    before = opened(accepted=2)
    assert step(before, Counted(accepted=1), LATE, MINE).status == "averaging"


def test_a_count_after_the_deadline_does_not_end_the_round_by_itself() -> None:
    before = opened(accepted=1)
    assert changes_of(before, step(before, Counted(accepted=1), LATE, MINE)) == {"accepted": 2}


def test_custom_completion_ignores_the_target() -> None:
    before = opened(settings=settings(completion="custom"), accepted=2)
    assert changes_of(before, step(before, Counted(accepted=1), EARLY, MINE)) == {"accepted": 3}


# Open: all have answered


@pytest.mark.parametrize("completion", ["target", "custom"])
def test_when_all_have_answered_with_quorum_averaging_starts(completion: str) -> None:
    before = opened(settings=settings(completion=completion), accepted=2, failed=1)
    assert changes_of(before, step(before, Counted(failed=1), EARLY, MINE)) == {"failed": 2, **taken(EARLY)}


@pytest.mark.parametrize("completion", ["target", "custom"])
def test_when_all_have_answered_below_quorum_the_round_is_aborted_at_once(completion: str) -> None:
    before = opened(settings=settings(completion=completion), accepted=1, failed=2)
    assert changes_of(before, step(before, Counted(failed=1), EARLY, MINE)) == {
        "status": "aborted",
        "failed": 3,
        "closed_at": EARLY,
        "reason": "all clients have answered, with 1 updates; the quorum is 2 of 4 clients",
    }


def test_a_client_that_failed_and_then_answered_is_not_two_clients() -> None:
    before = opened(accepted=1, failed=2)
    assert step(before, Counted(accepted=1, recovered=1), EARLY, MINE).status == "open"


# Open: a custom rule


def test_a_satisfied_rule_starts_averaging_below_target() -> None:
    before = opened(settings=settings(completion="custom"), accepted=2)
    assert changes_of(before, step(before, Satisfied(), EARLY, MINE)) == taken(EARLY)


def test_no_rule_can_have_nothing_averaged() -> None:
    before = opened(settings=settings(completion="custom"), failed=1)
    assert step(before, Satisfied(), EARLY, MINE) is before


# Open: the deadline


@pytest.mark.parametrize("accepted", [0, 2])
@pytest.mark.parametrize("extended", [False, True])
def test_before_the_deadline_a_check_changes_nothing(accepted: int, extended: bool) -> None:
    before = opened(accepted=accepted, extended=extended)
    assert step(before, Checked(), DEADLINE - 0.001, MINE) is before


@pytest.mark.parametrize("now", [DEADLINE, LATE])
@pytest.mark.parametrize("extended", [False, True])
def test_the_deadline_with_quorum_starts_averaging(now: float, extended: bool) -> None:
    before = opened(accepted=2, extended=extended)
    assert changes_of(before, step(before, Checked(), now, MINE)) == taken(now)


@pytest.mark.parametrize("completion", ["target", "custom"])
def test_the_deadline_below_quorum_extends_the_round_from_its_deadline(completion: str) -> None:
    before = opened(settings=settings(completion=completion), accepted=1)
    after = step(before, Checked(), DEADLINE + 20, MINE)
    assert changes_of(before, after) == {"extended": True, "deadline": DEADLINE + EXTENSION_S}


@pytest.mark.parametrize("accepted", [0, 1])
def test_the_extended_deadline_below_quorum_aborts_the_round(accepted: int) -> None:
    before = opened(accepted=accepted, extended=True)
    assert changes_of(before, step(before, Checked(), DEADLINE, MINE)) == {
        "status": "aborted",
        "closed_at": DEADLINE,
        "reason": f"the extended deadline was reached with {accepted} updates; the quorum is 2 of 4 clients",
    }


def test_without_an_extension_the_deadline_below_quorum_aborts_the_round() -> None:
    before = opened(settings=settings(extension_s=0.0), accepted=1)
    assert changes_of(before, step(before, Checked(), DEADLINE, MINE)) == {
        "status": "aborted",
        "closed_at": DEADLINE,
        "reason": "the deadline was reached with 1 updates; the quorum is 2 of 4 clients",
    }


def test_a_round_is_extended_once_only_however_often_it_is_looked_at() -> None:
    record = opened()
    statuses = []
    for seconds in range(0, 200, 10):
        record = step(record, Checked(), DEADLINE + seconds, MINE)
        statuses.append(record.status)
    assert statuses == ["open"] * 6 + ["aborted"] * 14
    assert record.deadline == DEADLINE + EXTENSION_S


# Averaging: the lease


@pytest.mark.parametrize("event", [e for e in EVENTS if isinstance(e, Counted | Satisfied)], ids=repr)
def test_while_averaging_nothing_more_is_counted(event: Event) -> None:
    before = averaging()
    assert step(before, event, EARLY, MINE) is before


def test_a_lease_that_still_holds_is_left_alone() -> None:
    before = averaging()
    assert step(before, Checked(), 1119.999, MINE) is before


@pytest.mark.parametrize("now", [1120.0, LATE])
def test_a_lease_that_has_expired_is_taken_over(now: float) -> None:
    before = averaging()
    after = step(before, Checked(), now, MINE)
    assert changes_of(before, after) == {"attempts": 2, "lease_owner": "me", "lease_until": MINE.until}


def test_the_owner_may_take_its_own_expired_lease_again() -> None:
    before = averaging(lease_owner="me")
    assert changes_of(before, step(before, Checked(), LATE, MINE)) == {"attempts": 2, "lease_until": MINE.until}


def test_a_lease_that_was_let_go_is_free_at_once() -> None:
    before = averaging()
    after = step(before, LetGo("other", "out of memory"), EARLY, MINE)
    assert changes_of(before, after) == {"lease_until": 0.0}
    assert step(after, Checked(), EARLY, MINE).lease_owner == "me"


def test_after_the_last_attempt_an_expired_lease_aborts_the_round() -> None:
    assert step(averaging(attempts=MAX_ATTEMPTS - 1), Checked(), LATE, MINE).attempts == MAX_ATTEMPTS
    before = averaging(attempts=MAX_ATTEMPTS)
    assert step(before, Checked(), EARLY, MINE) is before
    assert changes_of(before, step(before, Checked(), LATE, MINE)) == {
        "status": "aborted",
        "closed_at": LATE,
        "reason": "averaging was cut off, the last of 5 times",
        "lease_owner": None,
        "lease_until": None,
    }


def test_letting_go_of_the_last_attempt_aborts_the_round() -> None:
    last = LetGo("other", "OutOfMemory: 3 GB")
    assert step(averaging(attempts=MAX_ATTEMPTS - 1), last, EARLY, MINE).status == "averaging"
    before = averaging(attempts=MAX_ATTEMPTS)
    assert changes_of(before, step(before, last, EARLY, MINE)) == {
        "status": "aborted",
        "closed_at": EARLY,
        "reason": "averaging failed 5 times, at last with OutOfMemory: 3 GB",
        "lease_owner": None,
        "lease_until": None,
    }


def test_the_owners_model_closes_the_round() -> None:
    before = averaging()
    assert changes_of(before, step(before, AVERAGED, EARLY, MINE)) == {
        "status": "closed",
        "model": MODEL,
        "metrics": {"loss_after": 0.5},
        "averaged_at": 1109.0,
        "closed_at": EARLY,
        "vanished": ("t3",),
        "lease_owner": None,
        "lease_until": None,
    }


@pytest.mark.parametrize("before", [averaging(), averaging(lease_until=0.0)], ids=["expired", "let go"])
def test_the_owners_model_counts_after_its_lease_if_nobody_has_taken_over(before: RoundRecord) -> None:
    assert step(before, AVERAGED, LATE, MINE).status == "closed"


@pytest.mark.parametrize("event", [AVERAGED, LetGo("other", "out of memory")], ids=["averaged", "let go"])
@pytest.mark.parametrize(
    "before",
    [averaging(lease_owner="me"), averaging(lease_owner="me", lease_until=0.0), opened(accepted=3)],
    ids=["taken over", "let go by its new owner", "open"],
)
def test_who_does_not_own_the_lease_changes_nothing(before: RoundRecord, event: Event) -> None:
    assert step(before, event, LATE, MINE) is before


def test_averaging_started_when_it_first_started() -> None:
    first = step(opened(accepted=2), Counted(accepted=1), EARLY, Lease("first", 1120.0))
    second = step(first, Checked(), 1130.0, Lease("second", 1150.0))
    third = step(second, Checked(), 1160.0, Lease("third", 1180.0))
    assert [r.averaging_at for r in (first, second, third)] == [EARLY] * 3
    assert [r.attempts for r in (first, second, third)] == [1, 2, 3]


# The ends


@pytest.mark.parametrize("before", [opened(), averaging()], ids=["open", "averaging"])
def test_an_operator_aborts_a_round_that_has_not_ended(before: RoundRecord) -> None:
    after = step(before, Aborted("wrong learning rate"), EARLY, MINE)
    assert (after.status, after.reason, after.closed_at) == ("aborted", "wrong learning rate", EARLY)
    assert (after.lease_owner, after.lease_until, after.model) == (None, None, None)


@pytest.mark.parametrize("now", [EARLY, LATE])
@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("ended", ["closed", "aborted"])
def test_nothing_leaves_an_ended_round(ended: str, event: Event, now: float) -> None:
    leftovers = {"accepted": 3, "attempts": 2, "lease_owner": "other", "lease_until": 0.0, "closed_at": 1110.0}
    before = opened(status=ended, **leftovers)
    assert step(before, event, now, MINE) is before


CARRYING = settings(averaging=Averaging(carry_over=True))


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (opened(settings=CARRYING, accepted=1, failed=2), Counted(failed=1)),
        (opened(settings=CARRYING, accepted=1, extended=True), Checked()),
    ],
    ids=["all answered", "deadline"],
)
def test_a_round_below_its_quorum_leaves_its_updates_to_the_next_one_only_if_told_to(
    before: RoundRecord, event: Event
) -> None:
    after = step(before, event, LATE, MINE)
    assert (after.status, after.carry) == ("aborted", True)
    after = step(msgspec.structs.replace(before, settings=settings()), event, LATE, MINE)
    assert (after.status, after.carry) == ("aborted", False)


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (opened(settings=CARRYING, accepted=1), Aborted("bad data")),
        (averaging(settings=CARRYING), Aborted("bad data")),
        (averaging(settings=CARRYING, attempts=MAX_ATTEMPTS), Checked()),
        (averaging(settings=CARRYING, attempts=MAX_ATTEMPTS), LetGo("other", "OutOfMemory")),
    ],
    ids=["operator, open", "operator, averaging", "cut off", "failed"],
)
def test_updates_that_were_unwanted_or_could_not_be_averaged_are_not_carried_over(
    before: RoundRecord, event: Event
) -> None:
    after = step(before, event, LATE, MINE)
    assert (after.status, after.carry) == ("aborted", False)


def test_a_closed_round_carries_nothing_over() -> None:
    assert not step(averaging(settings=CARRYING), AVERAGED, EARLY, MINE).carry


@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("before", [opened(accepted=2), averaging()], ids=["open", "averaging"])
def test_no_step_touches_the_plan_or_the_version(before: RoundRecord, event: Event) -> None:
    changed = changes_of(before, step(before, event, LATE, MINE)).keys()
    fixed = {"federation", "round", "settings", "base", "schema", "cohort", "target", "quorum", "carried"}
    assert not changed & (fixed | {"opened_at", "version", "refused", "notified_at"})


# Averaging by several invocations

WORK = Work(stages=("distances", "sums", "parts"), shards=2, groups=2)


def test_the_owner_of_the_lease_may_plan_once() -> None:
    before = averaging()
    after = step(before, Sharded("other", WORK), EARLY, MINE)
    assert changes_of(before, after) == {"work": WORK, "lease_until": MINE.until}
    assert step(after, Sharded("other", Work(stages=("parts",), shards=9)), EARLY, MINE) is after
    assert step(before, Sharded("me", WORK), EARLY, MINE) is before


def test_a_job_that_is_done_renews_the_lease_and_counts_once() -> None:
    before = averaging(work=WORK)
    after = step(before, JobDone(0, 1), EARLY, MINE)
    assert changes_of(before, after) == {
        "work": msgspec.structs.replace(WORK, done=(1,)),
        "lease_until": MINE.until,
    }
    assert step(after, JobDone(0, 1), EARLY, MINE) is after
    shorter = Lease("me", EARLY)
    assert step(before, JobDone(0, 1), EARLY, shorter).lease_until == before.lease_until


def test_what_jobs_warn_of_is_the_rounds_in_whatever_order_they_end() -> None:
    work = Work(stages=("parts",), shards=3)
    jobs = [JobDone(0, 0, ("b", "a")), JobDone(0, 1), JobDone(0, 2, ("c", "b"))]
    ends = []
    for order in (jobs, jobs[::-1]):
        record = averaging(work=work)
        for job in order:
            record = step(record, job, EARLY, MINE)
        ends.append(step(record, msgspec.structs.replace(AVERAGED, owner="me", warnings=("d", "a")), EARLY, MINE))
    assert [record.warnings for record in ends] == [("a", "b", "c", "d")] * 2


def test_the_last_job_of_each_stage_takes_the_lease_for_the_next() -> None:
    record = averaging(work=WORK)
    jobs: list[int] = []
    while record.work is not None and record.work.present is not None:
        stage = record.work.stage
        jobs.append(record.work.jobs)
        for job in record.work.open_jobs:
            assert record.lease_owner == ("me" if stage else "other")
            record = step(record, JobDone(stage, job), EARLY, MINE)
        assert (record.lease_owner, record.lease_until) == ("me", MINE.until)
    assert jobs == [2, 4, 2]
    assert record.work == msgspec.structs.replace(WORK, stage=3)
    assert record.status == "averaging"
    assert step(record, msgspec.structs.replace(AVERAGED, owner="me"), EARLY, MINE).status == "closed"


@pytest.mark.parametrize("event", [JobDone(1, 0), JobDone(0, 2), JobDone(0, -1), JobDone(3, 0)])
def test_a_job_that_is_none_of_the_present_stage_changes_nothing(event: JobDone) -> None:
    before = averaging(work=WORK)
    assert step(before, event, EARLY, MINE) is before
    closed = averaging(work=WORK, status="closed")
    assert step(closed, JobDone(0, 0), EARLY, MINE) is closed


def test_whoever_takes_over_goes_on_with_the_jobs_that_are_open() -> None:
    work = msgspec.structs.replace(WORK, stage=1, done=(0, 3))
    after = step(averaging(work=work, lease_until=EARLY), Checked(), EARLY, MINE)
    assert (after.work, after.lease_owner, after.attempts) == (work, "me", 2)
    assert work.open_jobs == [1, 2]


# Leases and checks


def test_a_lease_grows_with_what_there_is_to_average() -> None:
    assert lease_s(0, 900.0) == MIN_LEASE_S
    small, large = lease_s(10**7, 900.0), lease_s(10**9, 900.0)
    assert MIN_LEASE_S < small < large < 900.0


def test_a_lease_never_outlives_its_invocation() -> None:
    assert lease_s(10**14, 100.0) == 100.0
    assert lease_s(8, 3.0) == 3.0


def test_a_round_has_to_be_looked_at_when_its_deadline_or_lease_ends_and_never_after_its_own_end() -> None:
    assert next_check(opened()) == DEADLINE
    assert next_check(averaging()) == 1120.0
    assert next_check(averaging(lease_until=0.0)) == 0.0
    for ended in ("closed", "aborted"):
        assert next_check(opened(status=ended, lease_until=1120.0)) is None


# ---- Rules that need more updates than the quorum


KRUM = settings(averaging=Averaging(rule="krum", byzantine=1))


def seven(**changes: Any) -> RoundRecord:
    return opened(settings=KRUM, cohort=tuple(CohortMember(thing=f"t{i}") for i in range(7)), **changes)


def test_a_round_below_what_its_rule_needs_is_aborted_and_says_so() -> None:
    at_deadline = seven(accepted=4, extended=True)
    after = step(at_deadline, Checked(), LATE, MINE)
    assert (after.status, after.reason) == (
        "aborted",
        "the extended deadline was reached with 4 updates; averaging.rule krum needs 5",
    )
    after = step(seven(accepted=3, failed=3), Counted(accepted=1), EARLY, MINE)
    assert (after.status, after.reason) == (
        "aborted",
        "all clients have answered, with 4 updates; averaging.rule krum needs 5",
    )


def test_no_target_and_no_rule_of_one_s_own_ends_a_round_below_what_its_rule_needs() -> None:
    assert step(seven(accepted=3), Counted(accepted=1), EARLY, MINE).status == "open"
    assert step(seven(accepted=4), Counted(accepted=1), EARLY, MINE).status == "averaging"
    before = seven(accepted=4)
    assert step(before, Satisfied(), EARLY, MINE) is before
    assert step(seven(accepted=5), Satisfied(), EARLY, MINE).status == "averaging"


def test_a_round_below_what_its_rule_needs_is_extended_first() -> None:
    assert step(seven(accepted=4), Checked(), LATE, MINE).extended
    assert step(seven(accepted=5), Checked(), LATE, MINE).status == "averaging"


def test_one_s_own_rule_ends_no_round_below_its_quorum() -> None:
    before = opened(accepted=1)
    assert step(before, Satisfied(), EARLY, MINE) is before
    assert step(opened(accepted=2), Satisfied(), EARLY, MINE).status == "averaging"


def federation(status: FederationStatus = "running") -> FederationRecord:
    return FederationRecord(
        federation="f", settings=settings(), status=status, round=0, model=opened().base, schema="s", next_at=50.0
    )


def test_a_federation_that_runs_is_stalled_while_a_round_is_due_and_none_is_open() -> None:
    assert not is_stalled(federation(), None, 49.0)
    assert is_stalled(federation(), None, 50.0)


def test_a_federation_that_runs_is_stalled_while_its_round_is_not_looked_at_though_it_is_time() -> None:
    record = opened()
    assert not is_stalled(federation(), record, record.deadline - 1)
    assert is_stalled(federation(), record, record.deadline)
    busy = averaging(lease_until=900.0)
    assert not is_stalled(federation(), busy, 899.0)
    assert is_stalled(federation(), busy, 900.0)
    assert not is_stalled(federation(), msgspec.structs.replace(record, status="closed"), 1e9)


@pytest.mark.parametrize("status", ["ready", "paused", "finished"])
def test_a_federation_that_does_not_run_is_not_stalled(status: FederationStatus) -> None:
    assert not is_stalled(federation(status), None, 1e9)
    assert not is_stalled(federation(status), opened(), 1e9)
