"""The examples in the documents work as they stand there."""

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from cli.planning.forecast import forecast
from cli.planning.models import model_of
from cli.settings.fields import checked
from cli.settings.parsing import validate
from cloud import custom_policies
from cloud.pricing.prices import by_region
from cloud.settings import Averaging, Federation, SelectionPolicyName
from cloud.state.records import ClientRecord
from cloud.state.views import round_view
from components.client.trainer.files.checkpoints import Checkpoints
from components.client.trainer.files.round_files import Belonging, RoundFiles
from components.client.trainer.task.loading import load_task
from fedgrass.policies import Update
from fedgrass.task import Client, Training, use_checkpoints
from operations.fleets import configuration
from operations.fleets.published import Component, read_recipe
from protocol.messages import ModelHeader
from tests.cloud.examples import report, round_record
from tests.docs.markdown import DOCUMENTS, blocks, prose, spans, table
from tests.paths import ROOT

EXAMPLE = yaml.safe_load((ROOT / "components" / "tasks" / "mnist" / "federation.yaml").read_text())


def python(beginning: str) -> str:
    """The one block of Python with a line that begins like this."""
    (found,) = [block.text for block in blocks("python") if f"\n{beginning}" in f"\n{block.text}"]
    return found


SETTINGS = [block for block in blocks("yaml") if block.document not in ("experiments.md", "models.md")]


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: block.document)
def test_settings_are_taken(block: Any) -> None:
    settings, problems = validate(yaml.safe_load(block.text))
    assert problems == []
    assert settings is not None


def test_the_configuration_of_devices_is_taken_by_the_components() -> None:
    (block,) = [block for block in blocks("yaml") if block.document == "models.md"]

    def component(name: str, recipe: Path) -> Component:
        return Component(
            name=name, version="1.0.0", recipe=read_recipe(json.dumps(yaml.safe_load(recipe.read_text())).encode())
        )

    client = component("com.fedgrass.Client", ROOT / "recipe.yaml")
    inference = component("com.fedgrass.Inference", ROOT / "components" / "inference" / "recipe.yaml")
    divided = configuration.divided(yaml.safe_load(block.text), (client,), {"accessControl": ""}, (inference,))
    assert all(divided.values())


def settings_in_passing() -> list[str]:
    words = {span for document in DOCUMENTS for span in spans(prose(document)) if ": " in span or "{" in span}
    return sorted(span for span in words if span.partition(":")[0] in Federation.__struct_fields__)


@pytest.mark.parametrize("text", settings_in_passing())
def test_settings_in_passing_are_taken_beside_others(text: str) -> None:
    found: list[Any] = []
    checked(EXAMPLE | yaml.safe_load(text), found)
    assert found == []


