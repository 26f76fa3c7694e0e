"""Attacks on MQTT: connecting as another, hearing others, speaking for others."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocol import names
from sandbox.nucleus.mqtt import Identity
from trials.attacks.attack import Verdict, accepted, all_of, attack
from trials.attacks.mqtt_session import Session, Will, verdict_on
from trials.attacks.target import Target

_OWN_CLIENT_IDS = "the IoT policy allows a certificate the client ids of its own thing"
_OWN_TOPICS = "the IoT policy allows a device its own shadows and hello, and nothing else"
_CERTIFICATES = "AWS IoT takes active certificates of the account alone"


@attack(_OWN_CLIENT_IDS)
def connect_as_another(target: Target) -> Verdict:
    """Connect under another member's client id."""
    return target.member.connects(target.victim)


@attack(_OWN_CLIENT_IDS)
def connect_as_anothers_second_connection(target: Target) -> Verdict:
    """Connect under the id of another member's second connection."""
    return all_of(target.member.connects(f"{target.victim}#{number}") for number in (2, 3))


@attack(_OWN_CLIENT_IDS)
def connect_under_names_that_begin_with_its_own(target: Target) -> Verdict:
    """Connect under a name that begins with its own, as another thing may have it."""
    thing = target.member.thing
    return all_of(target.member.connects(name) for name in (f"{thing}-2", f"{thing}2", f"{thing}/{target.victim}"))


@attack(_OWN_CLIENT_IDS)
def connect_without_a_name(target: Target) -> Verdict:
    """Connect with an empty client id, or one that is a wildcard."""
    return all_of(target.member.connects(name) for name in ("", "*", "#", "+"))


@attack(_OWN_CLIENT_IDS)
def kick_another_off(target: Target) -> Verdict:
    """End another member's connection by one under its client id."""
    victim = target.arena.victim
    with Session(victim.broker, victim.identity) as session:
        session.connect(victim.thing)
        verdict = target.member.connects(victim.thing)
        return verdict if session.is_alive() else accepted("the other's connection has ended")


@attack(_OWN_CLIENT_IDS)
def take_over_a_stored_session(target: Target) -> Verdict:
    """Go on with a session that another member has left at the broker, to get what is sent to it."""
    victim = target.arena.victim
    with Session(victim.broker, victim.identity) as session:
        session.connect(victim.thing, stored=True)
        session.subscribe(names.shadow_topic(target.name, victim.thing, "update/delta"))
    return target.member.connects(victim.thing, stored=True)


@attack(_CERTIFICATES)
def connect_without_a_certificate(target: Target) -> Verdict:
    """Connect as a member without showing a certificate."""

    def ask() -> int:
        with Session(target.member.broker, None) as session:
            return session.connect(target.victim)

    return verdict_on(ask)


@attack(_CERTIFICATES)
def connect_with_a_certificate_of_its_own_making(target: Target) -> Verdict:
    """Connect as another member with a certificate that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, target.victim)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as directory:
        identity = Identity(
            thing=target.victim,
            certificate_path=Path(directory) / "own.crt",
            key_path=Path(directory) / "own.key",
        )
        identity.certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

        def ask() -> int:
            with Session(target.member.broker, identity) as session:
                return session.connect(target.victim)

        return verdict_on(ask)


@attack("an expelled device's certificate is not active")
def connect_after_it_was_expelled(target: Target) -> Verdict:
    """Connect with a certificate that has been deactivated, under the own name and another's."""
    expelled = target.arena.expelled
    return all_of(expelled.connects(name) for name in (expelled.thing, target.victim))


@attack(_OWN_TOPICS)
def leave_a_last_will_for_another(target: Target) -> Verdict:
    """Have the broker say hello, or report a failure, in another's name when the connection is lost."""
    failed = json.dumps({"state": {"reported": {"progress": {"round": 1, "phase": "failed"}}}}).encode()
    topics = (
        names.hello_topic(target.name, target.victim),
        names.shadow_topic(target.name, target.victim, "update"),
        names.shadow_topic(target.name, target.victim, "update/accepted"),
    )
    return all_of(target.member.connects(target.member.thing, will=Will(topic, failed)) for topic in topics)


@attack(_OWN_TOPICS)
def leave_a_last_will_on_the_rounds(target: Target) -> Verdict:
    """Have the broker tell all, for good, that the round was aborted, when the connection is lost."""
    will = Will(names.round_topic(target.name), _aborted(target), retain=True)
    return all_of(
        target.member.connects(target.member.thing, will=each)
        for each in (will, Will(will.topic, will.payload), Will(names.hello_topic(target.name, "x"), b"", retain=True))
    )


@attack(_OWN_TOPICS)
def listen_to_everything(target: Target) -> Verdict:
    """Subscribe with wildcards to all topics, all shadows, or all hellos."""
    filters = ("#", "+/#", "fedgrass/#", "fedgrass/+/clients/+/hello", "$aws/#", "$aws/things/+/shadow/#")
    more = (f"$aws/things/+/shadow/name/{target.shadow}/#", f"$aws/things/{target.victim}/#", "+/+/+/+/+/+/+/+")
    return all_of(target.member.subscribes(each) for each in filters + more)


