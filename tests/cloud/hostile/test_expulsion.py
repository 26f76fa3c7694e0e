"""An operator expels a member that has a certificate, a connection and credentials: nothing of it counts any more, and
the others' round goes on."""

import json
import queue
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt5
from awsiot import mqtt5_client_builder
from botocore.exceptions import ClientError

from cloud.state.rounds import NotClaimedError
from operations.deployment import Deployment
from operations.expulsion import Expulsion, UnknownThingError
from operations.role_denials import Denials, RoleDenials, denying
from operations.steps import Step
from protocol import names
from protocol.messages import encode
from sandbox import provisioning
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.credentials import ROLE_NAME
from sandbox.nucleus.mqtt import Identity
from sandbox.simulated_clients import HELLO
from tests.cloud.hostile.conftest import HONEST, Member, Members
from tests.cloud.simulated import SimulatedFederation

LIMIT_S = 60.0


class Intruder(Member):
    """A member with a certificate of its own."""

    def __init__(self, aws: EmbeddedAws, deployed: Deployment, thing: str, group: str, directory: Path) -> None:
        super().__init__(aws, deployed, thing)
        self._aws = aws
        self._deployed = deployed
        policy = deployed.device_iot_policy_name
        (self.identity,) = provisioning.register(aws.client("iot"), [thing], group, policy, directory)

    def expel(self, *federations: str, **options: Any) -> dict[str, list[Step]]:
        """What came of it, by outcome."""
        return by_outcome(Expulsion(self._aws.client, self._deployed, self.thing, federations, **options).expel())

    def readmit(self, *federations: str) -> dict[str, list[Step]]:
        """What came of it, by outcome."""
        return by_outcome(Expulsion(self._aws.client, self._deployed, self.thing, federations).readmit())

    @property
    def certificate(self) -> dict[str, Any]:
        """What AWS IoT says of its certificate."""
        iot = self._aws.client("iot")
        (principal,) = iot.list_thing_principals(thingName=self.thing)["principals"]
        found = iot.describe_certificate(certificateId=principal.rpartition("/")[2])
        return dict(found["certificateDescription"])


def by_outcome(steps: Iterator[Step]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.outcome, []).append(step)
    return found


@pytest.fixture
def group(simulated: SimulatedFederation) -> str:
    return f"fleet-{simulated.name}"


@pytest.fixture
def intruder(
    aws: EmbeddedAws, deployed: Deployment, members: Members, group: str, tmp_path: Path
) -> Iterator[Intruder]:
    """A member whose name no other test has."""
    found = Intruder(aws, deployed, f"intruder-{members.simulated.name}"[:60], group, tmp_path)
    yield found
    found.readmit()


@contextmanager
def connection(aws: EmbeddedAws, identity: Identity) -> Iterator[tuple[mqtt5.Client, "queue.Queue[bool]"]]:
    """An MQTT client, and whether each of its attempts to connect has succeeded."""
    attempts: queue.Queue[bool] = queue.Queue()
    stopped: queue.Queue[None] = queue.Queue()
    client = mqtt5_client_builder.mtls_from_path(
        cert_filepath=str(identity.certificate_path),
        pri_key_filepath=str(identity.key_path),
        ca_filepath=str(aws.ca_path),
        endpoint="127.0.0.1",
        port=aws.mqtt_port,
        client_id=identity.thing,
        on_lifecycle_connection_success=lambda _: attempts.put(True),
        on_lifecycle_connection_failure=lambda _: attempts.put(False),
        on_lifecycle_stopped=lambda _: stopped.put(None),
    )
    client.start()
    yield client, attempts
    client.stop()
    stopped.get(timeout=LIMIT_S)


def say_hello(client: mqtt5.Client, federation: str, thing: str) -> None:
    topic = names.hello_topic(federation, thing)
    client.publish(mqtt5.PublishPacket(topic=topic, payload=encode(HELLO), qos=mqtt5.QoS.AT_LEAST_ONCE)).result(LIMIT_S)


def begin(members: Members, intruder: Intruder, **settings: Any) -> None:
    members.simulated.create([*HONEST, intruder.thing], **{"rounds": 1, "target": 3} | settings)
    members.simulated.start()
    members.simulated.opened(1)