@pytest.mark.parametrize("document", ["README.md", "operating.md"])
def test_six_commands_lead_from_an_empty_account_to_a_fleet_that_trains(document: str) -> None:
    texts = [block.text for block in blocks("") if block.document == document]
    (text,) = (text for text in texts if "deploy cloud" in text and "deploy fleet" in text)
    commands = [line.partition(" #")[0].strip() for line in text.splitlines()]
    named = [re.search(r"fedgrass (deploy )?\w+|gdk component publish", command) for command in commands]
    assert [found and found[0] for found in named] == [
        "fedgrass deploy cloud",
        "gdk component publish",
        "gdk component publish",
        "fedgrass init",
        "fedgrass deploy fleet",
        "fedgrass start",
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The task of README.md, with data, in the place that docs/tasks.md tries it in."""
    task, data = tmp_path / "my-federation", tmp_path / "some" / "data"
    task.mkdir()
    data.mkdir(parents=True)
    (task / "task.py").write_text(python("    labels = torch.from_numpy"))
    generator = np.random.default_rng(0)
    np.save(data / "inputs.npy", generator.normal(size=(40, 16)).astype("<f4"))
    np.save(data / "labels.npy", generator.integers(0, 3, 40))
    monkeypatch.chdir(tmp_path)
    return task


def test_the_task_of_the_readme_trains_as_it_is_tried_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = folder.parent / "trial.py"
    script.write_text(python("task = load_task"))
    runpy.run_path(str(script))
    assert "'steps': 2.0" in capsys.readouterr().out


def test_the_regression_trains_by_its_loss_as_it_stands_there(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(python("def loss("))
    torch.manual_seed(0)
    inputs = torch.randn(250, 8)
    torch.save(torch.cat([inputs, inputs.sum(1, keepdim=True)], 1), tmp_path / "table.pt")
    task = load_task(tmp_path)
    model, data = task.build_model(), task.load_data(tmp_path, Client(thing="t", federation="f"))
    task.validate(model, data)
    before = task.evaluate(model, data)
    task.train(model, data, Training(batch_size=20, learning_rate=0.05, epochs=10))
    after = task.evaluate(model, data)
    assert after.keys() == {"loss", "mae"}
    assert after["mae"] < before["mae"] / 2


CHOOSING = """
import torch
from torch import nn

def build_model():
    adapter = nn.ParameterDict({"lora_a": torch.ones(2), "lora_b": torch.ones(2)})
    return nn.ModuleDict({"base": nn.Linear(2, 2), "head": nn.Linear(2, 2), "x": adapter})

def load_data(directory, client): ...
"""


def test_the_choice_of_what_travels_is_taken(folder: Path) -> None:
    (folder / "task.py").write_text(f"{CHOOSING}\n\n{python('def parameters(')}")
    built = load_task(folder).build_model()
    trained = {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    assert trained == {"head.weight", "head.bias", "x.lora_a", "x.lora_b"}


STEP = """
        EPOCHS.append(epoch)
        optimizer.zero_grad()
        model(torch.randn(8, 16)).square().mean().backward()
        optimizer.step()
"""


def test_the_training_with_checkpoints_goes_on_where_it_was_cut_off(folder: Path) -> None:
    with (folder / "task.py").open("a") as file:
        file.write("\n\nEPOCHS = []\n\n" + re.sub(r"\n        \.\.\..*\n", STEP, python("def train(")))
    task = load_task(folder)
    data = task.load_data(Path("some/data"), Client(thing="t", federation="f"))
    settings = Training(batch_size=32, learning_rate=0.1, epochs=3)

    def trained(epochs: int) -> list[float]:
        model = task.build_model()
        torch.manual_seed(9)
        task.train(model, data, msgspec.structs.replace(settings, epochs=epochs))
        return nn.utils.parameters_to_vector(model.parameters()).tolist()

    uninterrupted = trained(3)
    belonging = Belonging(
        federation="f", thing="t", round=1, model="", task="", training=settings, encoding="float32", component=""
    )

    def start_process() -> None:
        kept = Checkpoints(RoundFiles(folder / "round", belonging), data.examples, steps=0, interval_s=0.0)
        kept.find()
        kept.begin({}, 0.0)
        use_checkpoints(kept)

    try:
        start_process()
        trained(2)
        start_process()
        assert trained(3) == uninterrupted
        assert sys.modules["task"].EPOCHS == [1, 2, 3, 1, 2, 3]
    finally:
        use_checkpoints(None)


EXAMPLES = {"small": 10, "medium": 300, "large": 900}


def test_the_rules_of_the_example_do_what_they_say(tmp_path: Path) -> None:
    (tmp_path / custom_policies.FILE_NAME).write_text(python("def choose_clients"))
    custom = {
        "selection": {"policy": "custom"},
        "completion": "custom",
        "averaging": {"rule": "custom"},
        "pacing": {"policy": "custom"},
    }
    settings, problems = validate(EXAMPLE | custom)
    assert problems == []
    assert settings is not None
    rules = custom_policies.load(tmp_path, settings)
    assert rules is not None
    fleet = [ClientRecord(federation="f", thing=thing, examples=examples) for thing, examples in EXAMPLES.items()]
    reports = {thing: report(thing, examples=examples) for thing, examples in EXAMPLES.items()}
    ended = round_view(round_record(*EXAMPLES, accepted=3), [], 1100.0)
    assert rules.choose_clients(fleet, 2, 1) == ["large", "medium"]
    assert rules.choose_clients(fleet, 2, 10) == list(EXAMPLES)
    assert rules.is_complete(ended)
    assert not rules.is_complete(msgspec.structs.replace(ended, accepted=2, reports={"large": reports["large"]}))
    updates = [
        Update(thing=thing, report=reports[thing], delta={"w": np.ones(2, "<f4") * n})
        for n, thing in enumerate(reports)
    ]
    mean = rules.average(iter(updates), {"w": np.zeros(2, "<f4")})
    assert mean["w"].tolist() == [(300 + 2 * 500) / 810] * 2
    assert [rules.next_round_delay(msgspec.structs.replace(ended, accepted=n)) for n in (3, 2)] == [30.0, 240.0]


def test_what_a_round_of_the_example_costs_is_what_is_said() -> None:
    about = ModelHeader(federation="f", round=0)
    found = forecast(model_of(46_796_608), about, 40, Averaging(), "float32", "us-east-1")
    told = (ROOT / "docs" / "costs.md").read_text()
    assert "--model-bytes 46796608 --clients 40 " in told
    assert f"for Greengrass ${found.greengrass_month:.2f} a month" in told
    assert all(f"`{region}`" in told for region in by_region())
    assert f"${found.dollars_a_round:.2f} a round" in told
    assert f"${found.dollars['models sent to devices']:.2f} are the models" in " ".join(told.split())


def cost_rows() -> list[tuple[str, ...]]:
    return list(table("docs/costs.md", "fleet, cohort", "model").rows)


@pytest.mark.parametrize("row", cost_rows(), ids=" ".join)
def test_what_a_fleet_costs_is_what_the_table_says(row: tuple[str, ...]) -> None:
    fleet, cohort = re.fullmatch(r"([\d,]+), (all|[\d,]+)(?: of them)?", row[0]).groups()  # type: ignore[union-attr]
    devices = int(fleet.replace(",", ""))
    clients = devices if cohort == "all" else int(cohort)
    size = {"0.4 MB": 437_000, "4 MB": 4_000_000, "46.8 MB, ResNet-18": 46_796_608}[row[1]]
    about = ModelHeader(federation="f", round=0)
    policy: SelectionPolicyName = "all" if clients == devices else "random"
    found = forecast(model_of(size), about, clients, Averaging(), "float32", "us-east-1", fleet=devices, policy=policy)
    idle = sum(found.month.values())
    daily = found.greengrass_month + idle + 30 * found.dollars_a_round
    assert list(row[2:]) == [
        *(f"{found.greengrass_month:,.2f}", f"{idle:,.2f}", f"{found.dollars_a_round:.3f}", f"{daily:,.2f}")
    ]
