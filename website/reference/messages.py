"""Every MQTT topic and shadow, and what is in the messages: from the names and messages that both sides share."""

from protocol import names
from protocol.messages import (
    Assignment,
    Average,
    Desired,
    Evaluate,
    Hello,
    ModelReference,
    Progress,
    Report,
    Reported,
    RoundCounts,
    RoundNotice,
    Timings,
    Training,
)
from website.markdown import code, docstring, table
from website.reference.fields import of_struct

FEDERATION, THING = "digits", "pi-7"

_SHADOW = (
    ("get", "device", "asks for the shadow: on its start, after a delta or a lost connection, and every `reconcile_s`"),
    ("get/accepted", "AWS IoT", "the shadow: what the device goes by"),
    ("get/rejected", "AWS IoT", "that there is none yet, for example"),
    ("update", "device", "what it reports: the assignment that it has seen, and how far it is"),
    ("update/delta", "AWS IoT", "that the cloud wants something else: the device asks for the shadow then"),
    ("update/rejected", "AWS IoT", "that a report was not taken"),
)
"""The operations of a shadow that devices use: who publishes, and what that says."""

_IN_MESSAGES = (
    RoundNotice,
    RoundCounts,
    Hello,
    Desired,
    Assignment,
    ModelReference,
    Training,
    Evaluate,
    Average,
    Reported,
    Progress,
    Report,
    Timings,
)


def topics() -> list[tuple[str, str, str]]:
    """Each topic, who publishes on it, and what."""
    return [
        (names.round_topic(FEDERATION), "cloud", "a round's state, retained: RoundNotice"),
        (names.hello_topic(FEDERATION, THING), "device", "that it is there: Hello"),
        *((names.shadow_topic(FEDERATION, THING, operation), who, what) for operation, who, what in _SHADOW),
    ]


def page() -> str:
    """The page."""
    parts = [
        "# Topics, shadows, messages\n",
        f"Of the federation {code(FEDERATION)} and the device {code(THING)}. Messages are JSON, with their version as",
        "`v`; fields may be added. Times are seconds since 1970-01-01 UTC.\n",
        "## Topics\n",
        table(("topic", "published by", "what"), ((code(topic), who, what) for topic, who, what in topics())),
        "## Shadow\n",
        f"{docstring(names.shadow_name)} That of this federation is called {code(names.shadow_name(FEDERATION))};",
        "`desired` is what Desired has below, `reported` what Reported has.\n",
    ]
    parts += [f"## {kind.__name__}\n\n{of_struct(kind)}" for kind in _IN_MESSAGES]
    return "\n".join(parts)