def test_an_expelled_member_uploads_reads_and_connects_no_more_and_nothing_of_it_counts(
    aws: EmbeddedAws, members: Members, intruder: Intruder, calm: dict[str, bytes]
) -> None:
    simulated, thing = members.simulated, intruder.thing
    begin(members, intruder)
    key, model = intruder.update_key(members), simulated.current()[0].key
    with connection(aws, intruder.identity) as (client, attempts):
        assert attempts.get(timeout=LIMIT_S)
        intruder.put(key, simulated.update(thing, 1, value=100.0))
        simulated.accepted_count(1, 1)
        last_seen = simulated.client(thing).last_seen

        found = intruder.expel()
        assert "remains" not in found, found["remains"]

        answers = simulated.responses_to(1)
        assert (simulated.round(1).accepted, answers.accepted) == (0, ())
        assert [(failed.thing, failed.reason) for failed in answers.failed] == [(thing, "expelled")]
        assert intruder.is_denied("put_object", Key=key, Body=b"more")
        assert intruder.is_denied("create_multipart_upload", Key=key)
        assert intruder.is_denied("get_object", Key=model)
        assert intruder.certificate["status"] == "INACTIVE"
        # AWS IoT ends the connections of such a certificate within minutes; the embedded one leaves them.
        say_hello(client, simulated.name, thing)
        simulated.report_progress(thing, 1, "declined", "out of spite")
        simulated.settled()
        assert simulated.client(thing).last_seen == last_seen
        assert (simulated.round(1).accepted, simulated.round(1).failed) == (0, 1)
    with connection(aws, intruder.identity) as (_, attempts):
        assert not attempts.get(timeout=LIMIT_S)
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm


def test_an_update_that_was_on_its_way_when_its_sender_was_expelled_is_refused(
    members: Members, intruder: Intruder, calm: dict[str, bytes]
) -> None:
    simulated, thing = members.simulated, intruder.thing
    begin(members, intruder)
    assert "remains" not in intruder.expel()
    simulated.put(thing, 1, simulated.update(thing, 1, value=100.0))
    assert simulated.reason(thing, 1) == "expelled"
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert members.bits() == calm


def test_a_round_that_waited_for_the_expelled_member_alone_ends_without_it(
    members: Members, intruder: Intruder, calm: dict[str, bytes]
) -> None:
    begin(members, intruder, target=4)
    members.answer()
    members.simulated.accepted_count(1, 3)
    assert "remains" not in intruder.expel(members.simulated.name)
    closed = members.simulated.ended(1)
    assert (closed.status, closed.accepted, closed.failed) == ("closed", 3, 1)
    assert members.bits() == calm


def test_an_expelled_member_is_not_selected_and_what_was_carried_over_of_it_does_not_count(
    members: Members, intruder: Intruder
) -> None:
    """Round 1 is aborted at its deadline, with updates that round 2 would use."""
    simulated, thing = members.simulated, intruder.thing
    begin(
        members,
        intruder,
        rounds=3,
        target=4,
        quorum=4,
        averaging={"carry_over": True},
        deadline_s=600.0,
        extension_s=0.0,
    )
    initial, _ = simulated.current()
    simulated.put(thing, 1, simulated.update(thing, 1, value=100.0, base=initial.sha256))
    simulated.answer("d0", 1)
    simulated.accepted_count(1, 2)
    simulated.operations.pause(simulated.name)
    simulated.reach_deadline(1)
    assert simulated.ended(1).carry
    assert "remains" not in intruder.expel(simulated.name)
    simulated.start()
    opened = simulated.opened(2)
    assert thing not in {member.thing for member in opened.cohort}
    assert [update.thing for update in opened.carried] == ["d0"]
    assert opened.expelled == (thing,)
    simulated.stop()


def test_a_round_that_was_made_up_before_the_expulsion_does_not_open(members: Members, intruder: Intruder) -> None:
    simulated = members.simulated
    simulated.create([*HONEST, intruder.thing], rounds=1)
    assert "remains" not in intruder.expel(simulated.name)
    with pytest.raises(NotClaimedError):
        simulated.claim(*HONEST, intruder.thing)
    simulated.stop()


