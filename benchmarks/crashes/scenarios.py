"""The rounds that crash_points disturbs, and what each has to leave behind, however it was disturbed."""

import hashlib
from typing import Any, Literal

import msgspec

from cloud.state.rounds import UnknownRoundError
from protocol import names
from sandbox.sandbox import Sandbox

Answer = Literal["update", "malformed", "decline", "silence"]

MIN_CLIENTS = 4
_MESSAGES_OF_A_BATCH = 10


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients of a round do, in the order of their names.

    With `together` all responses come in one batch, else each alone. `redelivery_s` is when a message that failed comes
    again, None for the queue's visibility timeout; with 0 it finds the lease of the dead still held, as a duplicate
    would. With `late_hello` the last client says hello only after the round was first asked for. `ends` is how the
    round has to end. The model has so many `rows` of eight numbers, and is averaged in so many `shards`.
    """

    name: str
    answers: tuple[Answer, ...]
    ends: Literal["closed", "aborted"] = "closed"
    quorum: int = 1
    rounds: int = 3
    together: bool = False
    redelivery_s: float | None = None
    late_hello: bool = False
    carry_over: bool = False
    rows: int = 32
    shards: int = 1

    @property
    def things(self) -> tuple[str, ...]:
        """The clients' names."""
        return tuple(f"client-{number:03d}" for number in range(len(self.answers)))


def scenarios(clients: int) -> tuple[Scenario, ...]:
    """Rounds that together take the ways through both functions' code. `clients` is 4 to 10, so that one batch holds
    the responses of all."""
    if not MIN_CLIENTS <= clients <= _MESSAGES_OF_A_BATCH:
        raise ValueError(f"{clients} clients: use {MIN_CLIENTS} to {_MESSAGES_OF_A_BATCH}")
    everyone: list[Answer] = ["update"] * clients
    some: list[Answer] = [*everyone[3:], "decline", "malformed", "silence"]
    silent: list[Answer] = ["silence"] * (clients - 2)
    return (
        Scenario(name="one by one", answers=tuple(everyone)),
        Scenario(name="together", answers=tuple(everyone), together=True, redelivery_s=0.0, late_hello=True),
        Scenario(name="in shards", answers=tuple(everyone), together=True, rows=96, shards=3),
        Scenario(name="deadline", answers=tuple(some), quorum=clients - 3, rounds=1),
        Scenario(
            name="aborted",
            answers=("update", "decline", *silent),
            ends="aborted",
            quorum=clients,
            redelivery_s=0.0,
            carry_over=True,
        ),
    )


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What a round has left behind, but for times and the federation's name: the same whatever was killed."""

    federation: tuple[str, int, bool]
    status: str
    reason: str | None
    model_sha256: str
    model_is_current: bool
    accepted: int
    failed: int
    refused: int
    responses: tuple[tuple[str, str, bool], ...]
    histories: tuple[tuple[str, bool, int], ...]
    metrics: dict[str, float] | None
    vanished: tuple[str, ...]
    lease: tuple[str | None, float | None]
    next_round: Any
    shadows: tuple[tuple[str, Any, Any], ...]
    multipart_uploads: int
    dead_letters: int


def look(sandbox: Sandbox, federation: str, versions: dict[str, str], dead_letters: int) -> End:
    """What the first round of a federation has left behind. `versions` are those of the clients' updates in S3."""
    operations, client = sandbox.operations, sandbox.aws.client
    pointer, record = operations.federations.get(federation), operations.rounds.get(federation, 1)
    answers = operations.rounds.answers(federation, 1)
    uploads = client("s3").list_multipart_uploads(Bucket=sandbox.deployment.bucket).get("Uploads", [])
    model = operations.models.get(pointer.model)
    return End(
        federation=(pointer.status, pointer.round, pointer.waiting),
        status=record.status,
        reason=record.reason,
        # A model names its federation, and nothing else in it may differ.
        model_sha256=hashlib.sha256(model.replace(federation.encode(), b"")).hexdigest(),
        model_is_current=record.model == (pointer.model if record.status == "closed" else None),
        accepted=record.accepted,
        failed=record.failed,
        refused=record.refused,
        responses=tuple(
            (response.thing, response.state, response.version_id == versions.get(response.thing))
            for response in (*answers.accepted, *answers.failed, *answers.refused)
        ),
        histories=tuple(
            (known.thing, known.turnaround_s is not None, known.missed) for known in operations.clients.of(federation)
        ),
        metrics=record.metrics,
        vanished=record.vanished,
        lease=(record.lease_owner, record.lease_until),
        next_round=_next_round(sandbox, federation),
        shadows=tuple(_shadow(sandbox, federation, member.thing) for member in record.cohort),
        multipart_uploads=len(uploads),
        dead_letters=dead_letters,
    )


def problems(end: End, scenario: Scenario, undisturbed: End) -> list[str]:
    """What is wrong with an end: by itself, and against that of the undisturbed run."""
    accepted = scenario.answers.count("update")
    next_status = None if end.next_round is None else end.next_round["status"]
    wanted: dict[str, tuple[Any, Any]] = {
        "the round is": (scenario.ends, end.status),
        "updates counted": (accepted, end.accepted),
        "updates on record": (accepted, sum(state == "accepted" for _, state, _ in end.responses)),
        "its model is the current one": (True, end.model_is_current),
        "the lease is": ((None, None), end.lease),
        "the next round is": ("open" if scenario.rounds > 1 else None, next_status),
        "multipart uploads": (0, end.multipart_uploads),
        "dead letters": (0, end.dead_letters),
    }
    found = [f"{what}: {is_!r} instead of {should!r}" for what, (should, is_) in wanted.items() if is_ != should]
    for name in end.__struct_fields__:
        is_, was = getattr(end, name), getattr(undisturbed, name)
        if is_ != was:
            found.append(f"{name}: {is_!r}; undisturbed {was!r}")
    return found


def _next_round(sandbox: Sandbox, federation: str) -> dict[str, Any] | None:
    try:
        record = sandbox.operations.rounds.get(federation, 2)
    except UnknownRoundError:
        return None
    return {
        "status": record.status,
        "cohort": [(member.thing, member.missed) for member in record.cohort],
        "carried": record.carried,
        "base": record.base.key.replace(federation, ""),
        "told": record.notified_at is not None,
    }


def _shadow(sandbox: Sandbox, federation: str, thing: str) -> tuple[str, Any, Any]:
    """The rounds of a client's assignment and of the withdrawal, as its shadow has them."""
    answer = sandbox.aws.client("iot-data").get_thing_shadow(thingName=thing, shadowName=names.shadow_name(federation))
    desired = msgspec.json.decode(answer["payload"].read())["state"]["desired"]
    return thing, desired["assignment"]["round"], desired.get("withdrawn")
