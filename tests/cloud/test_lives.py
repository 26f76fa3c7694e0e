"""A federation that is made anew under its name: nothing that an earlier one has left behind acts on it."""

import json
import time
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest

from cloud.state.records import FederationRecord, to_item
from protocol import names
from protocol.messages import (
    AbortRound,
    AverageShard,
    CheckRound,
    ModelHeader,
    OpenRound,
    Progress,
    Report,
    encode,
)
from protocol.tensors import dump, load, schema_id
from sandbox.polling import eventually
from tests.cloud.examples import federation, report, update_of
from tests.cloud.simulated import DTYPES, INITIAL, SimulatedFederation, delta

TABLES = ("federations_table", "rounds_table", "responses_table")


def remove(simulated: SimulatedFederation, tables: Iterable[str] = TABLES) -> None:
    """Delete a federation's items, as someone does in the console, or as they go with their stack."""
    dynamodb = simulated.aws.client("dynamodb")
    for table in (getattr(simulated.deployed, name) for name in tables):
        keys = [key["AttributeName"] for key in dynamodb.describe_table(TableName=table)["Table"]["KeySchema"]]
        for page in dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                first = item[keys[0]]["S"]
                if first == simulated.name or first.startswith(f"{simulated.name}#"):
                    dynamodb.delete_item(TableName=table, Key={key: item[key] for key in keys})


def objects_of(simulated: SimulatedFederation, life: str) -> dict[str, list[str]]:
    """Key -> the versions that there are, of all objects of a life of the federation."""
    pages = (
        simulated.aws.client("s3")
        .get_paginator("list_object_versions")
        .paginate(Bucket=simulated.deployed.bucket, Prefix=f"federations/{simulated.name}/{life}/")
    )
    found: dict[str, list[str]] = {}
    for version in (version for page in pages for version in page.get("Versions", [])):
        found.setdefault(version["Key"], []).append(version["VersionId"])
    return found


def carry_through(simulated: SimulatedFederation, rounds: int, value: float = 1.0) -> None:
    simulated.start()
    for number in range(1, rounds + 1):
        for thing in ("d0", "d1"):
            simulated.answer(thing, number, value)
        assert simulated.ended(number).status == "closed"
    simulated.settled()


ADAM = {"optimizer": {"name": "fedadam"}, "ema": 0.5}


@pytest.mark.parametrize("removed", [TABLES, TABLES[:1], TABLES[:2]], ids=["all", "its record", "all but responses"])
def test_a_federation_made_anew_starts_from_nothing_and_leaves_what_was_before_it(
    simulated: SimulatedFederation, removed: tuple[str, ...]
) -> None:
    settings: dict[str, Any] = {"rounds": 2, "averaging": ADAM, "download": "bfloat16"}
    simulated.create(["d0", "d1"], **settings)
    earlier = simulated.life
    carry_through(simulated, 2)
    before = objects_of(simulated, earlier)
    _, first = simulated.current()
    remove(simulated, removed)

    simulated.create(["d0", "d1"], **settings)
    assert simulated.life not in ("", earlier)
    assert simulated.operations.federations.get(simulated.name).round == 0
    assert simulated.client("d0").turnaround_s is not None  # what is known of the devices stays
    carry_through(simulated, 2)
    _, again = simulated.current()
    for name in first:  # neither the optimizer's state nor the average was picked up
        np.testing.assert_array_equal(again[name], first[name])
    assert objects_of(simulated, earlier) == before
    assert sorted(key.replace(simulated.life, earlier) for key in objects_of(simulated, simulated.life)) == sorted(
        before
    )
    assert [r.thing for r in simulated.responses_to(2).accepted] == ["d0", "d1"]


def test_what_comes_late_of_an_earlier_life_is_refused_with_that_reason_and_its_words_are_left_alone(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], rounds=3, target=2)
    simulated.start()
    base = simulated.assignment("d0", 1).model.sha256
    earlier, late = simulated.life, simulated.update("d0", 1, base=simulated.assignment("d0", 1).model.sha256)
    old_key = simulated.update_key("d0", 1)
    remove(simulated)

    simulated.create(["d0", "d1"], rounds=3, target=2)
    simulated.put_object(old_key, late)
    assert simulated.reason("d0", 0).startswith(
        f"another life: it was made for an earlier federation of this name, {earlier}, not for this one"
    )
    simulated.start()
    opened = simulated.opened(1)
    assert opened.base.sha256 == base  # the same bytes, of another life
    simulated.put_object(old_key, late)
    assert "another life" in simulated.reason("d0", 1)
    disguised = simulated.update("d1", 1, life=earlier)
    simulated.put("d1", 1, disguised)
    assert "sender mismatch" in simulated.reason("d1", 1)
    for thing in ("d0", "d1"):
        progress = Progress(round=1, life=earlier, phase="failed", reason="of old")
        simulated.aws.client("iot-data").update_thing_shadow(
            thingName=thing,
            shadowName=names.shadow_name(simulated.name),
            payload=msgspec.json.encode({"state": {"reported": {"progress": progress}}}),
        )
    simulated.settled()
    current = simulated.round(1)
    assert (current.status, current.accepted, current.failed, current.refused) == ("open", 0, 0, 2)
    simulated.report_progress("d1", 1, "declined", "of this life")
    simulated.answer("d0", 1)
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted, closed.failed) == ("closed", 1, 1)


