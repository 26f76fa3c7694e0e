"""What a deployment to a fleet is going to change, as the screen has it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.plurals import counted
from cli.screen import Screen
from cli.table import Table

if TYPE_CHECKING:
    from operations.fleets.documents import KeyChange
    from operations.fleets.groups import Group
    from operations.fleets.rollout import Prepared
    from operations.steps import Step

_LONGEST = 60
_SECRET = re.compile(r"//[^/@\s]+@")


def show(screen: Screen, group: "Group", prepared: "Prepared", again: Sequence[str]) -> None:
    """The components, their configuration, and who gets them when."""
    plan = prepared.plan
    if plan.versions:
        columns: tuple[str, ...] = ("component", "now", "then")
        rows: list[tuple[str, ...]] = [(each.component, each.before or "none", each.after) for each in plan.versions]
        screen.table(Table(columns=columns, rows=rows, texts=frozenset(columns)))
    if plan.keys:
        rows = [(each.component, each.key, _before(each), _shown(each.after)) for each in plan.keys]
        columns = ("configuration of", "key", "now", "then")
        screen.table(Table(columns=columns, rows=rows, texts=frozenset(columns)))
    if again:
        screen.line(f"deployed again, since it has failed on {', '.join(again)}")
    if plan.changes or again:
        ours = {component.name for component in prepared.components} | {each.component for each in plan.keys}
        others = prepared.present.components.keys() - ours
        kept = f"; {', '.join(sorted(others))} stay as they are" if others else ""
        if prepared.canaries:
            screen.line(f"first on {', '.join(prepared.canaries)}; if that succeeds, on all others of {group.name}")
        screen.line(f"thing group {group.name}, {counted(len(group.things()), 'device')}{kept}")


def show_steps(screen: Screen, steps: Sequence["Step"]) -> None:
    """What becomes of policies, but for what is so already."""
    for step in steps:
        if step.outcome != "already so":
            screen.line(f"{step.outcome}: {step.what}" + (f": {step.note}" if step.note else ""))


def show_documents(screen: Screen, documents: Sequence[Any], policies: Mapping[str, Any]) -> None:
    """What CreateDeployment would be given, and what the policies of devices are."""
    for document in documents:
        screen.line(f"deployment to {document['targetArn']}", "bold")
        screen.lines(json.dumps(document, indent=2))
    for name, policy in policies.items():
        screen.line(f"policy {name}", "bold")
        screen.lines(json.dumps(policy, indent=2))


def _before(change: "KeyChange") -> str:
    is_unknown = change.before is None and change.after is None
    return "what a device has" if is_unknown else _shown(change.before)


def _shown(value: object) -> str:
    """None is what the recipe has. An address may have a password in it."""
    if value is None:
        return "the recipe's"
    text = _SECRET.sub("//...@", value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