@attack(_OWN_TOPICS)
def listen_to_anothers_shadow(target: Target) -> Verdict:
    """Subscribe to another member's assignments and progress."""
    operations = ("update/delta", "update/accepted", "update/documents", "get/accepted", "#", "+")
    return all_of(target.member.subscribes(names.shadow_topic(target.name, target.victim, each)) for each in operations)


@attack(_OWN_TOPICS)
def listen_to_the_rounds(target: Target) -> Verdict:
    """Subscribe to the rounds' states, of which dashboards are told."""
    return all_of(target.member.subscribes(each) for each in (names.round_topic(target.name), "fedgrass/+/round"))


@attack(_OWN_TOPICS)
def share_a_subscription(target: Target) -> Verdict:
    """Take a share of others' messages, so that they miss them, by shared subscriptions."""
    shared = (names.shadow_topic(target.name, target.victim, "update/delta"), "fedgrass/#", "#")
    return all_of(target.member.subscribes(f"$share/group/{each}") for each in shared)


@attack("the IoT policy, and AWS IoT for what it reserves")
def listen_to_reserved_topics(target: Target) -> Verdict:
    """Subscribe to the broker's own topics: statistics, presence, certificates, jobs."""
    filters = ("$SYS/#", "$SYS/broker/clients/total", "$aws/events/#", "$aws/events/presence/connected/+")
    more = ("$aws/rules/#", "$aws/certificates/create/json/accepted", f"$aws/things/{target.victim}/jobs/notify")
    return all_of(target.member.subscribes(each) for each in filters + more)


@attack(_OWN_TOPICS)
def announce_a_round(target: Target) -> Verdict:
    """Tell all that the round was aborted, in the cloud's name; retained, or not."""
    topic, payload = names.round_topic(target.name), _aborted(target)
    return all_of(target.member.publishes(topic, payload, retain=retain) for retain in (False, True))


@attack("the IoT policy has no iot:RetainPublish")
def retain_messages(target: Target) -> Verdict:
    """Have the broker keep a hello, or a report in the own shadow, for whoever subscribes later."""
    topics = (
        names.hello_topic(target.name, target.member.thing),
        names.shadow_topic(target.name, target.member.thing, "update"),
    )
    return all_of(target.member.publishes(topic, {"v": 1}, retain=True) for topic in topics)


@attack(_OWN_TOPICS)
def call_topic_rules_directly(target: Target) -> Verdict:
    """Hand a message to the topic rules themselves (Basic Ingest), past the policy of their topics."""
    hello = names.hello_topic(target.name, target.victim)
    outcome = names.shadow_topic(target.name, target.victim, "update/accepted")
    failed = {"state": {"reported": {"progress": {"round": 1, "life": target.life, "phase": "failed"}}}}
    return all_of(
        (
            target.member.publishes(f"$aws/rules/{target.resource('HelloRule')}/{hello}", {"v": 1}),
            target.member.publishes(f"$aws/rules/{target.resource('OutcomeRule')}/{outcome}", failed),
        )
    )


@attack("the IoT policy, and AWS IoT for what it reserves")
def publish_to_reserved_topics(target: Target) -> Verdict:
    """Ask the broker for certificates, jobs of others, and commands, or speak in its name."""
    topics = (
        "$aws/certificates/create/json",
        "$aws/certificates/create-from-csr/json",
        "$aws/provisioning-templates/fleet/provision/json",
        f"$aws/things/{target.victim}/jobs/start-next",
        f"$aws/things/{target.victim}/jobs/notify",
        f"$aws/events/presence/disconnected/{target.victim}",
        "$SYS/broker/clients/total",
    )
    return all_of(target.member.publishes(topic, {}) for topic in topics)


@attack("AWS IoT takes no wildcard in the topic of a message")
def publish_to_wildcards(target: Target) -> Verdict:
    """Publish to a topic that is a wildcard, to reach several at once."""
    thing = target.member.thing
    topics = (f"fedgrass/+/clients/{thing}/hello", f"fedgrass/#/clients/{thing}/hello", "fedgrass/+/round")
    return all_of(target.member.publishes(topic, {"v": 1}) for topic in topics)


@attack(_OWN_TOPICS)
def talk_to_other_members(target: Target) -> Verdict:
    """Send messages to other members on topics of its own choice."""
    topics = (f"fedgrass/{target.name}/clients/{target.victim}/round", f"fedgrass/{target.name}", "chat", "fedgrass/x")
    return all_of(target.member.publishes(topic, {}) for topic in topics)


def _aborted(target: Target) -> bytes:
    return json.dumps({"v": 1, "federation": target.name, "round": 1, "state": "aborted", "at": 1.0}).encode()
