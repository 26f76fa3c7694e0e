"""Records that another version of fedgrass has written: a newer one's are read without what it has added, an older
one's with defaults."""

import copy
import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from cli.settings.parsing import parse
from cloud.settings import Cosine, FedAdam, InvalidSettingsError, Schedule, ServerOptimizer
from cloud.state.records import (
    BestModel,
    Carried,
    ClientRecord,
    CohortMember,
    CorruptRecordError,
    FederationRecord,
    FleetCount,
    Item,
    ModelEvaluation,
    ResponseRecord,
    Work,
    from_item,
    to_item,
)
from cloud.state.settings_history import Difference, SettingsChange
from cloud.state.spread import spread_of
from protocol.messages import ModelReference
from tests.cloud.examples import BASE, TRAINING, federation, report, round_record

CHANGES: dict[str, Any] = {
    "averaging": {"optimizer": {"name": "fedadam"}},
    "training": TRAINING | {"schedule": {"name": "cosine"}},
}
SETTINGS = federation(**CHANGES)
MODEL = ModelReference(key="federations/f/models/00000001.safetensors", sha256="c" * 64, bytes=10, copy=BASE)
BEST = BestModel(metric="accuracy", value=0.5, round=2, model=MODEL)
EVALUATION = ModelEvaluation(
    round=2, model=MODEL.key, metrics={"loss_before": 1.0}, spreads={"loss_before": spread_of([1.0, 2.0], "loss")}
)
RECORDS: dict[str, Any] = {
    "FederationRecord": FederationRecord(
        federation="f",
        settings=SETTINGS,
        status="running",
        round=3,
        model=MODEL,
        schema="s",
        revision=1,
        changes=(SettingsChange(at=1.0, first_round=2, differences=(Difference("rounds", 3, 4),)),),
        fleet=FleetCount(clients=5_000, counted_at=1.0, placed=True),
        best=BEST,
        evaluation=EVALUATION,
    ),
    "ClientRecord": ClientRecord(federation="f", thing="a", turnaround_s=2.5),
    "RoundRecord": round_record(
        settings=SETTINGS,
        base=MODEL,
        cohort=(CohortMember(thing="a"), CohortMember(thing="b", assigned_in=1, assigned_at=2.0)),
        carried=(Carried(thing="c", round=1, age=1),),
        work=Work(stages=("parts",), shards=2, uploads={"k": "u"}),
        model=MODEL,
        metrics={"loss_before": 1.0},
        spreads=EVALUATION.spreads,
        best=BEST,
        evaluation=EVALUATION,
    ),
    "ResponseRecord": ResponseRecord(thing="a", state="accepted", arrived_at=1.0, inspected_at=2.0, report=report()),
}
IN_SETTINGS = (
    "settings",
    "settings.training",
    "settings.training.schedule",
    "settings.selection",
    "settings.averaging",
    "settings.averaging.optimizer",
    "settings.pacing",
    "settings.stop",
    "settings.evaluation",
)
PLACES = {
    "FederationRecord": (
        "",
        *IN_SETTINGS,
        "model",
        "model.copy",
        "changes.0",
        "changes.0.differences.0",
        "fleet",
        "best",
        "evaluation",
        "evaluation.spreads.loss_before",
    ),
    "ClientRecord": ("",),
    "RoundRecord": (
        "",
        *IN_SETTINGS,
        "base",
        "base.copy",
        "cohort.0",
        "cohort.1",
        "carried.0",
        "work",
        "model.copy",
        "spreads.loss_before",
        "best",
        "evaluation",
    ),
    "ResponseRecord": ("", "report", "report.timings"),
}
"""Where a record has fields, in its JSON."""


def added(item: Item, place: str) -> Item:
    """The item of a newer version that has a field more at this place."""
    news = {"news": [{"deep": None}]}
    if not place:
        return item | {"news": {"S": json.dumps(news)}}
    attribute, *path = place.split(".")
    value = within = json.loads(item[attribute]["S"])
    for step in path:
        within = within[int(step) if step.isdigit() else step]
    within |= news
    return item | {attribute: {"S": json.dumps(value)}}


