"""Attacks by hellos: as another, of any shape, without end, and to federations that there are not."""

import json
import time
from typing import Any

from protocol import names
from protocol.messages import encode
from sandbox.function_logs import function_lines
from sandbox.polling import eventually
from sandbox.simulated_clients import HELLO
from trials.attacks.attack import Verdict, accepted, all_of, attack, refused
from trials.attacks.target import Target

_SENT = 40
_DAY_S = 86_400


def _hello(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(encode(HELLO))
    return fields | changes


def _says(target: Target, payload: object, topic: str | None = None) -> Verdict:
    return target.member.publishes(topic or names.hello_topic(target.name, target.member.thing), payload)


def _clients(target: Target) -> dict[str, Any]:
    """What is known of the federation's clients, but for when they were seen."""
    return {
        client.thing: (client.component_version, client.architecture, client.examples)
        for client in target.arena.operations.clients.of(target.name)
    }


def _unless_changed(target: Target, before: dict[str, Any], because: str) -> Verdict:
    target.settled()
    return refused(because) if _clients(target) == before else accepted("a client's record has changed")


@attack("the IoT policy allows a device its own hello alone")
def say_hello_as_another(target: Target) -> Verdict:
    """Say hello in another's name, with other examples and another version."""
    before = _clients(target)
    verdict = all_of(
        _says(target, _hello(examples=1), names.hello_topic(target.name, thing)) for thing in (target.victim, "new")
    )
    return verdict if verdict.accepted else _unless_changed(target, before, verdict.because)


@attack("federation and thing are taken from the topic")
def say_in_a_hello_that_it_is_another(target: Target) -> Verdict:
    """Name another thing, another federation, or another kind of message in the content of a hello."""
    before = _clients(target)
    _says(target, _hello() | {"thing": target.victim, "federation": target.name, "examples": 100})
    _says(target, _hello() | {"kind": "open-round", "federation": target.name, "round": 7, "life": target.life})
    _says(target, _hello() | {"kind": "abort-round", "federation": target.name, "round": 1, "reason": "no"})
    return _unless_changed(target, before, "the topic rule takes them from the topic")


@attack("the topic rule hears fedgrass/+/clients/+/hello alone")
def say_hello_past_the_topic_rule(target: Target) -> Verdict:
    """Make use of the policy's star, which spans levels of a topic, to have another's name where the rule looks."""
    before, thing = _clients(target), target.member.thing
    for topic in (
        f"fedgrass/{target.name}/clients/{target.victim}/hello/clients/{thing}/hello",
        f"fedgrass/{target.name}/clients/{target.victim}/clients/{thing}/hello",
        f"fedgrass/{target.name}/round/clients/{thing}/hello",
    ):
        _says(target, _hello(examples=1), topic)
    return _unless_changed(target, before, "the rule does not hear it")


@attack("the topic rule bounds fields; the parser refuses the rest without a dead letter")
def say_hello_in_other_shapes(target: Target) -> Verdict:
    """Say hello with fields that are long, deep, negative, control characters, or of other types."""
    before, deep = _clients(target), json.loads("[" * 200 + "]" * 200)
    for changes in (
        {"component_version": "1" * 60_000},
        {"component_version": deep},
        {"component_version": ""},
        {"component_version": "1.0\n\x1b[31m"},
        {"architecture": "a" * 65},
        {"memory_bytes": "9" * 1000},
        {"memory_bytes": -1},
        {"memory_bytes": 2**53 + 1},
        {"cpu_count": 1.5},
        {"examples": "7"},
        {"examples": deep},
        {"examples": -7},
        {"v": 2},
        {"v": "1"},
    ):
        _says(target, _hello(**changes))
    good = json.dumps(_hello()).encode()
    for old, new in (
        (b"100", b"1e400"),
        (b"100", b"NaN"),
        (b"100", b"1" * 5000),
        (b"100", b'"\\ud800"'),
        (b'"v": 1', b'"v": 1e400'),
        (b'"v": 1', b'"v": 2, "v": 3'),
        (b"aarch64", b"\\ud800"),
    ):
        _says(target, good.replace(old, new))
    for payload in (b"", b"[]", b"null", b"\xff\xfe", b"{" * 20_000, b'"hello"', b"[" * 50_000 + b"]" * 50_000):
        _says(target, payload)
    return _unless_changed(target, before, "none of them was taken for a hello")


@attack("one that says nothing new within a minute is ignored")
def say_hello_without_end(target: Target) -> Verdict:
    """Say the same hello again and again, so that each is written to the table."""
    initiator = target.arena.deployed.initiator
    _says(target, _hello())
    target.settled()
    before = len(function_lines(target.arena.aws, initiator))
    for _ in range(_SENT):
        _says(target, _hello())
    target.settled()
    lines = function_lines(target.arena.aws, initiator)[before:]
    written = sum(line.calls.get("dynamodb.UpdateItem", 0) for line in lines)
    known = f"{written} writes for {_SENT} hellos"
    return refused(known) if written < _SENT // 2 else accepted(known)


@attack("what a hello to no federation leaves expires after a week")
def make_federations_up(target: Target) -> Verdict:
    """Say hello to federations that there are not, so that their records stay for ever."""
    name = f"x-{target.name}"[:40].rstrip("-")
    _says(target, _hello(), names.hello_topic(name, target.member.thing))
    clients = target.arena.operations.clients
    (record,) = eventually(lambda: clients.of(name), "the record of the hello")
    if record.expires_at is None or record.expires_at > time.time() + 8 * _DAY_S:
        return accepted(f"it expires at {record.expires_at}")
    return refused(f"it expires in {(record.expires_at - time.time()) / _DAY_S:.0f} days")


@attack("names are checked before they are used")
def say_hello_to_names_that_are_none(target: Target) -> Verdict:
    """Say hello to federations whose names are paths, patterns or markup."""
    bad = ("..", "%2e%2e", "F", "a*", "$x", "[red]", "a" * 41, "-a")
    for name in bad:
        _says(target, _hello(), f"fedgrass/{name}/clients/{target.member.thing}/hello")
    target.settled()
    kept = [name for name in bad if target.arena.operations.clients.of(name)]
    return accepted(f"records of {kept}") if kept else refused("no record of them is there")
