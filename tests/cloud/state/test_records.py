"""cloud/state/records.py: what the tables hold comes back as it was, whatever devices have written into it."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.settings import (
    MAX_COHORT,
    Averaging,
    Cosine,
    Exponential,
    Federation,
    LocalTraining,
    Pacing,
    Selection,
    Step,
)
from cloud.state import records
from cloud.state.carry_over import carrying_what_fits
from cloud.state.records import (
    ITEM_BYTES,
    Carried,
    ClientRecord,
    CohortMember,
    CorruptRecordError,
    FederationRecord,
    ResponseRecord,
    RoundRecord,
    fixed_item,
    from_item,
    size_of,
    to_attribute,
    to_item,
)
from protocol.messages import MAX_INTEGER, ModelReference, Report, Timings
from protocol.names import MAX_ROUND
from tests.cloud.examples import federation, round_record

SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)
TIMES = st.floats(-1e12, 1e12)  # DynamoDB's numbers end at 1e126
POSITIVE = st.integers(1, MAX_INTEGER)
TEXTS = st.text(max_size=20) | st.sampled_from(["[1]", "{}", '{"a": 1}', "[", "null", "1", "true", ""])
METRICS = st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3)
MODELS = st.builds(ModelReference, key=TEXTS, sha256=SHA256, bytes=POSITIVE)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


SETTINGS = st.builds(
    Federation,
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
    training=st.builds(
        LocalTraining,
        batch_size=POSITIVE,
        learning_rate=st.floats(0, 1, exclude_min=True),
        epochs=maybe(POSITIVE),
        schedule=st.builds(Step, every_rounds=st.integers(1, 100))
        | st.builds(Exponential, factor=st.floats(0.1, 1))
        | st.builds(Cosine, final_learning_rate=st.floats(0, 1), warmup_rounds=st.integers(0, 100)),
    ),
    thing_group=maybe(TEXTS),
    target=st.integers(1, 100) | st.just("80%"),
    selection=st.builds(Selection, cohort=st.integers(1, 100) | st.just("10%"), seed=st.integers(-1000, 1000)),
    averaging=st.builds(Averaging),
    pacing=st.builds(Pacing, interval_s=st.floats(0, 1e6)),
)
REPORTS = st.builds(
    Report,
    federation=TEXTS,
    round=POSITIVE,
    thing=TEXTS,
    base=SHA256,
    encoding=st.just("float32"),
    examples=POSITIVE,
    steps=POSITIVE,
    before=METRICS,
    after=METRICS,
    describe=METRICS,
    timings=st.builds(
        Timings, accepted_at=TIMES, downloaded_at=TIMES, trained_at=TIMES, uploading_at=TIMES, train_s=st.floats(0, 1e6)
    ),
)
RECORDS: dict[type[msgspec.Struct], st.SearchStrategy[Any]] = {
    FederationRecord: st.builds(
        FederationRecord,
        federation=TEXTS,
        settings=SETTINGS,
        status=st.sampled_from(["ready", "running", "paused", "finished"]),
        round=st.integers(0, 10**8),
        model=MODELS,
        schema=TEXTS,
        waiting=st.booleans(),
        next_at=TIMES,
    ),
    ClientRecord: st.builds(
        ClientRecord,
        federation=TEXTS,
        thing=TEXTS,
        turnaround_s=maybe(TIMES),
        missed=st.integers(0, 100),
        last_seen=maybe(TIMES),
        component_version=maybe(TEXTS),
        architecture=maybe(TEXTS),
        memory_bytes=maybe(st.integers(0, MAX_INTEGER)),
        cpu_count=maybe(st.integers(0, MAX_INTEGER)),
        examples=maybe(st.integers(0, MAX_INTEGER)),
        nucleus=maybe(TEXTS),
        last_round=maybe(st.integers(0, 10**8)),
        last_reason=maybe(TEXTS),
    ),
    RoundRecord: st.builds(
        RoundRecord,
        federation=TEXTS,
        round=POSITIVE,
        status=st.sampled_from(["open", "averaging", "closed", "aborted"]),
        settings=SETTINGS,
        base=MODELS,
        schema=TEXTS,
        cohort=st.lists(st.builds(CohortMember, thing=TEXTS, turnaround_s=maybe(TIMES)), max_size=3).map(tuple),
        target=POSITIVE,
        quorum=POSITIVE,
        deadline=TIMES,
        opened_at=TIMES,
        learning_rate=maybe(st.floats(1e-100, 1e6)),
        carried=st.lists(st.builds(Carried, thing=TEXTS, round=POSITIVE, age=POSITIVE), max_size=3).map(tuple),
        version=st.integers(0, 1000),
        extended=st.booleans(),
        accepted=st.integers(0, 1000),
        failed=st.integers(0, 1000),
        attempts=st.integers(0, 5),
        refused=st.integers(0, 1000),
        lease_owner=maybe(TEXTS),
        lease_until=maybe(TIMES),
        notified_at=maybe(TIMES),
        averaging_at=maybe(TIMES),
        averaged_at=maybe(TIMES),
        closed_at=maybe(TIMES),
        model=maybe(MODELS),
        metrics=maybe(METRICS),
        reason=maybe(TEXTS),
        carry=st.booleans(),
        next_at=maybe(TIMES),
        vanished=st.lists(TEXTS, max_size=3).map(tuple),
    ),
    ResponseRecord: st.builds(
        ResponseRecord,
        thing=TEXTS,
        state=st.sampled_from(["accepted", "failed", "declined", "refused"]),
        arrived_at=TIMES,
        inspected_at=TIMES,
        reason=maybe(TEXTS),
        version_id=maybe(TEXTS),
        bytes=maybe(POSITIVE),
        norm=maybe(st.floats(0, 1e100)),
        report=maybe(REPORTS),
    ),
}


def test_every_kind_of_record_is_tried() -> None:
    kinds = {kind for name, kind in vars(records).items() if name.endswith("Record") and isinstance(kind, type)}
    assert RECORDS.keys() == kinds


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_record_comes_back_from_its_item_as_it_was(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    record = data.draw(RECORDS[kind])
    item = to_item(record)
    assert from_item(item, kind) == record
    assert from_item(through_dynamodb(item), kind) == record


def through_dynamodb(item: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The item as DynamoDB gives it back: numbers in a canonical form, with 38 digits at most."""

    def canonical(number: str) -> str:
        value = Decimal(number).normalize()
        assert len(value.as_tuple().digits) <= 38
        return format(value, "f") if -7 < value.adjusted() < 38 else format(value, "E")

    return {
        name: {"N": canonical(attribute["N"])} if "N" in attribute else attribute for name, attribute in item.items()
    }