def structs_of(kind: inspect.Type, seen: set[type]) -> Iterator[type]:
    """All structs that a record is made of."""
    match kind:
        case inspect.StructType(cls=cls, fields=fields) if cls not in seen:
            seen.add(cls)
            yield cls
            for field in fields:
                yield from structs_of(field.type, seen)
        case inspect.UnionType(types=types):
            for member in types:
                yield from structs_of(member, seen)
        case inspect.CollectionType(item_type=item) | inspect.DictType(value_type=item):
            yield from structs_of(item, seen)


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind in PLACES for place in PLACES[kind]])
def test_a_field_that_this_version_does_not_know_is_ignored_at_any_depth(kind: str, place: str) -> None:
    record = RECORDS[kind]
    item = added(to_item(record), place)
    assert item != to_item(record)
    assert from_item(item, type(record)) == record


def test_every_place_where_a_record_has_fields_is_tried() -> None:
    for kind, record in RECORDS.items():
        tried = set()
        for place in PLACES[kind]:
            value = record
            for step in filter(None, place.split(".")):
                if step.isdigit():
                    value = value[int(step)]
                else:
                    value = value[step] if isinstance(value, dict) else getattr(value, step)
            tried.add(type(value))
        known = set(structs_of(inspect.type_info(type(record)), set()))
        if FedAdam in tried:  # it stands for all optimizers
            tried |= set(get_args(ServerOptimizer))
        if Cosine in tried:  # it stands for all schedules
            tried |= set(get_args(Schedule))
        assert tried == known


@pytest.mark.parametrize("place", [place.removeprefix("settings").strip(".") for place in IN_SETTINGS])
def test_what_a_user_writes_is_still_read_strictly(place: str) -> None:
    raw: dict[str, Any] = {
        "name": "f",
        "training": TRAINING | {"schedule": {"name": "cosine"}},
        "selection": {},
        "averaging": {"optimizer": {"name": "fedadam"}},
        "pacing": {},
        "stop": {},
        "evaluation": {},
    }
    parse(copy.deepcopy(raw))
    within = raw
    for step in filter(None, place.split(".")):
        within = within[step]
    within["news"] = 1
    with pytest.raises(InvalidSettingsError, match="news"):
        parse(raw)


@pytest.mark.parametrize(
    ("kind", "attribute", "value"),
    [
        ("FederationRecord", "status", "resting"),
        ("FederationRecord", "settings", {"selection": {"policy": "by_weather"}}),
        ("FederationRecord", "settings", {"averaging": {"rule": "geometric_median"}}),
        ("FederationRecord", "settings", {"averaging": {"optimizer": {"name": "fedlion"}}}),
        ("FederationRecord", "settings", {"training": TRAINING | {"schedule": {"name": "one_cycle"}}}),
        ("FederationRecord", "settings", {"encoding": "int4"}),
        ("FederationRecord", "settings", {"pacing": {"policy": "by_weather"}}),
        ("RoundRecord", "status", "resting"),
        ("RoundRecord", "work", {"stages": ["sorting"], "shards": 1}),
        ("ResponseRecord", "state", "doubted"),
        ("ResponseRecord", "report", {"encoding": "int4"}),
        ("ClientRecord", "missed", "often"),
    ],
)
def test_a_value_that_this_version_does_not_know_makes_a_record_unreadable_which_is_named(
    kind: str, attribute: str, value: Any
) -> None:
    record = RECORDS[kind]
    item = to_item(record)
    if isinstance(value, dict):
        value = json.dumps(json.loads(item[attribute]["S"]) | value)
    with pytest.raises(CorruptRecordError, match=f"{kind} in DynamoDB can't be read") as caught:
        from_item(item | {attribute: {"S": value}}, type(record))
    key = "federation" if hasattr(record, "federation") else "thing"
    assert f"{key} '{getattr(record, key)}'" in str(caught.value)
    assert len(str(caught.value)) < 500


FORMERLY: dict[str, Any] = {
    "selection": {"policy": "own"},
    "completion": "own",
    "averaging": {"rule": "own"},
    "pacing": {"policy": "own"},
}
NOW: dict[str, Any] = {
    "selection": {"policy": "custom"},
    "completion": "custom",
    "averaging": {"rule": "custom"},
    "pacing": {"policy": "custom"},
}


