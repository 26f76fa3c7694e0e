"""What is attacked: a federation of honest members and one that is not, with all policies enforced."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cli.settings.parsing import parse
from cloud.state.records import ResponseRecord
from operations.control import Operations
from operations.deployment import Deployment
from protocol import names, tensors
from protocol.messages import Report
from sandbox import provisioning
from sandbox.embedded_aws import EmbeddedAws
from sandbox.example_updates import report
from sandbox.nucleus.credentials import TokenExchangeRole
from sandbox.nucleus.mqtt import Broker
from sandbox.polling import eventually
from sandbox.simulated_clients import SimulatedDevices
from trials.attacks.attack import Scene, UnexplainedError, Verdict, accepted, all_of, refused
from trials.attacks.example_updates import model_of, update_of
from trials.attacks.member import Member

HONEST = ("honest-0", "honest-1", "honest-2", "honest-3")
ATTACKER, STRANGER, EXPELLED = "attacker", "stranger", "expelled"
_GROUP = "fedgrass-attacked"


class Arena:
    """The stack, its fleet, and what each scene's model is without an attack.

    Attributes:
        attacker: the member that attacks.
        victim: an honest member, by its certificate.
        stranger: a device of the fleet that is no client of the federation.
        expelled: a device whose certificate has been deactivated.
    """

    def __init__(self, aws: EmbeddedAws, deployed: Deployment, directory: Path) -> None:
        self.aws = aws
        self.deployed = deployed
        self.operations = Operations(aws.client, deployed)
        self._numbers = itertools.count(1)
        self._expected: dict[str, str] = {}
        things = [*HONEST, ATTACKER, STRANGER, EXPELLED]
        iot = aws.client("iot")
        identities = provisioning.register(iot, things, _GROUP, deployed.device_iot_policy_name, directory)
        role = TokenExchangeRole(aws.client("iam"), aws.client("sts"), deployed.device_policy_arn)
        broker = Broker(host="127.0.0.1", port=aws.mqtt_port, ca_path=aws.ca_path)
        members = {identity.thing: Member(aws, role, identity, broker) for identity in identities}
        self.victim, self.attacker = members[HONEST[0]], members[ATTACKER]
        self.stranger, self.expelled = members[STRANGER], members[EXPELLED]
        (certificate,) = iot.list_thing_principals(thingName=EXPELLED)["principals"]
        iot.update_certificate(certificateId=certificate.rpartition("/")[2], newStatus="INACTIVE")
        self.pool = ThreadPoolExecutor(8)

    def close(self) -> None:
        """End its threads."""
        self.pool.shutdown()

    def target(self, name: str, scene: Scene) -> "Target":
        """A federation that no other attack has, whose first round is open."""
        target = Target(self, f"{next(self._numbers)}-{name}"[:40].rstrip("-"), scene)
        target.begin()
        return target

    def expected(self, scene: Scene) -> str:
        """The SHA-256 of a scene's last model without an attack."""
        if scene.name not in self._expected:
            target = self.target("undisturbed", scene)
            for number in range(1, target.rounds + 1):
                target.opened(number)
                if scene.joins is not None:
                    target.join(number)
                target.answer(number)
                target.ended(number)
            self._expected[scene.name] = target.end()
        return self._expected[scene.name]


