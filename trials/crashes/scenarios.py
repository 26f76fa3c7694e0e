"""The rounds that crash_points disturbs, and what they have to leave behind, however it was disturbed."""

import hashlib
from typing import Any, Literal

import msgspec

from cloud.state.rounds import UnknownRoundError
from protocol import names
from sandbox.sandbox import Sandbox

ResponseKind = Literal["update", "late update", "malformed", "decline"]
"""What a client does with an assignment; a late update is put when the round has ended."""

MIN_CLIENTS = 4
_MESSAGES_OF_A_BATCH = 10


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients of a federation do until its round `last` has ended.

    `responses` are, for each client in the order of their names, those to its assignments; an assignment beyond them
    gets none. `accepted` is how many updates round `last` has to count, and `ends` how it has to end. With
    `together` all responses come in one batch, else each alone. `redelivery_s` is when a message that failed comes
    again, None for the queue's visibility timeout; with 0 it finds the lease of the dead still held, as a duplicate
    would. With `late_hello` the last client says hello only after the round was first asked for. The model has so many
    `rows` of eight numbers. `settings` are the federation's, beside those that are the same in all scenarios.
    """

    name: str
    responses: tuple[tuple[ResponseKind, ...], ...]
    accepted: int
    ends: Literal["closed", "aborted"] = "closed"
    last: int = 1
    together: bool = False
    redelivery_s: float | None = None
    late_hello: bool = False
    rows: int = 32
    settings: dict[str, Any]

    @property
    def things(self) -> tuple[str, ...]:
        """The clients' names."""
        return tuple(f"client-{number:03d}" for number in range(len(self.responses)))