def test_the_round_that_opens_while_a_device_is_being_expelled_does_not_count_it(
    aws: EmbeddedAws, deployed: Deployment, members: Members, intruder: Intruder
) -> None:
    """Round 1 ends, and round 2 opens, between what the command reads and what it writes."""
    simulated, thing = members.simulated, intruder.thing
    begin(members, intruder, rounds=2)
    expulsion = Expulsion(aws.client, deployed, thing, [simulated.name])
    members.answer()
    assert simulated.ended(1).accepted == 3
    assert thing in {member.thing for member in simulated.opened(2).cohort}
    simulated.answer(thing, 2, value=100.0)
    simulated.accepted_count(2, 1)

    found = by_outcome(expulsion.expel())

    assert f"nothing of {thing} counts in round 2 of {simulated.name}" in {step.what for step in found["done"]}
    assert (simulated.round(2).accepted, simulated.round(2).expelled) == (0, (thing,))
    (left,) = found["remains"]
    assert left.what == f"nothing of {thing} counts in round 1 of {simulated.name}"
    assert f"fedgrass rollback {simulated.name} --to 0" in left.note
    members.answer(2)
    assert simulated.ended(2).accepted == 3


def test_a_round_that_ended_without_a_device_while_it_was_being_expelled_leaves_nothing_to_do(
    aws: EmbeddedAws, deployed: Deployment, members: Members, intruder: Intruder
) -> None:
    simulated, thing = members.simulated, intruder.thing
    begin(members, intruder)
    expulsion = Expulsion(aws.client, deployed, thing, [simulated.name])
    simulated.operations.pause(simulated.name)
    simulated.abort(1, "for no reason")
    assert simulated.ended(1).status == "aborted"
    found = by_outcome(expulsion.expel())
    assert "remains" not in found
    assert f"nothing of {thing} counts in round 1 of {simulated.name}" in {step.what for step in found["done"]}


def test_an_expulsion_from_one_federation_leaves_the_device_its_rights(
    aws: EmbeddedAws, members: Members, intruder: Intruder
) -> None:
    members.create()
    assert "remains" not in intruder.expel(members.simulated.name)
    assert not intruder.is_denied("put_object", Key=intruder.update_key(members), Body=b"1")
    assert intruder.certificate["status"] == "ACTIVE"
    members.simulated.settled()


def test_expelling_again_changes_nothing_and_readmitting_takes_all_but_groups_back(
    aws: EmbeddedAws, members: Members, intruder: Intruder, group: str
) -> None:
    simulated, thing = members.simulated, intruder.thing
    simulated.create([*HONEST, thing], rounds=1, thing_group=group)
    rehearsed = intruder.expel(rehearsal=True)
    assert not rehearsed.keys() - {"to do", "already so"}
    assert simulated.operations.federations.get(simulated.name).expelled == ()
    assert [step.what for step in intruder.expel()["done"]] == [step.what for step in rehearsed["to do"]]
    assert intruder.expel().keys() == {"already so"}
    assert intruder.is_denied("put_object", Key=intruder.update_key(members), Body=b"1")
    iot = aws.client("iot")
    assert iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"] == []

    taken_back = intruder.readmit()
    assert f"aws iot add-thing-to-thing-group --thing-group-name {group} --thing-name {thing}" in {
        step.note for step in taken_back["to do"]
    }
    assert not intruder.is_denied("put_object", Key=intruder.update_key(members), Body=b"1")
    assert intruder.certificate["status"] == "ACTIVE"
    assert simulated.operations.federations.get(simulated.name).expelled == ()
    simulated.settled()


def test_a_certificate_that_someone_else_has_deactivated_is_left_so_and_said_to_be(
    aws: EmbeddedAws, members: Members, intruder: Intruder
) -> None:
    members.create()
    certificate = intruder.certificate["certificateId"]
    aws.client("iot").update_certificate(certificateId=certificate, newStatus="INACTIVE")
    (left,) = (step for step in intruder.readmit()["to do"] if certificate in step.what)
    assert "has not expelled" in left.note
    assert intruder.certificate["status"] == "INACTIVE"