class Target(SimulatedDevices):
    """One federation under attack: what the attack may know and look at, and what the honest members do."""

    def __init__(self, arena: Arena, name: str, scene: Scene) -> None:
        super().__init__(arena.aws, arena.deployed, name)
        self.arena = arena
        self.scene = scene
        self.member = arena.attacker
        self.victim = arena.victim.thing
        self.bucket = arena.deployed.bucket
        self.honest = HONEST[: len(scene.values)]
        self.rounds = int(scene.settings.get("rounds", 1))
        self.group = f"group-of-{name}"
        self._answered: set[int] = set()

    # ---- Before

    def begin(self) -> None:
        """Make the federation, and return when its first round is open."""
        things = [*self.honest, self.member.thing]
        fields: dict[str, Any] = {
            "name": self.name,
            "rounds": 1,
            "target": self.scene.target,
            "quorum": self.scene.target,
            "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1},
        }
        if self.scene.grouped:
            self._make_group(things)
            fields["thing_group"] = self.group
        self.make(parse(fields | dict(self.scene.settings)), model_of(self.name))
        for thing in things:
            self.greet(thing)
        self.start()
        self.opened(1)

    def _make_group(self, things: list[str]) -> None:
        iot = self.aws.client("iot")
        iot.create_thing_group(thingGroupName=self.group)
        for thing in things:
            iot.add_thing_to_thing_group(thingGroupName=self.group, thingName=thing)

    # ---- What the attack makes use of

    @property
    def shadow(self) -> str:
        """The name of the federation's shadows."""
        return names.shadow_name(self.name)

    def key(self, round_number: int = 1, thing: str | None = None, life: str | None = None) -> str:
        """Where an update belongs: the member's own, if no other's."""
        return names.update_key(
            self.name, round_number, thing or self.member.thing, self.life if life is None else life
        )

    def report(self, round_number: int = 1, **changes: Any) -> Report:
        """What a member says of a good update."""
        fields: dict[str, Any] = {
            "federation": self.name,
            "life": self.life,
            "round": round_number,
            "encoding": self.scene.settings.get("encoding", "float32"),
        }
        if "base" not in changes:
            fields["base"] = self.operations.federations.get(self.name).model.downloaded.sha256
        return report(**{"thing": self.member.thing} | fields | changes)

    def uploads(self, body: bytes, key: str | None = None, **headers: Any) -> str:
        """Have the member store an object where its update belongs, or elsewhere; returns the version it became."""
        answer = self.member.client("s3").put_object(Bucket=self.bucket, Key=key or self.key(), Body=body, **headers)
        return str(answer["VersionId"])

    def refuses(self, body: bytes, reason: str, **headers: Any) -> Verdict:
        """The verdict on an update of the member: refused if the averager says so, for this reason."""
        version = self.uploads(body, **headers)
        return self.refused_for(reason, version)

    def refused_for(self, reason: str, version: str, round_number: int = 1) -> Verdict:
        """The verdict on what the member has uploaded, once the averager has looked at it."""

        def look() -> Verdict | None:
            responses = self.responses_to(round_number)
            if any(response.version_id == version for response in responses.accepted):
                return accepted("it was counted")
            found = next((r for r in responses.refused if r.version_id == version), None)
            return None if found is None else refused(f"recorded: {found.reason}")

        verdict = eventually(look, f"the update of {self.name} to be looked at")
        if not verdict.accepted and reason not in verdict.because:
            raise UnexplainedError(f"{verdict.because}; not {reason!r}")
        return verdict

    def refuses_all(self, bodies: Iterable[bytes], *reasons: str) -> Verdict:
        """The verdict on updates that are sent one after another: refused if all are, each for one of the reasons."""
        verdicts = []
        for body in bodies:
            verdicts.append(self.refuses(body, ""))
            if not any(reason in verdicts[-1].because for reason in (*reasons, "it was counted")):
                raise UnexplainedError(f"{verdicts[-1].because}: not for {reasons}")
        return all_of(verdicts)

    def join(self, round_number: int = 1) -> str:
        """Have the member send an honest update, as the scene has it."""
        assert self.scene.joins is not None  # noqa: S101 - the scene says that it does
        encoding = self.scene.settings.get("encoding", "float32")
        about = self.report(round_number, **self.scene.report_changes)
        body = update_of(about, self.scene.joins, self.scene.counter, encoding)
        return self.uploads(body, self.key(round_number))

    def counted(self, round_number: int = 1, thing: str | None = None) -> ResponseRecord:
        """The member's update, or another's, once it counts."""

        def look() -> ResponseRecord | None:
            counted = self.responses_to(round_number).accepted
            return next((response for response in counted if response.thing == (thing or self.member.thing)), None)

        return eventually(look, f"the member's update to {self.name} to be counted")

    def shadow_of(self, thing: str) -> Mapping[str, Any]:
        """The state of a thing's shadow; nothing if it has none."""
        iot = self.aws.client("iot-data")
        try:
            answer = iot.get_thing_shadow(thingName=thing, shadowName=self.shadow)
        except iot.exceptions.ResourceNotFoundException:
            return {}
        state: Mapping[str, Any] = json.loads(answer["payload"].read())["state"]
        return state

    def resource(self, logical_id: str) -> str:
        """The name that CloudFormation has given to a resource of the stack."""
        described = self.aws.client("cloudformation").describe_stack_resource(
            StackName=self.deployed.stack, LogicalResourceId=logical_id
        )
        return str(described["StackResourceDetail"]["PhysicalResourceId"])

    # ---- What becomes of its rounds

    def answer(self, round_number: int = 1) -> None:
        """Have the honest members send their updates to a round, if they have not."""
        if round_number in self._answered:
            return
        self._answered.add(round_number)
        base = self.opened(round_number).base.downloaded.sha256
        encoding = self.scene.settings.get("encoding", "float32")

        def send(index: int) -> None:
            thing = self.honest[index]
            about = self.report(round_number, thing=thing, base=base, examples=10 + index, after={"loss": 0.5})
            body = update_of(about, self.scene.values[index], encoding=encoding)
            self.put_object(self.key(round_number, thing), body)

        list(self.arena.pool.map(send, range(len(self.honest))))

    def end(self) -> str:
        """Have all rounds end; returns the SHA-256 of the last model's numbers."""
        for number in range(1, self.rounds + 1):
            self.answer(number)
            self.ended(number)
        data = self.operations.models.get(self.operations.federations.get(self.name).model)
        header = tensors.parse_header(data, len(data))
        return hashlib.sha256(data[header.length :]).hexdigest()
