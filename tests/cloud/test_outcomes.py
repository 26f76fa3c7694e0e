"""What devices say of a round other than by an update: that none will come, or nothing at all."""

import json

import numpy as np
import pytest

from protocol import names
from protocol.messages import Phase, RoundNotice, decode
from sandbox.polling import eventually
from tests.cloud.simulated import INITIAL, SimulatedFederation

THINGS = ("d0", "d1", "d2")


def test_clients_that_fail_or_decline_are_recorded_with_their_reasons_and_counted(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=1)
    simulated.start()
    for thing in THINGS:
        simulated.assignment(thing, 1)
        simulated.report_progress(thing, 1, "accepted")
    simulated.report_progress("d1", 1, "failed", "out of memory: 900 MiB of 1 GiB were in use")
    simulated.report_progress("d2", 1, "declined", "on battery")
    record = simulated.round_with(1, "told of both", lambda record: record.failed == 2)
    assert (record.status, record.accepted, record.refused) == ("open", 0, 0)
    failed = {(r.thing, r.state): r.reason for r in simulated.responses_to(1).failed}
    assert failed == {
        ("d1", "failed"): "out of memory: 900 MiB of 1 GiB were in use",
        ("d2", "declined"): "on battery",
    }

    simulated.report_progress("d1", 1, "failed", "and once more")  # the first word counts
    simulated.settled()
    assert simulated.round(1) == record
    assert {r.reason for r in simulated.responses_to(1).failed} == set(failed.values())


def test_a_round_that_all_have_answered_is_averaged_without_waiting_for_its_deadline(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(THINGS, rounds=1, target=3, quorum=1)
    simulated.start()
    simulated.answer("d0", 1, value=2.0)
    simulated.assignment("d1", 1)
    simulated.report_progress("d1", 1, "failed", "no space left on device")
    simulated.round_with(1, "told of both", lambda record: (record.accepted, record.failed) == (1, 1))
    assert simulated.round(1).status == "open"
    simulated.report_progress("d2", 1, "declined", "too hot")
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.failed, closed.vanished) == ("closed", 1, 2, ())
    assert closed.closed_at is not None
    assert closed.closed_at < closed.deadline
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 2)
    simulated.settled()
    assert [simulated.desired(thing).withdrawn for thing in THINGS] == [None, None, None]  # no one waits
    assert [simulated.client(thing).missed for thing in THINGS] == [0, 1, 0]

    notice = simulated.aws.client("iot-data").get_retained_message(topic=names.round_topic(simulated.name))
    assert decode(notice["payload"], RoundNotice).counts.failed == 2


def test_a_round_that_all_have_answered_below_its_quorum_is_aborted_at_once(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=2, quorum=2)
    simulated.start()
    simulated.answer("d0", 1)
    for thing in ("d1", "d2"):
        simulated.assignment(thing, 1)
        simulated.report_progress(thing, 1, "failed", "the task raised ValueError: no such column")
    aborted = simulated.ended(1)
    assert aborted.status == "aborted"
    assert aborted.reason == "all clients have answered, with 1 updates; the quorum is 2 of 3 clients"
    assert (aborted.extended, aborted.vanished) == (False, ())
    assert aborted.closed_at is not None
    assert aborted.closed_at < aborted.deadline
    assert simulated.opened(2).base == aborted.base
    assert [simulated.client(thing).missed for thing in THINGS] == [0, 1, 1]
    assert [simulated.client(thing).turnaround_s for thing in THINGS[1:]] == [None, None]
    assert [simulated.desired(thing).withdrawn for thing in THINGS] == [None, None, None]


@pytest.mark.parametrize("phase", ["failed", "declined"])
def test_an_update_of_a_client_that_had_said_none_would_come_counts(
    simulated: SimulatedFederation, phase: Phase
) -> None:
    simulated.create(THINGS[:2], rounds=1)
    simulated.start()
    simulated.assignment("d0", 1)
    simulated.report_progress("d0", 1, phase, "the network was down")
    simulated.round_with(1, "told so", lambda record: record.failed == 1)
    simulated.answer("d0", 1, value=4.0)
    recovered = simulated.accepted_count(1, 1)
    assert (recovered.status, recovered.failed) == ("open", 0)
    assert simulated.responses(1).keys() == {("d0", "accepted")}

    simulated.report_progress("d0", 1, "failed", "what comes after the update is no news")
    simulated.settled()
    assert simulated.round(1) == recovered
    simulated.answer("d1", 1, value=4.0)
    closed = simulated.ended(1)
    assert (closed.accepted, closed.failed) == (2, 0)
    np.testing.assert_allclose(simulated.current()[1]["w"], INITIAL["w"] + 4)


