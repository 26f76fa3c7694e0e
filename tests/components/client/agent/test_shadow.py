import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.client import reasons
from components.client.agent import shadow
from protocol import names
from protocol.messages import (
    MAX_MESSAGE_BYTES,
    Assignment,
    Average,
    Evaluate,
    InvalidMessageError,
    ModelReference,
    Progress,
    Reported,
    Training,
)
from sandbox.shadows import Shadow

LONGEST_FEDERATION = "f" * 40
LARGEST = 2**53

LIFE = "0a1b2c3d"

LARGEST_ASSIGNMENT = Assignment(
    round=names.MAX_ROUND,
    life=LIFE,
    model=ModelReference(
        key=names.bfloat16_key(LONGEST_FEDERATION, names.MAX_ROUND, LIFE), sha256="a" * 64, bytes=LARGEST
    ),
    training=Training(
        batch_size=LARGEST,
        learning_rate=1.2345678901234567e-300,
        momentum=0.12345678901234567,
        proximal=1.2345678901234567e-300,
        epochs=LARGEST,
        steps=LARGEST,
        seed=2**63 - 1,
    ),
    deadline=1234567890.1234567,
)
LARGEST_TO_EVALUATE = msgspec.structs.replace(
    LARGEST_ASSIGNMENT,
    v=3,
    training=Training(batch_size=LARGEST, learning_rate=1.2345678901234567e-300, seed=2**63 - 1),
    evaluate=Evaluate(average=Average(sha256="b" * 64, bytes=LARGEST)),
)
LARGEST_PROGRESS = Progress(
    round=names.MAX_ROUND,
    life=LIFE,
    phase="uploading",
    reason=reasons.shorten('"\\' * 500),
    epoch=LARGEST,
    epochs=LARGEST,
    step=LARGEST,
    at=1234567890.123,
)


@pytest.mark.parametrize("assignment", [LARGEST_ASSIGNMENT, LARGEST_TO_EVALUATE])
def test_the_largest_document_and_update_fit_into_a_message(assignment: Assignment) -> None:
    raw = msgspec.to_builtins(assignment)
    service = Shadow()
    service.update({"desired": {"assignment": raw, "withdrawn": names.MAX_ROUND, "withdrawn_life": LIFE}})
    largest = Reported(assignment=raw, withdrawn=names.MAX_ROUND, withdrawn_life=LIFE, progress=LARGEST_PROGRESS)
    payload = shadow.update(largest, Reported())
    assert payload is not None
    assert len(payload) < MAX_MESSAGE_BYTES
    # Between a new assignment and its mirror, both halves and the difference are in the document.
    service.update(msgspec.json.decode(payload)["state"])
    later = {**raw, "round": 1, "life": LIFE[::-1], "deadline": 1.5}
    service.update({"desired": {"assignment": later, "withdrawn": 1, "withdrawn_life": LIFE[::-1]}})
    assert len(service.document()) < MAX_MESSAGE_BYTES


def test_a_document_is_understood() -> None:
    service = Shadow()
    raw = msgspec.to_builtins(LARGEST_ASSIGNMENT)
    service.update({"desired": {"assignment": raw, "withdrawn": 3, "welcome": "aws-iot"}})
    service.update({"reported": {"progress": {"round": 3, "phase": "done", "at": 5.0}}})
    parsed = shadow.parse(service.document())
    assert parsed.assignment is not None
    assert shadow.read_assignment(parsed.assignment) == LARGEST_ASSIGNMENT
    assert (parsed.withdrawn, parsed.version) == (3, 2)
    assert parsed.reported == Reported(progress=Progress(round=3, phase="done", at=5.0))
    assert parsed.timestamp is not None


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"state":{"desired":{"assignment":7}}}', b"\xff"])
def test_what_is_no_document_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidMessageError):
        shadow.parse(payload)


def test_progress_that_another_version_reported_is_as_good_as_none() -> None:
    payload = b'{"state":{"reported":{"progress":{"round":1,"phase":"dreaming"}}}}'
    assert shadow.parse(payload).reported.progress is None


def test_nothing_is_published_when_all_is_known() -> None:
    reported = Reported(assignment={"round": 1}, withdrawn=1, progress=Progress(round=1, phase="done"))
    assert shadow.update(reported, reported) is None