def test_a_certificate_of_a_device_that_another_stack_has_expelled_too_is_left_inactive(
    aws: EmbeddedAws, members: Members, intruder: Intruder
) -> None:
    members.create()
    assert "remains" not in intruder.expel()
    other = RoleDenials(aws.client("iam"), ROLE_NAME, "another-expelled")
    other.change(lambda _: frozenset({intruder.thing}))
    (left,) = (step for step in intruder.readmit()["to do"] if "certificate" in step.what)
    assert str(other) in left.note
    assert intruder.certificate["status"] == "INACTIVE"
    other.change(lambda _: frozenset())


def test_a_certificate_that_other_things_use_is_left_active_and_said_to_be(
    aws: EmbeddedAws, members: Members, intruder: Intruder
) -> None:
    members.create()
    iot = aws.client("iot")
    arn = intruder.certificate["certificateArn"]
    iot.attach_thing_principal(thingName="d0", principal=arn)
    (left,) = intruder.expel()["remains"]
    assert "d0" in left.note
    assert intruder.certificate["status"] == "ACTIVE"
    iot.detach_thing_principal(thingName="d0", principal=arn)


@pytest.mark.parametrize(
    ("service", "operation", "by_hand"),
    [
        ("iam", "ListEntitiesForPolicy", "aws iam put-role-policy"),
        ("iam", "PutRolePolicy", "aws iam put-role-policy"),
        ("iot", "ListThingPrincipals", "aws iot update-certificate --new-status INACTIVE"),
        ("iot", "UpdateCertificate", "aws iot update-certificate --new-status INACTIVE"),
        ("iot", "RemoveThingFromThingGroup", "aws iot remove-thing-from-thing-group"),
    ],
)
def test_what_an_operator_may_not_do_remains_with_its_remedy_and_all_else_is_done(
    aws: EmbeddedAws,
    deployed: Deployment,
    members: Members,
    intruder: Intruder,
    group: str,
    service: str,
    operation: str,
    by_hand: str,
) -> None:
    members.simulated.create([*HONEST, intruder.thing], rounds=1, thing_group=group)
    client = hooked(aws, f"before-call.{service}.{operation}", _refuse(operation))
    found = by_outcome(Expulsion(client, deployed, intruder.thing).expel())
    (left,) = found["remains"]
    assert by_hand in left.note
    assert "AccessDenied" in left.note
    assert members.simulated.operations.federations.get(members.simulated.name).expelled == (intruder.thing,)
    assert len(found["done"]) >= 3


def _refuse(operation: str) -> Callable[..., None]:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, operation)

    return refuse


@pytest.fixture
def policy(aws: EmbeddedAws, deployed: Deployment, intruder: Intruder) -> Iterator[RoleDenials]:
    """Which denies two others, as it does after the test."""
    found = RoleDenials(aws.client("iam"), ROLE_NAME, f"{deployed.stack}-expelled")
    found.change(lambda _: frozenset({"other-1", "other-2"}))
    yield found
    write(aws, deployed, json.loads(denying("nobody")))
    found.change(lambda _: frozenset())


def write(aws: EmbeddedAws, deployed: Deployment, document: Any) -> None:
    """Change the policy by hand."""
    aws.client("iam").put_role_policy(
        RoleName=ROLE_NAME, PolicyName=f"{deployed.stack}-expelled", PolicyDocument=json.dumps(document)
    )


def hooked(aws: EmbeddedAws, event: str, hook: Callable[..., None]) -> Callable[[str], Any]:
    """Clients that call a hook at an event."""
    session = aws.session()
    session.events.register(event, hook)
    made: dict[str, Any] = {}
    any_service: Any = session
    return lambda name: made.setdefault(name, any_service.client(name, endpoint_url=aws.endpoint))