@pytest.mark.parametrize("place", FORMERLY)
@pytest.mark.parametrize("kind", ["FederationRecord", "RoundRecord"])
def test_a_choice_that_was_stored_under_its_former_name_is_read_as_what_it_is_now(kind: str, place: str) -> None:
    record = RECORDS[kind]
    item = to_item(record)
    stored = json.loads(item["settings"]["S"]) | {place: FORMERLY[place]}
    read = from_item(item | {"settings": {"S": json.dumps(stored)}}, type(record))
    assert read.settings == federation(**CHANGES | {place: NOW[place]})
    assert from_item(to_item(read), type(record)) == read


def test_a_federation_that_an_earlier_version_has_stored_asks_for_the_same_functions() -> None:
    item = to_item(RECORDS["FederationRecord"])
    stored = json.loads(item["settings"]["S"]) | FORMERLY
    read = from_item(item | {"settings": {"S": json.dumps(stored)}}, FederationRecord)
    assert read.settings.custom_functions == ["choose_clients", "is_complete", "average", "next_round_delay"]


def test_only_choices_have_former_names() -> None:
    """A federation, a thing or a task may be called so."""
    item = to_item(FederationRecord(**msgspec.structs.asdict(RECORDS["FederationRecord"]) | {"federation": "own"}))
    stored = json.loads(item["settings"]["S"]) | {"name": "own", "task": "own"}
    read = from_item(item | {"settings": {"S": json.dumps(stored)}}, FederationRecord)
    assert (read.federation, read.settings.name, read.settings.task) == ("own", "own", "own")


FIRST_VERSION = {
    "FederationRecord": {
        "federation": {"S": "f"},
        "settings": {"S": '{"name": "f", "training": {"batch_size": 8, "learning_rate": 0.1, "epochs": 1}}'},
        "status": {"S": "running"},
        "round": {"N": "3"},
        "model": {"S": json.dumps({"key": "k", "sha256": "b" * 64, "bytes": 1000})},
        "schema": {"S": "s"},
    },
    "ClientRecord": {"federation": {"S": "f"}, "thing": {"S": "a"}},
    "RoundRecord": {
        "federation": {"S": "f"},
        "round": {"N": "1"},
        "status": {"S": "open"},
        "settings": {"S": '{"name": "f", "training": {"batch_size": 8, "learning_rate": 0.1, "epochs": 1}}'},
        "base": {"S": json.dumps({"key": "k", "sha256": "b" * 64, "bytes": 1000})},
        "schema": {"S": "s"},
        "cohort": {"S": '[{"thing": "a"}]'},
        "target": {"N": "2"},
        "quorum": {"N": "1"},
        "deadline": {"N": "2000.0"},
        "opened_at": {"N": "1000.0"},
        "work": {"S": '{"stages": ["parts"], "shards": 2}'},
        "carried": {"S": '[{"thing": "c", "round": 1, "age": 1}]'},
    },
    "ResponseRecord": {
        "thing": {"S": "a"},
        "state": {"S": "accepted"},
        "arrived_at": {"N": "1.5"},
        "inspected_at": {"N": "2.5"},
        "report": {
            "S": json.dumps(
                {
                    "v": 1,
                    "federation": "f",
                    "round": 1,
                    "thing": "a",
                    "base": "b" * 64,
                    "encoding": "float32",
                    "examples": 10,
                    "steps": 2,
                    "timings": {
                        "accepted_at": 1.0,
                        "downloaded_at": 2.0,
                        "trained_at": 3.0,
                        "uploading_at": 4.0,
                        "train_s": 1.0,
                    },
                }
            )
        },
    },
}
"""The least that each record has ever been stored with: whatever is added to records has a default."""


@pytest.mark.parametrize("kind", FIRST_VERSION)
def test_a_record_of_the_first_version_is_read(kind: str) -> None:
    record = from_item(FIRST_VERSION[kind], type(RECORDS[kind]))
    assert from_item(to_item(record), type(record)) == record
    assert getattr(record, "life", "") == ""


def test_a_value_of_another_form_is_no_unknown_field() -> None:
    item = to_item(RECORDS["FederationRecord"])
    for attribute, value in (
        ("settings", "[]"),
        ("settings", "7"),
        ("model", '{"copy": []}'),
        ("settings", "[" * 10_000),
    ):
        with pytest.raises(CorruptRecordError):
            from_item(item | {attribute: {"S": value}}, FederationRecord)
