"""The tables of settings say what the code takes: every name, default and range."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from msgspec import inspect

from cli.settings.presets import PRESETS
from cloud import settings
from cloud.settings import MAX_WAIT_S, Federation, ServerOptimizer
from components.client.agent.configuration import DAY_S, Configuration, parse
from components.client.trainer.task.contract import FUNCTIONS
from components.task_folder import inspect_folder
from fedgrass.policies import Client
from fedgrass.task import DeviceState
from operations import component_versions
from protocol import names
from protocol.messages import MAX_INTEGER, Assignment, Hello, ModelReference, Phase, Training
from tests.docs.markdown import spans, table
from tests.paths import ROOT

ROOMS = ("training", "selection", "averaging", "pacing", "stop", "evaluation")
WITHOUT_VALUE = {
    "averaging.max_examples": "10 x the median",
    "averaging.shards": "by size",
    "training.epochs": "one is required",
    "training.steps": "one is required",
}


def fields_of(kind: type[msgspec.Struct], room: str = "") -> dict[str, msgspec.structs.FieldInfo]:
    found: dict[str, msgspec.structs.FieldInfo] = {}
    for field in msgspec.structs.fields(kind):
        if not room and field.name in ROOMS:
            found |= fields_of(field.type, f"{field.name}.")
        else:
            found[room + field.name] = field
    return found


SETTINGS = fields_of(Federation)
ROWS = {
    name: (kind, default)
    for field, kind, default, *_ in table("docs/tasks.md", "field", "type", "default").rows
    for name in spans(field)
}


def test_the_settings_of_federation_yaml_are_all_listed_and_no_others() -> None:
    assert ROWS.keys() == SETTINGS.keys()


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_the_default_that_its_row_says(name: str) -> None:
    default = SETTINGS[name].default
    if default is msgspec.NODEFAULT:
        expected = "required"
    elif default is None:
        expected = WITHOUT_VALUE.get(name, "none")
    else:
        expected = default.name if isinstance(default, settings.FedAvg | settings.Constant) else shown(default)
    assert ROWS[name][1].strip("`") == expected


def kind_of(information: inspect.Type) -> str:
    match information:
        case inspect.UnionType(types=(inspect.IntType(), inspect.StrType(), *_)):
            return "amount"
        case inspect.UnionType(types=types):
            return kind_of(next(kind for kind in types if not isinstance(kind, inspect.NoneType)))
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.BoolType():
            return "true, false"
        case inspect.IntType() | inspect.FloatType():
            return bounds_of(information)
        case _:
            return ""


def bounds_of(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge == 1 and kind.le == MAX_INTEGER:
        return "number"
    if kind.le == MAX_WAIT_S:
        return "seconds, 1 to a year" if kind.ge == 1 else "seconds, up to a year"
    if kind.gt is not None and kind.le is not None:
        return f"> {kind.gt}, up to {kind.le:,.0f}"
    if kind.le == 2**63 - 1:
        return f"{kind.ge} to 2^63 - 1"
    if kind.le is not None or kind.lt is not None:
        upper = f"{kind.le:,}" if kind.le is not None else f"< {kind.lt}"
        return f"{kind.ge} to {upper}"
    if kind.ge is not None or kind.gt is not None:
        return f">= {kind.ge}" if kind.ge is not None else f"> {kind.gt}"
    return "integer" if isinstance(kind, inspect.IntType) else "a number"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_takes_what_its_row_says(name: str) -> None:
    information = inspect.type_info(SETTINGS[name].type)
    said = ROWS[name][0]
    if isinstance(information, inspect.LiteralType):
        assert set(spans(said)) == set(information.values)
    else:
        assert kind_of(information) in said


def test_a_federations_name_is_as_long_as_its_row_says() -> None:
    longest = re.match(r"1 to (\d+) ", ROWS["name"][0])
    assert longest is not None
    names.check_federation("a" * int(longest[1]))
    with pytest.raises(names.InvalidNameError):
        names.check_federation("a" * (int(longest[1]) + 1))


def test_the_server_optimizers_have_the_settings_that_are_listed() -> None:
    listed: dict[str, dict[str, str]] = {}
    for optimizers, given in table("docs/tasks.md", "`averaging.optimizer`").rows:
        before = dict(listed[list(listed)[-1]]) if given.startswith("the same") else {}
        of_row = before | dict(span.split(": ") for span in spans(given))
        listed |= {yaml.safe_load(span)["name"]: of_row for span in spans(optimizers)}
    known = {
        kind.__struct_config__.tag: {field.name: shown(field.default) for field in msgspec.structs.fields(kind)}
        for kind in ServerOptimizer.__args__
    }
    assert listed == known


def test_the_schedules_have_the_settings_that_are_listed() -> None:
    listed = {
        yaml.safe_load(spans(row[0])[0])["name"]: set(yaml.safe_load(spans(row[0])[0])) - {"name"}
        for row in table("docs/tasks.md", "`training.schedule`").rows
    }
    known = {
        kind.__struct_config__.tag: set(kind.__struct_fields__) - {"warmup_rounds"}
        for kind in settings.Schedule.__args__
    }
    assert listed == known


CONFIGURATION = {
    name: (default, meaning)
    for keys, default, meaning in table("docs/operating.md", "configuration", "default").rows
    for name in spans(keys)
}
RECIPE = yaml.safe_load((ROOT / "recipe.yaml").read_text())["ComponentConfiguration"]["DefaultConfiguration"]
REQUIRED = {"federation": "f", "bucket": "b"}


def test_the_configuration_of_the_component_is_all_listed_and_in_its_recipe() -> None:
    assert CONFIGURATION.keys() == set(Configuration.__struct_fields__) == RECIPE.keys() - {"accessControl"}


def test_the_defaults_that_are_listed_are_those_of_the_recipe_and_of_the_component() -> None:
    listed = {name: default.strip("`") for name, (default, _) in CONFIGURATION.items() if default != "required"}
    assert listed.keys() == CONFIGURATION.keys() - REQUIRED
    assert listed == {name: shown(RECIPE[name]) or '""' for name in listed}
    assert parse(RECIPE | REQUIRED) == Configuration(federation="f", bucket="b")


def test_the_configuration_of_the_python_environment_is_listed_with_the_defaults_of_its_recipe() -> None:
    recipe = yaml.safe_load((ROOT / "components" / "runtime" / "recipe.yaml").read_text())
    rows = table("docs/operating.md", "of com.fedgrass.Runtime", "default").rows
    listed = {spans(row[0])[0]: row[1].strip("`") for row in rows}
    defaults = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    assert listed == {name: value or '""' for name, value in defaults.items()}


@pytest.mark.parametrize("name", ["reconcile_s", "keep_warm_s"])
def test_what_is_listed_as_the_most_that_the_configuration_takes_is_that(name: str) -> None:
    assert f"{DAY_S:,.0f}" in CONFIGURATION[name][1]
    parse(REQUIRED | {name: DAY_S})


def test_the_versions_that_commands_name_are_those_of_the_components_configuration() -> None:
    built = json.loads((ROOT / "gdk-config.json").read_text())
    operating, readme = ((ROOT / name).read_text() for name in ("docs/operating.md", "README.md"))
    assert built["component"]["com.fedgrass.Client"]["version"] == "NEXT_PATCH"
    assert set(re.findall(r"com\.fedgrass\.Client/(\d[\d.]*)", operating)) == {component_versions.FIRST}
    assert set(re.findall(r"gdk-cli\.git@v(\S+)", operating + readme)) == {built["gdk_version"]}


def bullets(document: str, beginning: str) -> set[str]:
    """What a bullet that begins like this lists in code font, to the end of its sentence."""
    text = " ".join((ROOT / document).read_text().split())
    return set(spans(text.partition(f"- {beginning}")[2].partition(". ")[0]))


def test_what_rules_and_tasks_get_has_the_fields_that_are_listed() -> None:
    assert bullets("docs/tasks.md", "`Client` has") == set(Client.__struct_fields__)
    assert bullets("docs/tasks.md", "`settings` has") == set(Training.__struct_fields__)
    ready = next(
        gets for function, gets, *_ in table("docs/tasks.md", "function", "what it gets").rows if "ready" in function
    )
    assert set(spans(ready)) - {"None"} == set(DeviceState.__struct_fields__)


def test_the_functions_of_a_task_are_listed_with_what_they_are_called_with() -> None:
    listed = {}
    for function, *_ in table("docs/tasks.md", "function", "what it gets").rows:
        name, _, arguments = function.strip("`").partition("(")
        listed[name] = tuple(re.findall(r"(\w+)(?:: \w+)?(?:, |\))", arguments.partition(" ->")[0]))
    assert listed == FUNCTIONS


def test_what_is_said_to_be_left_out_of_a_tasks_folder_is(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("")
    kinds = table("docs/tasks.md", "left out").rows
    named = {
        name
        for kind, examples in kinds
        if "can't be packed" not in kind
        for name in spans(kind) + spans(examples.partition("a folder with")[0])
    }
    assert {".git", "node_modules", "policies.py"} <= named
    for name in named:
        path = tmp_path / name.replace("*", "x")
        if path.suffix in (".py", ".pyc", ".yaml"):
            path.write_text("")
        else:
            path.mkdir()
            (path / "x.txt").write_text("")
    found = inspect_folder(tmp_path)
    assert found.packed.keys() == {"task.py"}
    assert not found.data


def test_the_contract_has_the_fields_of_assignments_and_hellos_and_the_phases_of_progress() -> None:
    rows = {what: " ".join(where.split()) for what, where in table("docs/architecture.md", "what", "where").rows}
    assignment = rows["assignment"].partition(" = ")[2].strip("{}")
    model = re.search(r" model \{(.*?)\}", assignment)
    assert model is not None
    listed = assignment.replace(model[0], " model").split(", ")
    assert listed == list(Assignment.__struct_fields__)
    assert model[1].split(", ") == [
        name for name in ModelReference.__struct_fields__ if name not in ("copy", "average")
    ]
    assert rows["hello"].partition("{")[2].partition("}")[0].split(", ") == list(Hello.__struct_fields__)
    phases = rows["progress"].partition("phase: ")[2].partition(", reason")[0]
    assert tuple(phases.replace(" or ", ", ").split(", ")) == get_args(Phase)


def test_each_preset_has_the_values_that_its_table_says() -> None:
    found = table("docs/policies.md", "field", "`iid`", "`label-skew`")
    said = {
        title.strip("`"): {
            name: yaml.safe_load(value.strip("`"))
            for (name, *values) in rows_of(found.rows)
            if (value := values[place])
        }
        for place, title in enumerate(found.columns[1:])
    }
    given = {
        preset: {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
        for preset, parts in PRESETS.items()
    }
    assert said == given


def rows_of(rows: tuple[tuple[str, ...], ...]) -> list[tuple[str, ...]]:
    return [(spans(field)[0], *values) for field, *values in rows]
