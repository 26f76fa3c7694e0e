"""What a component may do through IPC: the accessControl rules of its configuration.

accessControl:
  aws.greengrass.ipc.mqttproxy:          # service
    <any name>:                          # policy
      operations: ["aws.greengrass#PublishToIoTCore"]      # or "*"
      resources: ["fedgrass/*/clients/*/hello"]
"""

import re
from collections.abc import Mapping
from typing import Any

from sandbox.nucleus.ipc import IpcError

MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"


def authorize(configuration: Mapping[str, Any], service: str, operation: str, resource: str, refusal: str) -> None:
    """Pass if a rule of the component's configuration allows the operation on the resource.

    `refusal` is what the nucleus says, with {action} and {resource} to be filled in.

    Raises:
        IpcError: UnauthorizedError.
    """
    rules = (configuration.get("accessControl") or {}).get(service) or {}
    for rule in rules.values():
        operations = rule.get("operations") or []
        if "*" not in operations and f"aws.greengrass#{operation}" not in operations:
            continue
        for pattern in rule.get("resources") or []:
            if covers(str(pattern), resource):
                return
    action = f"{service}:aws.greengrass#{operation}"
    raise IpcError("UnauthorizedError", refusal.format(action=action, resource=resource))


def covers(pattern: str, resource: str) -> bool:
    """Whether a rule's resource allows a topic, or every topic that a filter stands for.

    In a rule `*` stands for any characters, slashes as well; `+` for one level of a topic, `#` for all the rest. A
    filter that a component subscribes to is not wider than the rule: `+` is covered by `+`, `#` or `*`, `#` by `#`
    or `*`.
    """
    if pattern == "*":
        return True
    parts = []
    for index, level in enumerate(pattern.split("/")):
        slash = "/" if index else ""
        if level == "#":
            parts.append(f"(?:{slash}.*)?")
        elif level == "+":
            parts.append(rf"{slash}(?:\+|[^/+#]*)")
        else:
            parts.append(slash + ".*".join(map(re.escape, level.split("*"))))
    return re.fullmatch("".join(parts), resource) is not None


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT topic filter selects a topic."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if given[0].startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in {"+", given[index]}:
            return False
    return len(wanted) == len(given)
