"""cloud/averager/work/sources.py: what is known of the updates that a round averages."""

from cloud.averager.work.sources import accepted_updates, inclusions_of
from cloud.averaging.accepted_updates import S3Object
from cloud.state.records import Carried, CohortMember, ResponseRecord
from tests.cloud.examples import report, round_record

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
