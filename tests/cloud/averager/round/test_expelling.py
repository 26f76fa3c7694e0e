"""cloud/averager/round/expelling.py: what is written when a thing is expelled."""

from cloud.averager.round.expelling import Expelling
from cloud.state.lifecycle import Expelled
from cloud.state.records import EXPELLED
from tests.cloud.examples import round_record

CLIENT = Expelling(thing="a", at_time=5.0, is_client=True)


def test_a_client_fails_in_the_place_of_what_it_had_answered() -> None:
    answered = CLIENT.without({"a": "accepted"})
    assert answered.event == Expelled("a", "accepted")
    assert answered.recovered == {"a"}
    assert [(r.thing, r.state, r.reason) for r in answered.responses.values()] == [("a", "failed", EXPELLED)]


def test_a_client_without_an_answer_replaces_none() -> None:
    assert (CLIENT.event, CLIENT.recovered) == (Expelled("a"), frozenset())


def test_of_a_thing_that_is_no_client_nothing_is_recorded() -> None:
    stranger = Expelling(thing="c", at_time=5.0, is_client=False)
    assert (stranger.event, stranger.responses) == (Expelled("c"), {})


def test_what_it_had_answered_is_looked_for_again_when_the_round_has_moved_on() -> None:
    assert CLIENT.without({"a": "failed"}).at(round_record("a")) == CLIENT
