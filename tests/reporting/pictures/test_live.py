"""reporting/pictures/live/: the present round and the fleet, as a page has them."""

from collections import Counter
from typing import Any

import htpy as h

from cloud.state.records import ResponseRecord, RoundResult
from cloud.state.rounds import Responses
from protocol.messages import Progress
from reporting.pictures.device_figures import DeviceFigures
from reporting.pictures.live.fleet import COLUMNS, fleet_rows
from reporting.pictures.live.present import headline, present
from reporting.view import View
from tests.cloud.examples import round_record
from tests.reporting.pictures.pages import Element, parsed
from tests.reporting.pictures.test_report import HOSTILE

OPEN = round_record("a", "b", "c", round=3, opened_at=1000.0, deadline=1060.0, accepted=1, target=2)


def response(thing: str, state: Any, reason: str | None = None) -> ResponseRecord:
    return ResponseRecord(thing=thing, state=state, arrived_at=1.0, inspected_at=1.0, reason=reason)


def view(**changes: Any) -> View:
    fields: dict[str, Any] = {"federation": "f", "round": 3, "rounds": 9, "state": "open", "open": OPEN}
    return View(**fields | changes)


def drawn(shown: View, now: float = 1020.0) -> Element:
    return parsed(str(h.fragment[present(shown, now)]))


def facts(page: Element) -> dict[str, str]:
    names = [one.text for one in page.all("dt")]
    return dict(zip(names, [one.text for one in page.all("dd")], strict=True))


def test_the_present_round_is_told_with_its_times_its_devices_and_dollars() -> None:
    heard = {"b": Progress(round=3, phase="training")}
    before = RoundResult(round=2, status="closed", opened_at=0.0, spent_usd=0.25)
    page = drawn(view(heard=heard, earlier=(before,), answers=Responses(accepted=(response("a", "accepted"),))))
    assert facts(page) == {
        "round": "3 of 9",
        "state": "open",
        "open for": "20 s",
        "deadline in": "40 s",
        "updates that count": "1, with a target of 2",
        "dollars in AWS, estimated": "$0.25",
    }
    assert [one.text for one in page.of_class("legend")[0].all("li")] == ["1 asked", "1 training", "1 counted"]
    (bar,) = page.of_class("bar")
    assert bar.attributes["aria-label"] == "1 asked, 1 training, 1 counted"


def test_the_number_of_updates_is_that_of_the_devices_beside_it_though_the_record_was_read_at_another_moment() -> None:
    for things in ((), ("a", "b"), ("a", "b", "c")):
        answers = Responses(accepted=tuple(response(thing, "accepted") for thing in things))
        page = drawn(view(answers=answers))
        assert facts(page)["updates that count"] == f"{len(things)}, with a target of 2"
        told = [one.text for one in page.of_class("legend")[0].all("li")]
        assert (f"{len(things)} counted" in told) == bool(things)


def test_a_device_that_failed_is_told_with_its_reason_as_text() -> None:
    failing = Responses(failed=(response("b", "failed", HOSTILE),), refused=(response("c", "refused", "not finite"),))
    page = drawn(view(answers=failing))
    (_, *rows) = page.table("2 devices without an update in this round")
    assert [row[:2] for row in rows] == [["b", "failed"], ["c", "refused"]]
    assert "alert(1)" in rows[0][2]
    assert not {one.name for one in page.all()} & {"script", "img"}
    assert headline(view(answers=failing)) == "Round 3 of 9: open, 2 devices without an update"


def test_what_holds_a_federation_is_told_and_past_deadlines_are_not_negative() -> None:
    page = drawn(view(open=None, state="paused", held_by="paused: it goes on with fedgrass resume f"))
    assert page.of_class("problem")[0].text == "paused: it goes on with fedgrass resume f"
    assert "No round is open." in page.text
    assert facts(drawn(view(), now=2000.0))["deadline in"] == "0 s"


def test_each_device_has_a_row_whether_it_is_in_the_round_or_was_in_one() -> None:
    past = DeviceFigures(
        name="old",
        states=Counter({"accepted": 2, "failed": 1}),
        phases_s={},
        turnaround_s=1.25,
        examples=1000,
        sent_bytes=1,
        reason="no data",
        metrics={},
    )
    heard = {"b": Progress(round=3, phase="training", epoch=2, epochs=5)}
    rows = fleet_rows(view(heard=heard), {"old": past})
    assert list(rows) == ["a", "b", "c", "old"]
    assert rows["b"] == ("b", "training", "epoch 2 of 5", "", "", "", "")
    assert rows["old"] == ("old", "", "", "2 of 3", "1.2", "1,000", "no data")
    assert {len(row) for row in rows.values()} == {len(COLUMNS)}


def test_what_a_device_says_now_comes_before_what_it_said_before() -> None:
    failed = Responses(failed=(response("a", "failed", "wet"),))
    past = DeviceFigures(
        name="a",
        states=Counter({"failed": 1}),
        phases_s={},
        turnaround_s=None,
        examples=None,
        sent_bytes=0,
        reason="dry",
        metrics={},
    )
    assert fleet_rows(view(answers=failed), {"a": past})["a"][-1] == "wet"
    assert fleet_rows(view(), {"a": past})["a"][-1] == "dry"
