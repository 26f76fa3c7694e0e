"""`fedgrass dashboard`: what its server answers, to whom, and what it tells a page that is open."""

import csv
import io
import json
import signal
import socket
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.cli.dashboard.conftest import Served
from tests.cli.running import fedgrass
from tests.cloud.simulated import SimulatedFederation
from tests.reporting.pictures.pages import parsed
from tests.reporting.pictures.test_report import HOSTILE


def pictures(answer: HTTPResponse) -> Any:
    """What a stream of events tells, each as it comes."""
    name = ""
    while line := answer.readline().decode():
        field, _, value = line.rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name == "picture":
            yield json.loads(value)


def test_the_page_has_the_present_round_the_fleet_and_what_a_report_has(served: Served) -> None:
    answer = served.get("/")
    page = parsed(answer.read().decode())
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert [one.attributes["id"] for one in page.all("section")] == [
        *("present", "fleet", "overview", "learning", "time", "devices", "fairness"),
        *("participation", "traffic", "failures", "settings", "data"),
    ]
    assert page.section("present").of_class("legend")[0].text == "3 asked"
    rows = page.section("fleet").table("Every device; a heading sorts by its column")
    assert [row[:2] for row in rows] == [["device", "state"], ["d0", "asked"], ["d1", "asked"], ["d2", "asked"]]
    for script in page.all("script"):
        assert script.attributes["src"] == "/page.js"
        assert script.text == ""
    for name in ("/page.js", "/page.css"):
        assert served.get(name).status == 200


def test_a_round_that_goes_on_is_told_to_a_page_that_is_open(served: Served, simulated: SimulatedFederation) -> None:
    events = pictures(served.get("/events?since=0"))
    assert set(next(events)["rows"]) == {"d0", "d1", "d2"}
    simulated.report_progress("d2", 1, "failed", HOSTILE)
    for thing in ("d0", "d1"):
        simulated.answer(thing, 1, after={"loss": 0.5})
    told: dict[str, Any] = {"sections": {}, "rows": {}}
    while "learning" not in told["sections"] or "loss" not in told["sections"]["learning"]:
        picture = next(events)
        told["sections"] |= picture.get("sections", {})
        told["rows"] |= picture.get("rows", {})
    assert "<script" not in "".join(told["sections"].values())
    assert "alert(1)" in told["sections"]["failures"]
    assert "alert(1)" in told["rows"]["d2"][-1]
    assert "\x1b" not in told["rows"]["d2"][-1]
    assert told["rows"]["d0"][3] == "1 of 1"
    assert served.get("/").read().decode().count("<script") == 1
    (row,) = csv.DictReader(io.StringIO(served.get("/rounds.csv").read().decode()))
    assert (row["round"], row["accepted"], row["loss_after"]) == ("1", "2", "0.5")
    clients = list(csv.DictReader(io.StringIO(served.get("/clients.csv").read().decode())))
    assert [client["state"] for client in clients] == ["accepted", "accepted", "failed"]


def test_a_name_that_leads_here_is_no_way_in(served: Served) -> None:
    port = served.host.rpartition(":")[2]
    wrong = ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", f"localhost.evil:{port}")
    for path in ("/", "/events", "/page.js", "/rounds.csv", "/nowhere"):
        for host in wrong:
            answer = served.get(path, Host=host)
            assert (answer.status, b"digits" in answer.read()) == (421, False), (path, host)
        assert served.get(path, Host=f"localhost:{port}").status == (404 if path == "/nowhere" else 200)


def test_every_answer_has_the_policy_and_nothing_can_be_written(served: Served) -> None:
    for path in ("/", "/page.js", "/page.css", "/rounds.csv", "/nowhere"):
        headers = served.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert served.get("/", method).status == 405
    for since in ("-1", "x", "%C2%B2", ""):
        assert served.get(f"/events?since={since}").status == 400


def test_only_this_machine_can_reach_it(served: Served) -> None:
    port = int(served.host.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # is free: the page is on 127.0.0.1 alone


def test_ctrl_c_ends_it_while_a_page_is_open(served: Served) -> None:
    events = pictures(served.get("/events?since=0"))
    next(events)
    served.process.send_signal(signal.SIGINT)
    out, error = served.process.communicate(timeout=120)
    assert (served.process.returncode, out) == (130, "")
    assert error.startswith("interrupted: ")
    assert len(error.splitlines()) == 1
    assert list(events) == []


def test_a_port_that_is_taken_is_named(
    served: Served, simulated: SimulatedFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in simulated.aws.environment.items():
        monkeypatch.setenv(name, value)
    port = served.host.rpartition(":")[2]
    ran = fedgrass("dashboard", simulated.name, "--port", port, "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (2, "port_taken")
    assert f"port {port} on 127.0.0.1" in ran.error


def test_a_federation_that_is_gone_is_told_on_the_page(served: Served, simulated: SimulatedFederation) -> None:
    answer = served.get("/events?since=0")
    simulated.aws.client("dynamodb").delete_item(
        TableName=simulated.deployed.federations_table, Key={"federation": {"S": simulated.name}}
    )
    try:
        while (line := answer.readline().decode()) != "event: trouble\n":
            assert line
        assert simulated.name in json.loads(answer.readline().decode().removeprefix("data: "))
    finally:
        simulated.create([], rounds=1)
