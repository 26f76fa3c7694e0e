"""cloud/averager/work/sources.py: what is known of the updates that a round averages."""

import random

import msgspec
import pytest

from cloud.averager.work.sources import accepted_updates, inclusions_of
from cloud.averaging.accepted_updates import S3Object
from cloud.state.records import Carried, CohortMember, ResponseRecord, RoundRecord
from tests.cloud.examples import federation, report, round_record

RECORD = round_record(
    round=7,
    cohort=(
        CohortMember(thing="a", inclusion=0.5),
        CohortMember(thing="b", inclusion=0.25, assigned_in=5, assigned_at=1.0),
        CohortMember(thing="c", inclusion=None),
    ),
    carried=(Carried(thing="a", round=6, age=1, inclusion=0.125), Carried(thing="d", round=6, age=2, inclusion=0.2)),
)


def test_each_update_has_the_probability_of_the_draw_that_it_was_made_for() -> None:
    assert inclusions_of(RECORD) == {("a", 7): 0.5, ("a", 6): 0.125, ("b", 5): 0.25, ("c", 7): 1.0, ("d", 5): 0.2}
    rounds = (("a", 6), ("b", 5), ("c", 7), ("d", 5))
    responses = [
        ResponseRecord(
            thing=thing, state="accepted", arrived_at=1.0, inspected_at=1.0, report=report(thing, round=number)
        )
        for thing, number in rounds
    ]
    found = list(accepted_updates(RECORD, responses, lambda one: S3Object(key=one.thing, data_start=0)))
    assert [(one.thing, one.age, one.inclusion) for one in found] == [
        ("a", 1, 0.125),
        ("b", 2, 0.25),
        ("c", 0, 1.0),
        ("d", 2, 0.2),
    ]


def asynchronous(**changes: object) -> RoundRecord:
    settings = federation(max_staleness=50, target=1, selection={"cohort": 4})
    return msgspec.structs.replace(RECORD, settings=settings, **changes)


def test_who_could_not_be_drawn_while_it_trained_counts_for_those_rounds_too() -> None:
    assert inclusions_of(asynchronous()) == pytest.approx(
        {("a", 7): 0.5, ("a", 6): 1 / 9, ("b", 5): 1 / 6, ("c", 7): 1.0, ("d", 5): 1 / 7}
    )


def test_draws_of_equals_are_not_weighed_though_rounds_do_not_wait() -> None:
    members = (CohortMember(thing="a"), CohortMember(thing="b", assigned_in=5, assigned_at=1.0))
    assert set(inclusions_of(asynchronous(cohort=members, carried=())).values()) == {1.0}


def test_where_rounds_do_not_wait_all_clients_count_alike_in_the_long_run() -> None:
    """Clients by the probability of their draws and the rounds that they train for: each counts for all rounds."""
    generator = random.Random(0)  # noqa: S311 - reproducible, not secret
    rounds = 20_000
    for probability, takes in ((0.5, 0), (0.5, 6), (0.1, 0), (0.2, 15)):
        member = CohortMember(thing="a", inclusion=probability, assigned_in=30)
        record = asynchronous(round=30 + takes, cohort=(member,), carried=())
        (weight,) = (1 / inclusion for inclusion in inclusions_of(record).values())
        counted, free_from = 0.0, 0
        for number in range(rounds):
            if number >= free_from and generator.random() < probability:
                free_from = number + takes + 1
                counted += weight
        assert counted == pytest.approx(rounds, rel=0.05)
