"""Making devices known to AWS IoT, as an operator does before a device is shipped."""

import contextlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.nucleus.mqtt import Identity

logger = logging.getLogger(__name__)

NUCLEUS_POLICY = "fedgrass-sandbox-nucleus"
_PARALLEL = 8


def register(iot: Any, things: Sequence[str], thing_group: str, policy: str, directory: Path) -> list[Identity]:
    """Make each thing, with a certificate of its own to which the IoT policy is attached, a member of the group.

    A device makes its own key, which AWS never sees; key and certificate are written to `directory`/<thing>. `iot` is
    an administrator's client. A group that exists is used.
    """
    iot.create_thing_group(thingGroupName=thing_group)
    _make_nucleus_policy(iot)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="register") as pool:
        return list(pool.map(lambda thing: _register(iot, thing, thing_group, policy, directory / thing), things))


def _make_nucleus_policy(iot: Any) -> None:
    """What the nucleus itself needs, as far as the stand-in is one: to get its deployments and to tell how they
    went."""
    jobs = "$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"
    statements = [
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": f"arn:aws:iot:*:*:topic/{jobs}"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"arn:aws:iot:*:*:topicfilter/{jobs}"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    with contextlib.suppress(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_policy(policyName=NUCLEUS_POLICY, policyDocument=document)


def _register(iot: Any, thing: str, thing_group: str, policy: str, directory: Path) -> Identity:
    directory.mkdir(parents=True, exist_ok=True)
    identity = Identity(thing=thing, certificate_path=directory / "thingCert.crt", key_path=directory / "privKey.key")
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    certificate = iot.create_certificate_from_csr(
        certificateSigningRequest=request.public_bytes(serialization.Encoding.PEM).decode(), setAsActive=True
    )
    identity.certificate_path.write_text(certificate["certificatePem"])
    identity.key_path.touch(mode=0o600)
    identity.key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    iot.create_thing(thingName=thing)
    for name in (policy, NUCLEUS_POLICY):
        iot.attach_policy(policyName=name, target=certificate["certificateArn"])
    iot.attach_thing_principal(thingName=thing, principal=certificate["certificateArn"])
    iot.add_thing_to_thing_group(thingGroupName=thing_group, thingName=thing)
    return identity
