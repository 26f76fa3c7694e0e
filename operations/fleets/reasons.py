"""Why a deployment has failed on a device, in one sentence, from what its nucleus reports."""

from collections.abc import Mapping, Sequence

_LONGEST = 300

_TOLD: Mapping[str, str] = {
    "S3_HEAD_OBJECT_ACCESS_DENIED": "its token exchange role may not read the bucket of the artifacts",
    "S3_GET_OBJECT_ACCESS_DENIED": "its token exchange role may not read the bucket of the artifacts",
    "S3_ACCESS_DENIED": "its token exchange role may not read the bucket of the artifacts",
    "S3_GET_BUCKET_LOCATION_ACCESS_DENIED": "its token exchange role may not read the bucket of the artifacts",
    "S3_HEAD_OBJECT_RESOURCE_NOT_FOUND": "an artifact is no more in its bucket: publish the component again",
    "S3_GET_OBJECT_RESOURCE_NOT_FOUND": "an artifact is no more in its bucket: publish the component again",
    "ARTIFACT_CHECKSUM_MISMATCH": "an artifact is not what was published: publish a new version, and deploy that",
    "CREDENTIAL_ENDPOINT_AUTH_FAILURE": "AWS IoT gives it no credentials: look at its role alias, and at the trust of "
    "the role",
    "GET_DEPLOYMENT_CONFIGURATION_ACCESS_DENIED": "its certificate's policy does not allow Greengrass's own calls",
    "GET_COMPONENT_VERSION_ARTIFACT_ACCESS_DENIED": "its certificate's policy does not allow Greengrass's own calls",
    "RESOLVE_COMPONENT_CANDIDATES_ACCESS_DENIED": "its certificate's policy does not allow Greengrass's own calls",
    "COMPONENT_VERSION_REQUIREMENTS_NOT_MET": "another deployment to it asks for another version of a component",
    "NO_AVAILABLE_COMPONENT_VERSION": "no version of a component fits its platform, and all that is deployed to it",
    "UNAUTHORIZED_NUCLEUS_MINOR_VERSION_UPDATE": "a component needs a newer nucleus than it has",
    "DISK_SPACE_CRITICAL": "its disk is full",
    "NETWORK_ERROR": "it can't reach what it has to download from",
    "COMPONENT_BROKEN": "a component does not start",
    "REJECTED_STALE_DEPLOYMENT": "it has a newer deployment already",
}
"""What the codes of a nucleus mean; of those that one names together, the first one here tells most."""


def sentence(status: str, reason: str, codes: Sequence[str]) -> str:
    """Of a device whose deployment has this status. `reason` is what the nucleus says, which is text of a device, and
    is bounded here; nucleus lite says little, and has no codes."""
    told = next((meaning for code, meaning in _TOLD.items() if code in codes), "")
    own = "" if reason == status else " ".join(reason.split())
    if len(own) > _LONGEST:
        own = own[: _LONGEST - 3] + "..."
    if told and own:
        return f"{told} ({own})"
    return told or own or _UNTOLD.get(status, f"it is {status}, and does not say why")


_UNTOLD: Mapping[str, str] = {
    "FAILED": "it has failed, and does not say why: see the log of its nucleus",
    "TIMED_OUT": "it has not come to an end in the time that the deployment gives",
    "CANCELED": "the deployment was cancelled before it came to this device",
    "REJECTED": "its nucleus did not accept the deployment",
}
