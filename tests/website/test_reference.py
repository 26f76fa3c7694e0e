"""The reference has every name that others rely on, asked of the code in another way than the reference does."""

import re
from collections.abc import Iterator

import msgspec
import pytest
import yaml

from cli.errors.table import KINDS
from cli.registry import COMMANDS
from cloud.settings import Federation, Schedule, ServerOptimizer
from components.client.agent.configuration import Configuration
from operations.deployment import SETTABLE, TABLES, TEMPLATE
from protocol import messages, names
from tests.cli.running import fedgrass
from tests.paths import ROOT
from website.reference import REFERENCE
from website.reference.component import RECIPES


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_there_with_all_that_its_help_names(command: str) -> None:
    _, _, from_here = REFERENCE["commands"]().partition(f"\n### fedgrass {command}\n")
    section = from_here.partition("\n### ")[0]
    helped = fedgrass(*command.split(), "--help").out
    options = set(re.findall(r"--[a-z][a-z-]+", helped)) - {"--help"}
    assert options
    assert [option for option in sorted(options) if option not in section] == []
    examples = helped.partition("Examples:")[2].split("\n  ")[1:]
    assert [line for line in examples if line.strip() not in section] == []


def keys_of(kind: type[msgspec.Struct]) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        yield field.name
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys_of(field.type)


def test_every_setting_is_there() -> None:
    page = REFERENCE["settings"]()
    chosen = [key for kind in (*Schedule.__args__, *ServerOptimizer.__args__) for key in keys_of(kind)]
    assert {key for key in (*keys_of(Federation), *chosen) if f"\n| `{key}` |" not in page} == set()
    assert page.count("\n### name: ") == len(Schedule.__args__) + len(ServerOptimizer.__args__)


def test_every_setting_says_what_it_means_but_those_that_a_table_leaves_to_their_names() -> None:
    page = REFERENCE["settings"]().partition("\n## training.schedule")[0]
    without = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert without == ["batch_size", "momentum"]


def test_every_configuration_key_of_the_recipes_is_there() -> None:
    page = REFERENCE["component"]()
    keys = {
        key
        for recipe in RECIPES.values()
        for key in yaml.safe_load(recipe.read_text())["ComponentConfiguration"]["DefaultConfiguration"]
    }
    keys |= set(Configuration.__struct_fields__)
    assert {key for key in keys - {"accessControl"} if f"\n| `{key}` |" not in page} == set()
    resources = re.findall(r'^ +- "(.+)"$', (ROOT / "recipe.yaml").read_text(), re.MULTILINE)
    assert [resource for resource in resources if f"`{resource}`" not in page] == []
    assert "fedgrass/*/clients/*/hello" in resources


def test_every_parameter_and_alarm_of_the_stack_is_there() -> None:
    page = REFERENCE["stack"]()
    alarms = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", TEMPLATE.read_text(), re.MULTILINE)
    assert alarms
    assert [name for name in (*SETTABLE, *alarms) if f"\n| `{name}` |" not in page] == []


def test_every_topic_is_there_and_every_message_that_travels_by_one() -> None:
    page = REFERENCE["messages"]()
    used = {names.round_topic("digits"), names.hello_topic("digits", "pi-7")}
    sources = "\n".join(path.read_text() for path in (ROOT / "components" / "client" / "agent").glob("*.py"))
    operations = set(re.findall(r'"((?:get|update)(?:/(?:accepted|rejected|delta))?)"', sources))
    assert {"get", "update/delta"} <= operations
    used |= {names.shadow_topic("digits", "pi-7", operation) for operation in operations}
    assert {topic for topic in used if f"\n| `{topic}` |" not in page} == set()
    for kind in (messages.Hello, messages.RoundNotice, messages.Assignment, messages.Progress, messages.Report):
        section = page.partition(f"\n## {kind.__name__}\n")[2].partition("\n## ")[0]
        assert [field for field in kind.__struct_fields__ if f"\n| `{field}` |" not in section] == []


def test_every_table_and_every_kind_of_key_is_there() -> None:
    page = REFERENCE["storage"]()
    assert [name for name in TABLES if f"\n### {name}\n" not in page] == []
    builders = [value for name, value in vars(names).items() if re.fullmatch(r"[a-z]\w*_key", name)]
    builders = [build for build in builders if not build.__name__.startswith("parse_")]
    assert page.count("\n| `federations/") + page.count("\n| `updates/") == len(builders)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_an_error_code_is_there_under_its_status(kind: object) -> None:
    assert isinstance(kind, tuple)
    code, status = kind[:2]
    section = REFERENCE["errors"]().partition(f"\n## Status {int(status)}\n")[2].partition("\n## ")[0]
    assert f"\n| `{code}` |" in section
