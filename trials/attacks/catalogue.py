"""All attacks, kind by kind."""

from types import ModuleType

from trials.attacks import access, connections, floods, headers, hellos, objects, roles, senders, shadows
from trials.attacks import update_values as numbers
from trials.attacks.attack import Attack


def _of(kind: ModuleType) -> list[Attack]:
    return [value for value in vars(kind).values() if isinstance(value, Attack)]


KINDS = (connections, shadows, hellos, access, objects, senders, headers, numbers, floods, roles)
ATTACKS = tuple(attack for kind in KINDS for attack in _of(kind))