def scenarios(clients: int) -> tuple[Scenario, ...]:
    """Federations whose rounds together take the ways through both functions' code. `clients` is 4 to 10, so that one
    batch holds the responses of all."""
    if not MIN_CLIENTS <= clients <= _MESSAGES_OF_A_BATCH:
        raise ValueError(f"{clients} clients: use {MIN_CLIENTS} to {_MESSAGES_OF_A_BATCH}")
    update: tuple[ResponseKind, ...] = ("update",)
    both: tuple[ResponseKind, ...] = ("update", "update")
    late: tuple[ResponseKind, ...] = ("late update",)
    everyone = (update,) * clients
    return (
        Scenario(name="one by one", responses=everyone, accepted=clients, settings={"quorum": 1}),
        Scenario(
            name="together",
            responses=everyone,
            accepted=clients,
            together=True,
            redelivery_s=0.0,
            late_hello=True,
            settings={"quorum": 1},
        ),
        Scenario(
            name="in shards",
            responses=everyone,
            accepted=clients,
            together=True,
            rows=192,
            settings={"quorum": 1, "averaging": {"shards": 3, "variance_reduction": True}, "download": "bfloat16"},
        ),
        Scenario(
            name="deadline",
            responses=(*everyone[3:], ("decline",), ("malformed",), ()),
            accepted=clients - 3,
            settings={"quorum": clients - 3, "rounds": 1},
        ),
        Scenario(
            name="evaluated",
            responses=(*(both,) * (clients - 2), ("update", "decline"), ("update", "malformed")),
            accepted=clients - 2,
            last=2,
            settings={"quorum": 1, "evaluation": {"every_rounds": 2}},
        ),
        Scenario(
            name="buffered",
            responses=(*(both,) * (clients - 3), update, late, ()),
            accepted=clients - 2,
            last=2,
            settings={
                "target": clients - 2,
                "quorum": 1,
                "max_staleness": 1,
                "download": "bfloat16",
                "pacing": {"policy": "fixed_rate", "interval_s": 60.0},
            },
        ),
        Scenario(
            name="carried over",
            responses=(update, *(both,) * (clients - 4), ("decline", "update"), ("malformed", "update"), late),
            accepted=clients - 1,
            last=2,
            settings={
                "target": clients - 1,
                "quorum": clients - 2,
                "max_staleness": 1,
                "averaging": {"variance_reduction": True},
            },
        ),
        Scenario(
            name="aborted",
            responses=(update, ("decline",), *((),) * (clients - 2)),
            accepted=1,
            ends="aborted",
            redelivery_s=0.0,
            settings={"quorum": clients, "averaging": {"carry_over": True}},
        ),
    )


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What the rounds of a scenario have left behind, but for times and the federation's name: the same whatever was
    killed."""

    federation: tuple[str, int, bool]
    status: str
    reason: str | None
    model_sha256: str
    model_is_current: bool
    accepted: int
    failed: int
    refused: int
    responses: tuple[tuple[int, str, str, int | None], ...]
    histories: tuple[tuple[str, bool, int], ...]
    metrics: dict[str, float] | None
    vanished: tuple[str, ...]
    lease: tuple[str | None, float | None]
    next_round: Any
    shadows: tuple[tuple[str, Any, Any], ...]
    multipart_uploads: int
    dead_letters: int


def end_of(sandbox: Sandbox, federation: str, last: int, versions: dict[str, int], dead_letters: int) -> End:
    """What the rounds of a federation up to the `last` have left behind. `versions` are those of the updates in S3,
    each with the round of its assignment."""
    operations, client = sandbox.operations, sandbox.aws.client
    pointer, record = operations.federations.get(federation), operations.rounds.get(federation, last)
    responses = {number: operations.rounds.responses(federation, number) for number in range(1, last + 1)}
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
            (number, response.thing, response.state, versions.get(response.version_id or ""))
            for number, those in responses.items()
            for response in (*those.accepted, *those.failed, *those.refused)
        ),
        histories=tuple(
            (known.thing, known.turnaround_s is not None, known.missed) for known in operations.clients.of(federation)
        ),
        metrics=record.metrics,
        vanished=record.vanished,
        lease=(record.lease_owner, record.lease_until),
        next_round=_next_round(sandbox, federation, last + 1),
        shadows=tuple(_shadow(sandbox, federation, member.thing) for member in record.cohort),
        multipart_uploads=len(uploads),
        dead_letters=dead_letters,
    )


def problems(end: End, scenario: Scenario, undisturbed: End) -> list[str]:
    """What is wrong with an end: by itself, and against that of the undisturbed run."""
    on_record = sum(number == scenario.last and state == "accepted" for number, _, state, _ in end.responses)
    next_status = None if end.next_round is None else end.next_round["status"]
    is_over = scenario.settings.get("rounds") == scenario.last
    wanted: dict[str, tuple[Any, Any]] = {
        "the round is": (scenario.ends, end.status),
        "updates counted": (scenario.accepted, end.accepted),
        "updates on record": (scenario.accepted, on_record),
        "its model is the current one": (True, end.model_is_current),
        "the lease is": ((None, None), end.lease),
        "the next round is": (None if is_over else "open", next_status),
        "multipart uploads": (0, end.multipart_uploads),
        "dead letters": (0, end.dead_letters),
    }
    found = [f"{what}: {is_!r} instead of {should!r}" for what, (should, is_) in wanted.items() if is_ != should]
    for name in end.__struct_fields__:
        is_, was = getattr(end, name), getattr(undisturbed, name)
        if is_ != was:
            found.append(f"{name}: {is_!r}; undisturbed {was!r}")
    return found


def _next_round(sandbox: Sandbox, federation: str, number: int) -> dict[str, Any] | None:
    try:
        record = sandbox.operations.rounds.get(federation, number)
    except UnknownRoundError:
        return None
    return {
        "status": record.status,
        "cohort": [(member.thing, member.missed, member.assigned_in) for member in record.cohort],
        "carried": record.carried,
        "base": names.parse_model_key(record.base.key).round,
        "told": record.notified_at is not None,
    }


def _shadow(sandbox: Sandbox, federation: str, thing: str) -> tuple[str, Any, Any]:
    """The rounds of a client's assignment and of the withdrawal, as its shadow has them."""
    answer = sandbox.aws.client("iot-data").get_thing_shadow(thingName=thing, shadowName=names.shadow_name(federation))
    desired = msgspec.json.decode(answer["payload"].read())["state"]["desired"]
    return thing, desired["assignment"]["round"], desired.get("withdrawn")
