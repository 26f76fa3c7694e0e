"""The command that changes a federation's settings between its rounds."""

from typing import TYPE_CHECKING

from cli.agreement import agrees
from cli.commands.aws import aws_clients, operations_of
from cli.commands.options import DryRun, Json, ProjectPath, Result, Stack, Yes
from cli.screen import Screen
from cli.settings.problems import shown
from cli.table import Table
from cloud.state.records import FederationRecord

if TYPE_CHECKING:
    from operations.settings_update import SettingsUpdate

EXAMPLES = (
    "fedgrass update my-federation",
    "fedgrass update my-federation --dry-run",
    "fedgrass update my-federation --yes --json",
)


def update(
    project: ProjectPath,
    yes: Yes = False,
    rehearsal: DryRun = False,
    stack: Stack = "fedgrass",
    as_json: Json = False,
) -> Result:
    """Give a federation the settings of its file as it is now.

    Rounds that open from now on have them; one that is open ends as it began. No device is deployed anew. The number of
    rounds may grow after the last one, too. What a federation keeps for life is refused by name.
    """
    from cli import preflight
    from cli.project import load
    from operations import settings_update

    checked = load(project)
    client_of = aws_clients()
    operations = operations_of(stack, client_of)
    prepared = settings_update.prepare(operations, checked.settings)
    screen = Screen(quiet=as_json)
    _show(screen, prepared)
    record = prepared.before
    if prepared.differences:
        preflight.check(client_of, stack, prepared.settings, checked.policies.get(record.federation))
        if not rehearsal and (yes or agrees("Change this?", as_json=as_json)):
            record = settings_update.apply(operations, prepared)
    changed = record.revision > prepared.before.revision
    if changed:
        screen.line(_told(record, prepared, stack))
    return {
        "federation": record.federation,
        "changed": changed,
        "first_round": prepared.first_round,
        "differences": prepared.differences,
        "status": record.status,
        "revision": record.revision,
    }


def _show(screen: Screen, prepared: "SettingsUpdate") -> None:
    name = prepared.before.federation
    if not prepared.differences:
        screen.line(f"federation {name} has these settings already")
        return
    rows = [(each.setting, _value(each.before), _value(each.after)) for each in prepared.differences]
    screen.table(
        Table(columns=("setting of " + name, "now", "will be"), rows=rows, texts=frozenset({"now", "will be"}))
    )
    if prepared.open_round is not None:
        screen.line(f"round {prepared.open_round} is under way, and ends as it began")


def _value(value: object) -> str:
    return "not set" if value is None else shown(value)


def _told(record: FederationRecord, prepared: "SettingsUpdate", stack: str) -> str:
    done = f"round {prepared.first_round} of {record.federation} will be the first one with these settings"
    if record.status == "running":
        return done
    return f"{done}; the federation is {record.status}: fedgrass start {record.federation} --stack {stack}"
