"""Attacks on shadows: assignments and outcomes of others, and of rounds that are none of the member's business."""

import json
from typing import Any

from protocol import names
from trials.attacks.attack import Verdict, accepted, all_of, attack, refused
from trials.attacks.example_updates import update_of
from trials.attacks.target import ATTACKER, STRANGER, Target

_OWN_SHADOWS = "the IoT policy allows a device its own shadows fedgrass-* alone"
_WHOSE = "the topic says whose report it is; a round counts those of its cohort"


def _reported(**progress: Any) -> dict[str, Any]:
    return {"state": {"reported": {"progress": progress}}}


def _tells(target: Target, thing: str, operation: str, payload: object) -> Verdict:
    return target.member.publishes(names.shadow_topic(target.name, thing, operation), payload)


@attack(_OWN_SHADOWS)
def assign_to_another(target: Target) -> Verdict:
    """Write an assignment of its own making into another's shadow, with a model of its choice."""
    before = target.shadow_of(target.victim)
    assignment = {"v": 1, "round": 1, "model": {"key": "k", "sha256": "0" * 64, "bytes": 1}, "deadline": 1.0}
    verdict = _tells(target, target.victim, "update", {"state": {"desired": {"assignment": assignment}}})
    return verdict if target.shadow_of(target.victim) == before else accepted("the other's shadow has changed")


@attack(_OWN_SHADOWS)
def withdraw_anothers_assignment(target: Target) -> Verdict:
    """Withdraw another's assignment in its shadow, or delete the shadow, so that it stops training."""
    before = target.shadow_of(target.victim)
    withdrawn = {"state": {"desired": {"withdrawn": 1, "withdrawn_life": target.life}}}
    verdict = all_of(
        (
            _tells(target, target.victim, "update", withdrawn),
            _tells(target, target.victim, "update", {"state": None}),
            _tells(target, target.victim, "delete", {}),
            _tells(target, target.victim, "update/delta", withdrawn),
        )
    )
    return verdict if target.shadow_of(target.victim) == before else accepted("the other's shadow has changed")


@attack(_OWN_SHADOWS)
def read_anothers_shadow(target: Target) -> Verdict:
    """Ask for another's shadow."""
    return all_of(
        (
            _tells(target, target.victim, "get", {}),
            target.member.publishes(f"$aws/things/{target.victim}/shadow/get", {}),
        )
    )


@attack(_OWN_SHADOWS)
def use_shadows_that_are_not_of_fedgrass(target: Target) -> Verdict:
    """Write the shadows that its own thing has for other purposes."""
    thing = target.member.thing
    topics = (f"$aws/things/{thing}/shadow/update", f"$aws/things/{thing}/shadow/name/config/update")
    return all_of(target.member.publishes(topic, {"state": {"desired": {"a": 1}}}) for topic in topics)


@attack(_OWN_SHADOWS)
def report_anothers_failure(target: Target) -> Verdict:
    """Say in another's shadow, or in the answer that AWS IoT gives to it, that no update of it will come."""
    failed = _reported(round=1, life=target.life, phase="failed", reason="gone")
    verdict = all_of(_tells(target, target.victim, operation, failed) for operation in ("update", "update/accepted"))
    target.settled()
    return accepted("a failure was counted") if target.round(1).failed else verdict


@attack(_WHOSE)
def report_anothers_failure_in_its_own_shadow(target: Target) -> Verdict:
    """Name another as the thing, in what it reports in its own shadow."""
    claim = {"thing": target.victim, "shadow": target.shadow, "kind": "outcome"}
    failed = _reported(round=1, life=target.life, phase="failed", **claim) | claim
    _tells(target, target.member.thing, "update", failed)
    target.settled()
    things = {response.thing for response in target.responses_to(1).failed}
    return refused(f"counted of {', '.join(things)} alone") if things == {ATTACKER} else accepted(f"of {things}")


@attack("the IoT policy lets a device get and update its shadows, and not speak for their service")
def forge_answers_of_the_shadow_service(target: Target) -> Verdict:
    """Publish what AWS IoT would say of its own shadow, past the shadow's limit of 8 kB; or delete the shadow."""
    failed = _reported(round=1, life=target.life, phase="failed", reason="r" * 100_000)
    operations = ("update/accepted", "update/delta", "update/documents", "get/accepted", "delete", "x/accepted")
    verdict = all_of(_tells(target, target.member.thing, operation, failed) for operation in operations)
    target.settled()
    return accepted("a failure was counted") if target.round(1).failed else verdict