def test_the_command_that_denies_a_device_by_hand_denies_those_that_were_denied_before(
    aws: EmbeddedAws, deployed: Deployment, members: Members, intruder: Intruder, policy: RoleDenials
) -> None:
    members.create()
    client = hooked(aws, "before-call.iam.PutRolePolicy", _refuse("PutRolePolicy"))
    (left,) = by_outcome(Expulsion(client, deployed, intruder.thing).expel())["remains"]
    words = shlex.split(left.note[left.note.index("aws iam put-role-policy") :])
    assert words[words.index("--role-name") + 1] == ROLE_NAME
    write(aws, deployed, json.loads(words[words.index("--policy-document") + 1]))
    assert policy.read().things == {"other-1", "other-2", intruder.thing}


def test_two_devices_that_are_expelled_at_once_are_both_denied(
    aws: EmbeddedAws, deployed: Deployment, members: Members, intruder: Intruder, policy: RoleDenials
) -> None:
    """Someone else, who has read the policy before, writes it right after."""
    members.create()
    others = iter([["other-1", "other-2", "other-3"]])

    def overwrite(**_: Any) -> None:
        for things in others:
            write(aws, deployed, json.loads(Denials(frozenset(things)).document))

    client = hooked(aws, "after-call.iam.PutRolePolicy", overwrite)
    assert "remains" not in by_outcome(Expulsion(client, deployed, intruder.thing).expel())
    assert policy.read().things == {"other-1", "other-2", "other-3", intruder.thing}


@pytest.mark.parametrize("document", [[], {"Statement": "none"}, {"Version": "2012-10-17", "Statement": ["?"]}])
def test_a_policy_that_is_not_understood_is_left_and_named_and_all_else_is_done(
    aws: EmbeddedAws, deployed: Deployment, members: Members, intruder: Intruder, policy: RoleDenials, document: Any
) -> None:
    members.create()

    def answer(parsed: dict[str, Any], **_: Any) -> None:
        parsed["PolicyDocument"] = json.dumps(document)

    client = hooked(aws, "after-call.iam.GetRolePolicy", answer)
    (left,) = by_outcome(Expulsion(client, deployed, intruder.thing).expel())["remains"]
    assert str(policy) in left.note
    assert policy.shown_by in left.note
    assert policy.read().things == {"other-1", "other-2"}
    assert intruder.certificate["status"] == "INACTIVE"


def test_what_others_have_written_into_the_policy_stays_in_it(
    aws: EmbeddedAws, deployed: Deployment, members: Members, intruder: Intruder, policy: RoleDenials
) -> None:
    members.create()
    ours, theirs = json.loads(denying("other-1"))["Statement"][0], {"Sid": "Ours", "Effect": "Deny"}
    theirs |= {"Action": "s3:DeleteObject", "Resource": "*"}
    ours["Condition"] = {"StringLike": ours["Condition"]["StringEquals"]}
    write(aws, deployed, {"Version": "2012-10-17", "Statement": [theirs, ours]})
    assert "remains" not in intruder.expel()
    assert policy.read().things == {"other-1", intruder.thing}
    assert intruder.readmit()["done"]
    assert policy.read().things == {"other-1"}
    assert policy.read().other_statements == (theirs,)


def test_a_name_that_nobody_knows_is_refused_before_anything_is_done(
    aws: EmbeddedAws, deployed: Deployment, members: Members
) -> None:
    members.create()
    with pytest.raises(UnknownThingError, match="no thing 'nobody'"):
        Expulsion(aws.client, deployed, "nobody")


def test_an_update_that_waits_for_the_next_round_of_a_buffered_federation_does_not_count_in_it(
    members: Members, intruder: Intruder
) -> None:
    simulated, thing = members.simulated, intruder.thing
    begin(members, intruder, rounds=3, max_staleness=2, averaging={"rule": "mean"})
    initial, _ = simulated.current()
    simulated.operations.pause(simulated.name)
    members.answer()
    assert simulated.ended(1).accepted == 3
    simulated.put(thing, 1, simulated.update(thing, 1, value=100.0, base=initial.sha256))
    simulated.settled()
    assert "remains" not in intruder.expel(simulated.name)
    simulated.start()
    assert thing not in {member.thing for member in simulated.opened(2).cohort}
    assert simulated.reason(thing, 1) == "expelled"
    assert simulated.round(2).accepted == 0
    simulated.stop()
