"""Steps that change a stack: shown, agreed to, taken, with what becomes of each resource meanwhile."""

from typing import TYPE_CHECKING

import msgspec

from cli.agreement import agrees
from cli.screen import Screen
from cli.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from operations.stack_events import ResourceEvent
    from operations.stack_steps import Change, Step


class TakenStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was shown, and whether it was taken."""

    what: str
    done: bool
    changes: "list[Change]"


def take(
    steps: "Iterable[Step]", screen: Screen, *, yes: bool, rehearsal: bool, as_json: bool, ahead: bool = False
) -> list[TakenStep]:
    """Take steps one after the other, until one is not agreed to; one without changes needs no agreement. In a
    rehearsal none is taken: the first one is shown, and the others if they are known `ahead` of it."""
    shown = []
    for step in steps:
        done = False
        try:
            _show(screen, step)
            if not rehearsal and (yes or not step.changes or agrees("Do this?", as_json=as_json)):
                step.carry_out(lambda event: _tell(screen, event))
                done = True
        finally:
            if not done:
                step.discard()
        shown.append(TakenStep(what=step.what, done=done, changes=list(step.changes)))
        if not done and not (rehearsal and ahead):
            break
    return shown


def _show(screen: Screen, step: "Step") -> None:
    screen.line(step.what, "bold")
    if step.changes:
        rows = [(each.action, each.resource, each.kind, each.name, each.replaced) for each in step.changes]
        columns = ("change", "resource", "type", "name", "replaced")
        screen.table(Table(columns=columns, rows=rows, texts=frozenset(columns)))


def _tell(screen: Screen, event: "ResourceEvent") -> None:
    reason = f": {event.reason}" if event.reason and event.status.endswith("FAILED") else ""
    screen.line(f"{event.status}  {event.resource}  {event.kind}{reason}")