@attack("500 characters of a reason are kept")
def report_long_reasons(target: Target) -> Verdict:
    """Report a reason as long as a shadow can be, so that the round's records grow."""
    failed = _reported(round=1, life=target.life, phase="failed", reason="r" * 7_000)
    _tells(target, target.member.thing, "update", failed)
    target.settled()
    (response,) = target.responses_to(1).failed
    kept = len(response.reason or "")
    return refused(f"{kept} characters are kept") if kept <= 500 else accepted(f"{kept} characters")


@attack("each client is counted once in a round")
def report_failures_without_end(target: Target) -> Verdict:
    """Report a failure again and again, so that the round thinks that nobody is left."""
    for number in range(20):
        phase = "declined" if number % 2 else "failed"
        failed = _reported(round=1, life=target.life, phase=phase, reason=f"reason {number}")
        _tells(target, target.member.thing, "update", failed)
    target.settled()
    count = target.round(1).failed
    return refused("counted once") if count == 1 else accepted(f"counted {count} times")


@attack("a report on a round that does not exist, or of another life, is left alone")
def report_failures_of_other_rounds(target: Target) -> Verdict:
    """Report failures of rounds to come, of impossible rounds, and of another life of the federation."""
    rounds: list[Any] = [2, 0, -1, 99_999_999, 10**30, "1", [1], None, 1.5]
    for number in rounds:
        _tells(target, target.member.thing, "update", _reported(round=number, life=target.life, phase="failed"))
    for life in ("", "0" * 8, "../../x", "\u0000"):
        _tells(target, target.member.thing, "update", _reported(round=1, life=life, phase="failed"))
    target.settled()
    return accepted("a failure was counted") if target.round(1).failed else refused("none was counted")


@attack("a round counts those of its cohort")
def report_a_strangers_failure(target: Target) -> Verdict:
    """As a device that is no client: report failures in a shadow of this federation, so that the round ends."""
    topic = names.shadow_topic(target.name, STRANGER, "update")
    failed = _reported(round=1, life=target.life, phase="failed")
    target.arena.stranger.publishes(topic, failed)
    target.settled()
    return accepted("a failure was counted") if target.round(1).failed else refused("it is not in the cohort")


@attack("a report on a federation that does not exist leaves nothing")
def report_to_federations_made_up(target: Target) -> Verdict:
    """Report failures in shadows of federations that there are not, or whose names are none, so that records stay."""
    thing = target.member.thing
    made_up = (f"x-{target.name}"[:40].rstrip("-"), "X", "..", "a" * 41)
    for name in made_up:
        topic = f"$aws/things/{thing}/shadow/name/fedgrass-{name}/update"
        target.member.publishes(topic, _reported(round=1, life=target.life, phase="failed"))
    target.settled()
    responses = target.arena.operations.rounds.responses(made_up[0], 1)
    return accepted("a record is there") if responses.failed or responses.refused else refused("no record is there")


@attack("what can't be read is left alone, without a dead letter")
def report_in_other_shapes(target: Target) -> Verdict:
    """Report outcomes whose fields are deep, long, or of other types."""
    deep = json.loads("[" * 100 + "]" * 100)
    shapes: list[dict[str, Any]] = [{"reason": deep}, {"reason": {"a": []}}, {"reason": 7}, {"phase": ["failed"]}]
    for fields in shapes:
        _tells(target, target.member.thing, "update", _reported(**{"round": 1, "phase": "failed"} | fields))
    _tells(target, target.member.thing, "update", b"[" * 50_000 + b"]" * 50_000)
    for number in (b"1e400", b"NaN", b"-0", b"1" * 5000, b'1,"round":2'):
        raw = b'{"state":{"reported":{"progress":{"round":%b,"life":"","phase":"failed"}}}}' % number
        _tells(target, target.member.thing, "update", raw)
    for reason in (b"\\ud800", b"\\udfff\\ud800", b"\\u0000"):
        raw = b'{"state":{"reported":{"progress":{"round":7,"phase":"failed","reason":"%b"}}}}' % reason
        _tells(target, target.member.thing, "update", raw)
    _tells(target, target.member.thing, "update", b"\xff\xfe no text")
    target.settled()
    return accepted("a failure was counted") if target.round(1).failed else refused("none was counted")


@attack("a cohort is what the cloud has selected, whatever shadows say")
def assign_itself(target: Target) -> Verdict:
    """As a device that is no client: write itself an assignment, and send an update as if it were one."""
    stranger = target.arena.stranger
    assignment = target.shadow_of(target.victim)["desired"]
    stranger.publishes(names.shadow_topic(target.name, STRANGER, "update"), {"state": {"desired": assignment}})
    body = update_of(target.report(thing=STRANGER), 1e6)
    key = target.key(thing=STRANGER)
    version = str(stranger.client("s3").put_object(Bucket=target.bucket, Key=key, Body=body)["VersionId"])
    return target.refused_for("not in cohort", version)