def test_fields_that_vanish_are_removed_from_the_shadow() -> None:
    before = Reported(
        assignment={"round": 1, "training": {"epochs": 3, "seed": 1}, "old": {"a": 1}},
        progress=Progress(round=1, phase="training", epoch=2, epochs=3),
    )
    after = Reported(
        assignment={"round": 2, "training": {"steps": 5, "seed": 1}},
        progress=Progress(round=2, phase="accepted"),
    )
    service = Shadow()
    service.update(msgspec.json.decode(shadow.update(before, Reported()) or b"")["state"])
    service.update(msgspec.json.decode(shadow.update(after, before) or b"")["state"])
    assert shadow.parse(service.document()).reported == after
    assert service.reported["assignment"] == after.assignment


def test_progress_replaces_fields_that_an_unseen_update_has_set() -> None:
    service = Shadow()
    for progress in (Progress(round=1, phase="training", epoch=2), Progress(round=1, phase="done")):
        payload = shadow.update(Reported(progress=progress), Reported())
        service.update(msgspec.json.decode(payload or b"")["state"])
    assert service.reported["progress"] == {"round": 1, "phase": "done"}


JSON = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


@given(old=OBJECTS, new=OBJECTS)
def test_any_assignment_is_mirrored_exactly(old: dict[str, object], new: dict[str, object]) -> None:
    service = Shadow()
    service.update({"reported": {"assignment": old}})
    if payload := shadow.update(Reported(assignment=new), Reported(assignment=old)):
        service.update(msgspec.json.decode(payload)["state"])
    assert without_empty(service.reported["assignment"]) == without_empty(new)


def without_empty(value: object) -> object:
    """A shadow does not tell an empty object from none."""
    if not isinstance(value, dict):
        return value
    stripped = {key: without_empty(inner) for key, inner in value.items()}
    return {key: inner for key, inner in stripped.items() if inner != {}}


def test_a_rejection_is_understood_whatever_it_is() -> None:
    assert shadow.parse_rejection(b'{"code":404,"message":"No shadow exists"}').code == 404
    assert shadow.parse_rejection(b"what").message == "what"


def test_a_withdrawal_is_of_its_own_life_only() -> None:
    def said(**desired: object) -> shadow.Shadow:
        service = Shadow()
        service.update({"desired": {"withdrawn": 3, **desired}})
        return shadow.parse(service.document())

    assert said(withdrawn_life=LIFE).is_withdrawn(LIFE, 3)
    assert not said(withdrawn_life=LIFE).is_withdrawn(LIFE, 4)
    assert not said(withdrawn_life=LIFE).is_withdrawn(LIFE[::-1], 1)
    assert not said(withdrawn_life=LIFE).is_withdrawn("", 1)
    assert said().is_withdrawn("", 3)  # of a cloud that is older than lives
    assert said(withdrawn_life="").is_withdrawn("", 3)
    assert not said().is_withdrawn(LIFE, 1)


def test_the_life_and_the_round_of_a_refused_assignment_are_read_if_they_can_be() -> None:
    assert shadow.read_life({"v": 2, "life": LIFE}) == LIFE
    for raw in ({}, {"life": 7}, {"life": None}, {"life": "another"}):
        assert shadow.read_life(raw) == ""
    assert shadow.read_round({"v": 2, "round": 7}) == 7
    assert shadow.read_round({"round": "7"}) is None
    assert shadow.read_round({}) is None


def test_an_assignment_to_train_is_none_to_evaluate_whatever_an_earlier_round_has_left_in_the_shadow() -> None:
    raw = msgspec.to_builtins(LARGEST_TO_EVALUATE)
    assert shadow.read_assignment(raw) == LARGEST_TO_EVALUATE
    service = Shadow()
    service.update({"desired": {"assignment": raw}})
    training = msgspec.to_builtins(LARGEST_ASSIGNMENT)
    service.update({"desired": {"assignment": training}})
    merged = shadow.parse(service.document()).assignment
    assert merged is not None
    assert "evaluate" not in merged
    assert shadow.read_assignment(merged).evaluate is None
    assert shadow.read_assignment(raw | {"v": 1}).evaluate is None  # from a cloud that knows of no evaluations