def test_what_conditions_and_keys_use_is_native() -> None:
    item = to_item(round_record("a", lease_until=12.5), response="r#1")
    assert item["federation"] == {"S": "f"}
    assert item["status"] == {"S": "open"}
    assert item["round"] == {"N": "1"}
    assert item["accepted"] == {"N": "0"}
    assert item["lease_until"] == {"N": "12.5"}
    assert item["response"] == {"S": "r#1"}
    assert item["base"]["S"].startswith("{")
    assert "lease_owner" not in item
    assert to_attribute(True) == {"BOOL": True}


def test_attributes_that_a_record_does_not_have_are_ignored() -> None:
    item = to_item(round_record("a")) | {"news": {"S": "[unreadable"}, "expires": {"N": "1"}}
    assert from_item(item, RoundRecord) == round_record("a")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("status", {"S": "paused"}),
        ("round", {"S": "first"}),
        ("base", {"S": "{"}),
        ("base", {"S": "{}"}),
        ("cohort", {"S": "{}"}),
        ("accepted", {"N": "1.5"}),
        ("metrics", {"S": '{"loss": null}'}),
    ],
)
def test_an_item_that_is_no_record_is_refused(attribute: str, value: dict[str, Any]) -> None:
    with pytest.raises(CorruptRecordError, match="RoundRecord"):
        from_item(to_item(round_record("a")) | {attribute: value}, RoundRecord)


def test_a_missing_attribute_is_named() -> None:
    item = to_item(round_record("a"))
    del item["base"]
    with pytest.raises(CorruptRecordError, match="`base`"):
        from_item(item, RoundRecord)


def test_all_that_is_recorded_of_the_largest_cohort_fits_into_items_whatever_its_names() -> None:
    number = -1.2345678901234567e-100
    things = [f"{index:0>128}" for index in range(MAX_COHORT)]
    busy = CohortMember(
        thing="",
        turnaround_s=1.23456e-05,  # neither has more digits
        missed=MAX_ROUND,
        inclusion=1.23456e-05,
        assigned_in=MAX_ROUND,
        assigned_at=1.2345678901234567e9,
    )
    cohort = tuple(msgspec.structs.replace(busy, thing=thing) for thing in things)
    notified = to_attribute(dict.fromkeys(things, number))
    settings = federation(name="f" * 40, averaging={"rule": "custom"}, task="t" * 4096)
    record = round_record(settings=settings, cohort=cohort, vanished=tuple(things))
    for item in (fixed_item(record), {"notified": notified}, to_item(msgspec.structs.replace(record, cohort=()))):
        assert size_of(item) <= ITEM_BYTES - 2048


def test_updates_are_carried_over_as_far_as_there_is_room_the_newest_first() -> None:
    carried = tuple(Carried(thing=f"{index:0>128}", round=1, age=1 + index % 2) for index in range(3000))
    record = round_record("a", carried=carried)
    assert size_of(fixed_item(record)) > ITEM_BYTES
    fitting = carrying_what_fits(record)
    assert ITEM_BYTES - 2500 < size_of(fixed_item(fitting)) <= ITEM_BYTES - 2000
    assert {one for one in carried if one.age == 1} < set(fitting.carried) < set(carried)
    assert [one.thing for one in fitting.carried] == sorted(one.thing for one in fitting.carried)
    few = round_record("a", carried=carried[:2])
    assert carrying_what_fits(few) == few
