"""Attacks by updates that are not the member's to send: of others, of other rounds, lives, models and federations."""

from sandbox.polling import eventually
from trials.attacks.attack import BESIDE, Scene, Verdict, accepted, all_of, attack, refused
from trials.attacks.example_updates import update_of
from trials.attacks.target import ATTACKER, STRANGER, Target

_CLAIMED = "federation, life, round and thing in it have to be those of its key"

TWO_ROUNDS = Scene(name="two rounds", settings={"rounds": 2})
TWO_ROUNDS_BESIDE = Scene(name="two rounds beside an honest update of its own", settings={"rounds": 2}, joins=3.0)
IN_A_GROUP = Scene(name="with a thing group", grouped=True)


def _stray(target: Target, version: str, reason: str) -> Verdict:
    """Refused, when the averager says so of what belongs to no round, for this reason."""

    def look() -> Verdict | None:
        found = next((r for r in target.responses_to(0).refused if r.version_id == version), None)
        return refused(f"recorded: {found.reason}") if found and reason in (found.reason or "") else None

    return eventually(look, f"{reason!r} to be recorded")


@attack(_CLAIMED)
def send_anothers_update(target: Target) -> Verdict:
    """Send, as its own, an update that says that it is another's."""
    return target.refuses(update_of(target.report(thing=target.victim), 1e6), "sender mismatch")


@attack(_CLAIMED)
def send_another_federations_update(target: Target) -> Verdict:
    """Send an update that says that it is of another federation."""
    return target.refuses(update_of(target.report(federation="another"), 1e6), "sender mismatch")


@attack(_CLAIMED)
def send_another_lifes_update(target: Target) -> Verdict:
    """Send an update that says that it is of another life of the federation."""
    return target.refuses(update_of(target.report(life="0123abcd"), 1e6), "sender mismatch")


@attack("a key says for which life an update is; 'another life'")
def upload_to_another_life(target: Target) -> Verdict:
    """Put an update where those of an earlier federation of the name were, or where those without a life were."""
    verdicts = []
    for life in ("0123abcd", ""):
        version = target.uploads(update_of(target.report(life=life), 1e6), target.key(life=life))
        verdicts.append(target.refused_for("another life", version))
    return all_of(verdicts)


@attack(_CLAIMED, TWO_ROUNDS_BESIDE)
def replay_an_update(target: Target) -> Verdict:
    """Send the update of the first round once more in the second."""
    body = update_of(target.report(), 3.0)
    target.uploads(body)
    target.answer(1)
    target.ended(1)
    target.opened(2)
    version = target.uploads(body, target.key(2))
    verdict = target.refused_for("sender mismatch", version, round_number=2)
    target.join(2)
    return verdict


@attack("an update has to be trained from its round's model", TWO_ROUNDS)
def train_from_an_old_model(target: Target) -> Verdict:
    """Send in the second round an update that was made from the first round's model, or from none."""
    old = target.report().base
    target.answer(1)
    target.ended(1)
    target.opened(2)
    verdicts = []
    for base in (old, "0" * 64):
        version = target.uploads(update_of(target.report(2, base=base), 1e6), target.key(2))
        verdicts.append(target.refused_for("wrong base", version, round_number=2))
    return all_of(verdicts)


@attack("a round that has ended takes no more", TWO_ROUNDS)
def answer_late(target: Target) -> Verdict:
    """Send an update to a round that has closed."""
    report = target.report()
    target.answer(1)
    target.ended(1)
    return target.refused_for("late", target.uploads(update_of(report, 1e6)))


@attack("a round that there is not takes none")
def answer_early(target: Target) -> Verdict:
    """Send updates to rounds to come, to the last possible one, and to round 0."""
    verdicts = []
    for number in (2, 99_999_999, 0):
        version = target.uploads(update_of(target.report(max(number, 1)), 1e6), target.key(number))
        verdicts.append(_stray(target, version, f"unknown round {number}"))
    return all_of(verdicts)


@attack("each client is counted once in a round", BESIDE)
def answer_many_times(target: Target) -> Verdict:
    """Send many updates to one round, each good, to be counted for many."""
    target.join()
    target.counted()
    for number in range(8):
        target.uploads(update_of(target.report(examples=100 + number), 50.0))
    target.settled()
    count = sum(response.thing == ATTACKER for response in target.responses_to(1).accepted)
    return refused("counted once") if count == 1 else accepted(f"counted {count} times")


@attack("a round counts those of its cohort")
def answer_as_a_stranger(target: Target) -> Verdict:
    """As a device of the fleet that is no client of the federation: send an update."""
    stranger, key = target.arena.stranger, target.key(thing=STRANGER)
    body = update_of(target.report(thing=STRANGER), 1e6)
    version = str(stranger.client("s3").put_object(Bucket=target.bucket, Key=key, Body=body)["VersionId"])
    return target.refused_for("not in cohort", version)


@attack("the thing group is asked again when an update is counted", IN_A_GROUP)
def answer_after_it_has_left_the_group(target: Target) -> Verdict:
    """Send an update to a round of a thing group that it has left since it was selected."""
    where = {"thingGroupName": target.group, "thingName": ATTACKER}
    target.arena.aws.client("iot").remove_thing_from_thing_group(**where)
    return target.refuses(update_of(target.report(), 1e6), "not in thing group")


@attack("a hello of who is not in the thing group is refused; and DevicePolicy has nothing of thing groups", IN_A_GROUP)
def join_past_the_group(target: Target) -> Verdict:
    """As a device that is not in the thing group: say hello, try to join the group, and send an update."""
    stranger, key = target.arena.stranger, target.key(thing=STRANGER)
    group = {"thingGroupName": target.group, "thingName": STRANGER}
    joined = stranger.calls("iot", "add_thing_to_thing_group", **group)
    if joined.accepted:
        return joined
    hello = {"v": 1, "component_version": "1", "architecture": "x", "memory_bytes": 1, "cpu_count": 1}
    stranger.publishes(f"fedgrass/{target.name}/clients/{STRANGER}/hello", hello)
    target.settled()
    if any(client.thing == STRANGER for client in target.arena.operations.clients.of(target.name)):
        return accepted("it is a client")
    body = update_of(target.report(thing=STRANGER), 1e6)
    version = str(stranger.client("s3").put_object(Bucket=target.bucket, Key=key, Body=body)["VersionId"])
    return target.refused_for("not in cohort", version)