def test_words_of_strangers_of_other_rounds_and_after_the_end_change_nothing(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS[:2], rounds=1, target=1)
    simulated.start()
    opened = simulated.opened(1)
    simulated.register("stranger")
    simulated.report_progress("stranger", 1, "failed", "not asked")
    simulated.report_progress("d0", 7, "failed", "a round that never was")
    simulated.settled()
    assert simulated.round(1) == opened
    assert simulated.responses_to(1).failed == ()
    assert simulated.responses_to(7) == simulated.responses_to(0)

    simulated.answer("d0", 1)
    closed = simulated.ended(1)
    simulated.report_progress("d1", 1, "failed", "withdrawn")
    simulated.settled()
    assert simulated.round(1) == closed
    assert simulated.responses_to(1).failed == ()


def test_a_device_that_reports_nonsense_in_its_shadow_harms_no_one(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1, target=1)
    simulated.start()
    opened = simulated.opened(1)
    ours = names.shadow_name(simulated.name)
    for shadow, progress in (
        (ours, {"round": "first", "phase": "failed"}),
        (ours, {"phase": "failed"}),
        (ours, {"round": 1, "phase": "failed", "reason": {"deep": [1]}}),
        (ours, {"round": -1, "phase": "declined"}),
        ("of-something-else", {"round": 1, "phase": "failed"}),
    ):
        payload = json.dumps({"state": {"reported": {"progress": progress}}}).encode()
        simulated.aws.client("iot-data").update_thing_shadow(thingName="d0", shadowName=shadow, payload=payload)
    simulated.settled()
    assert simulated.round(1) == opened
    simulated.answer("d0", 1)
    assert simulated.ended(1).status == "closed"


def test_a_long_reason_is_cut(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1, target=1)
    simulated.start()
    simulated.assignment("d0", 1)
    simulated.report_progress("d0", 1, "failed", "x" * 3000)
    assert simulated.ended(1).failed == 1
    assert simulated.responses_to(1).failed[0].reason == "x" * 500


def test_clients_that_a_round_waited_for_in_vain_are_named_and_have_missed_it(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, quorum=1)
    simulated.start()
    simulated.answer("d1", 1)
    simulated.accepted_count(1, 1)
    notified = simulated.responses_to(1).notified
    simulated.reach_deadline(1)
    closed = simulated.ended(1)
    assert (closed.status, closed.vanished) == ("closed", ("d0", "d2"))
    assert closed.averaging_at is not None
    for thing in ("d0", "d2"):
        client = simulated.client(thing)
        assert client.missed == 1
        assert client.turnaround_s == pytest.approx(closed.averaging_at - notified[thing])
    assert simulated.client("d1").missed == 0
    eventually(
        lambda: [simulated.desired(thing).withdrawn for thing in THINGS] == [1, None, 1], "those two to be withdrawn"
    )


def test_clients_that_a_round_did_not_wait_for_have_missed_none(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, target=2)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.answer("d1", 1)
    closed = simulated.ended(1)
    assert (closed.status, closed.vanished) == ("closed", ())
    assert closed.averaging_at is not None
    client = simulated.client("d2")
    assert client.missed == 0
    assert client.turnaround_s == pytest.approx(closed.averaging_at - simulated.responses_to(1).notified["d2"])


def test_clients_that_an_aborted_round_waited_for_in_vain_have_missed_it(simulated: SimulatedFederation) -> None:
    simulated.create(THINGS, rounds=1, quorum=3, extension_s=0.0)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.assignment("d1", 1)
    simulated.report_progress("d1", 1, "failed", "out of memory")
    simulated.round_with(1, "told of both", lambda record: (record.accepted, record.failed) == (1, 1))
    simulated.reach_deadline(1)
    aborted = simulated.ended(1)
    assert (aborted.status, aborted.vanished) == ("aborted", ("d2",))
    assert [simulated.client(thing).missed for thing in THINGS] == [0, 1, 1]