def test_messages_of_an_earlier_life_that_are_still_in_the_queues_do_nothing(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=2)
    simulated.start()
    simulated.opened(1)
    earlier = simulated.life
    remove(simulated)
    simulated.create(["d0"], rounds=2)
    about: dict[str, Any] = {"federation": simulated.name, "life": earlier, "round": 1}
    opening = encode(OpenRound(**about)).decode()
    simulated.operations.federations.change_status(simulated.name, "running", ("ready",))
    assert simulated.invoke(simulated.deployed.initiator, opening=opening) == set()
    simulated.settled()
    with pytest.raises(LookupError):
        simulated.round(1)

    simulated.wake()
    opened = simulated.opened(1)
    assert opened.life == simulated.life
    simulated.set_time(1, "deadline", time.time())
    opened = simulated.round(1)
    stale = {
        "check": CheckRound(**about, at=0.0),
        "abort": AbortRound(**about, reason="of old"),
        "job": AverageShard(**about, stage=0, job=0),
        "later": CheckRound(**about | {"round": 7}, at=0.0),
    }
    bodies = {name: encode(message).decode() for name, message in stale.items()}
    assert simulated.invoke(simulated.deployed.averager, **bodies) == set()
    assert simulated.invoke(simulated.deployed.initiator, opening=opening) == set()
    assert simulated.round(1) == opened


def test_a_round_that_an_earlier_life_left_open_ends_without_moving_the_new_ones_pointer(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=2, extension_s=0.0)
    simulated.start()
    earlier = simulated.opened(1)
    remove(simulated, TABLES[:1])
    simulated.create(["d0"], rounds=2, extension_s=0.0)
    simulated.set_time(1, "deadline", time.time())
    check = encode(CheckRound(federation=simulated.name, life=earlier.life, round=1, at=0.0)).decode()
    assert simulated.invoke(simulated.deployed.averager, check=check) == set()
    record = simulated.operations.federations.get(simulated.name)
    assert (record.round, record.status, names.parse_model_key(record.model.key).life) == (0, "ready", record.life)
    simulated.start()
    assert simulated.opened(1).life == record.life


def test_assignments_and_withdrawals_say_their_life(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1, target=1)
    simulated.start()
    assert simulated.assignment("d0", 1).life == simulated.life
    simulated.answer("d1", 1)
    simulated.ended(1)
    eventually(lambda: simulated.desired("d0").withdrawn == 1, "the withdrawal")
    assert simulated.desired("d0").withdrawn_life == simulated.life


def test_a_device_whose_component_knows_no_lives_is_told_to_update_it(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.opened(1)
    old = without_life(simulated.report("d0", 1))
    simulated.put_object(names.update_key(simulated.name, 1, "d0"), update_of(delta(1.0), old))
    assert "update com.fedgrass.Client" in simulated.reason("d0", 1)
    assert simulated.round(1).accepted == 0


def test_a_federation_that_is_older_than_lives_goes_on_with_the_devices_that_it_has(
    simulated: SimulatedFederation,
) -> None:
    data = dump(INITIAL, DTYPES, encode(ModelHeader(federation=simulated.name, round=0)))
    reference = simulated.operations.models.put_new(names.model_key(simulated.name, 0), data)
    record = FederationRecord(
        federation=simulated.name,
        settings=federation(name=simulated.name, rounds=2),
        status="ready",
        round=0,
        model=reference,
        schema=schema_id(load(data)[0].schema),
    )
    item = to_item(record)
    del item["life"]
    simulated.aws.client("dynamodb").put_item(TableName=simulated.deployed.federations_table, Item=item)
    for thing in ("d0", "d1"):
        simulated.register(thing)
        simulated.say_hello(thing)
        simulated.client(thing)
    simulated.start()
    for number in (1, 2):
        simulated.assignment("d1", number)
        said = {"state": {"reported": {"progress": {"round": number, "phase": "declined", "reason": "it is at work"}}}}
        simulated.aws.client("iot-data").update_thing_shadow(
            thingName="d1", shadowName=names.shadow_name(simulated.name), payload=msgspec.json.encode(said)
        )
        base = simulated.assignment("d0", number).model.sha256
        old = without_life(report(federation=simulated.name, round=number, thing="d0", base=base))
        simulated.put_object(names.update_key(simulated.name, number, "d0"), update_of(delta(1.0), old))
        closed = simulated.ended(number)
        assert closed.model is not None
        assert (closed.status, closed.model.key) == ("closed", names.model_key(simulated.name, number))
        assert (closed.accepted, closed.failed) == (1, 1)


def without_life(about: Report) -> bytes:
    """A report as components write it that are older than lives."""
    fields = json.loads(encode(about))
    del fields["life"]
    return json.dumps(fields).encode()


def test_a_larger_model_of_a_new_life_is_not_held_to_the_size_of_the_earlier_one(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0"], rounds=1)
    simulated.start()
    simulated.answer("d0", 1)
    simulated.ended(1)
    remove(simulated)
    large = {"w": np.zeros((400, 300), "<f4")}
    simulated.create(["d0"], model=large, dtypes={"w": "F32"}, rounds=1)
    simulated.start()
    base = simulated.assignment("d0", 1).model.sha256
    simulated.put("d0", 1, update_of(large, simulated.report("d0", 1, base=base)))
    assert simulated.ended(1).status == "closed"


def test_an_init_that_was_cut_off_leaves_nothing_that_the_next_one_takes_up(simulated: SimulatedFederation) -> None:
    data = dump(INITIAL, DTYPES, encode(ModelHeader(federation=simulated.name, round=0)))
    cut_off = simulated.operations.put_initial(federation(name=simulated.name), data)
    simulated.create(["d0"], rounds=1)
    reference, _ = simulated.current()
    assert reference.sha256 == cut_off.sha256
    assert reference.key != cut_off.key
