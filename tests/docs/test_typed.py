"""Every line that the documents show to be typed is run as it stands there, here or in a test that is named."""

import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.nucleus.credentials import TokenExchangeRole
from tests.cli.running import fedgrass
from tests.cloud.simulated import SimulatedFederation
from tests.docs.markdown import blocks
from tests.docs.typed import typed
from tests.paths import ROOT
from tests.reporting.examples import create

LOCAL = ("new", "check", "split", "simulate", "experiment", "plan")
ACCOUNT = (
    *("init", "start", "status", "clients", "timeline", "logs", "fetch", "history", "report"),
    *("doctor", "update", "pause", "abort-round", "rollback", "forget", "resume", "expel"),
)
"""The commands that are run, in an order in which each finds what the documents have it find."""

ELSEWHERE = {
    r"make setup$": "tests/test_setup.py::test_an_index_of_torch_replaces_its_build_alone_and_is_kept_apart",
    r"make demo$": "tests/e2e/test_demo.py::test_devices_on_both_nuclei_learn_to_read_digits_and_the_last_line_is_json",
    r"make (test|lint|docs)$": "tests/docs/test_typed.py::test_what_contributors_give_is_what_is_always_checked",
    r"\.venv/bin/python -m (pytest|ruff) ": (
        "tests/docs/test_typed.py::test_what_contributors_give_is_what_is_always_checked"
    ),
    r"(\(cd [\w./-]+ && )?gdk ": "tests/docs/test_gdk_lines.py::test_a_line_publishes_its_component",
    r"python3 components/build\.py --task": "tests/docs/test_gdk_lines.py::test_a_build_lists_what_goes_to_devices",
    r"python3 \.\./build\.py --wheelhouse": (
        "tests/components/test_wheelhouse.py::test_the_component_takes_it_along_for_the_devices_that_it_is_for"
    ),
    r"\.venv/bin/fedgrass wheelhouse ": "tests/components/test_wheelhouse.py::test_the_command_tells_what_it_made",
    r"aws ": "tests/docs/test_aws_lines.py::test_each_line_does_what_it_is_shown_for",
    r"sudo -u \$AS env|ROOT=\S+ AS=": (
        "tests/components/client/test_what_leaves.py::"
        "test_the_documented_command_runs_nothing_that_lies_in_the_current_folder"
    ),
    r"export ": (
        "tests/e2e/test_sandbox_command.py::"
        "test_a_sandbox_stays_up_for_other_commands_and_one_that_is_killed_is_recognised"
    ),
    r"\.venv/bin/fedgrass (sandbox |start my-(federation|watches))": (
        "tests/e2e/test_sandbox_command.py::"
        "test_a_sandbox_stays_up_for_other_commands_and_one_that_is_killed_is_recognised"
    ),
    r"\.venv/bin/fedgrass run ": (
        "tests/e2e/test_run.py::test_ctrl_c_in_a_run_on_one_table_keeps_what_there_is_and_the_tracker_has_all_rounds"
    ),
    r"\.venv/bin/fedgrass deploy cloud": (
        "tests/cli/test_deploying.py::test_a_stack_is_shown_made_changed_and_left_as_it_is"
    ),
    r"\.venv/bin/fedgrass deploy fleet": (
        "tests/e2e/test_deployed_fleet.py::test_a_device_runs_the_model_of_each_round_that_is_published_and_deployed"
    ),
    r"(\.venv/bin/)?fedgrass watch": "tests/cli/test_watch.py::test_piped_a_line_is_told_of_each_round_as_it_ends",
    r"(\.venv/bin/)?fedgrass dashboard": (
        "tests/cli/dashboard/test_server.py::test_a_round_that_goes_on_is_told_to_a_page_that_is_open"
    ),
    r"\.venv/bin/fedgrass publish-model ": (
        "tests/cli/test_publishing.py::test_a_model_is_shown_published_and_told_when_it_is_published_again"
    ),
    r"\.venv/bin/fedgrass experiment benchmarks/": (
        "tests/benchmarks/test_learning.py::test_an_experiment_can_be_run_with_a_folder_of_digits"
    ),
    r"\.venv/bin/fedgrass experiment rates\.yaml$": (
        "tests/cli/experiments/test_experiment.py::test_the_example_of_the_document_runs_with_fewer_rounds_and_seeds"
    ),
}
"""How lines begin that another test gives, as they stand or with less to do."""

NOT_HERE = {
    r"sudo apt ": "the device's package manager, as root",
    r"curl |unzip greengrass-nucleus": "AWS's installer comes from the internet",
    r"sudo -E java ": "AWS's installer, as root; its options are looked at below",
    r"sudo systemctl ": "root, on a device with nucleus lite",
    r"pip install git\+": "from the internet",
}
"""How lines begin that no test gives, and why none can."""


def words(line: str) -> list[str]:
    """What is given to fedgrass, if it is that."""
    given = shlex.split(line)[1:] if re.match(r"(\.venv/bin/)?fedgrass ", line) else [""]
    return given if given[0] in (*LOCAL, *ACCOUNT) else []


def reasons(line: str) -> list[str]:
    """The beginnings by which it is not run here."""
    return [beginning for beginning in (*ELSEWHERE, *NOT_HERE) if re.match(beginning, line)]


def lines_of(commands: tuple[str, ...]) -> list[str]:
    """The lines to run of these commands, in the commands' order."""
    found = [line for line in typed() if words(line)[:1] and words(line)[0] in commands and not reasons(line)]
    return sorted(found, key=lambda line: commands.index(words(line)[0]))


SAYS_SO = {"doctor": (1,)}
"""How else commands end that have done what they are for: something is wrong with the account of a test."""


def given(line: str) -> list[str]:
    """Gives the command; a line of what went wrong if it failed."""
    ran = fedgrass(*words(line))
    return [] if ran.status in (0, *SAYS_SO.get(words(line)[0], ())) else [f"{line}: {ran.status}: {ran.error}"]


@pytest.mark.parametrize("line", typed(), ids=str)
def test_a_line_is_run_here_or_in_a_test_that_is_named_or_can_be_nowhere(line: str) -> None:
    assert len(reasons(line)) == (0 if words(line) and not reasons(line) else 1)


def test_nothing_is_excused_that_is_not_there() -> None:
    lines = typed()
    excused = (*ELSEWHERE, *NOT_HERE)
    assert [beginning for beginning in excused if not any(re.match(beginning, line) for line in lines)] == []
    assert {words(line)[0] for line in lines if words(line)} == {*LOCAL, *ACCOUNT}


@pytest.mark.parametrize("node", sorted(set(ELSEWHERE.values())))
def test_a_test_that_is_named_is_there(node: str) -> None:
    path, _, name = node.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in typed() if re.search("fedgrass ", line) and reasons(line)])
def test_a_test_that_is_named_gives_the_command(line: str) -> None:
    (beginning,) = reasons(line)
    command = shlex.split(line)[1]
    source = (ROOT / ELSEWHERE[beginning].partition("::")[0]).read_text()
    assert re.search(rf"\b{command}", source)


def test_what_contributors_give_is_what_is_always_checked() -> None:
    checked = (ROOT / ".ci" / "run").read_text().splitlines()
    makefile = (ROOT / "Makefile").read_text()
    for line in typed():
        if re.match(r"make (test|lint|docs)$", line):
            assert line in checked
        if line.startswith(".venv/bin/python -m ruff "):
            for command in line.split(" && "):
                assert command in makefile.replace("format --check", "format")
        if line.startswith(".venv/bin/python -m pytest "):
            paths = [word for word in shlex.split(line)[3:] if not word.startswith("-")]
            assert paths
            assert all((ROOT / path).exists() for path in paths)


OF_THE_INSTALLER = {
    *("--aws-region", "--component-default-user", "--deploy-dev-tools", "--help", "--init-config", "--provision"),
    *("--root", "--setup-system-service", "--start", "--tes-role-alias-name", "--tes-role-name", "--thing-group-name"),
    *("--thing-name", "--thing-policy-name", "--trusted-plugin", "--version"),
}
"""What the classic nucleus takes as it is installed, by its class com.aws.greengrass.easysetup.GreengrassSetup."""


def test_the_installation_of_a_device_has_the_options_that_there_are() -> None:
    (line,) = (line for line in typed() if line.startswith("sudo -E java "))
    java, _, installer = line.partition(" -jar ")
    options = dict(zip(*[iter(shlex.split(installer)[1:])] * 2, strict=True))
    assert set(options) <= OF_THE_INSTALLER
    assert set(re.findall(r" -D(\S+)=", java)) == {"root", "log.store"}
    assert {options["--provision"], options["--setup-system-service"]} == {"true"}
    assert re.fullmatch(r"\w+:\w+", options["--component-default-user"])
    policy = (ROOT / "docs" / "operator-policy.json").read_text()
    assert "TokenExchange" in options["--tes-role-name"], "an operator may let roles of such a name read components"
    assert "TokenExchange" in policy
    grouped = {line.rpartition("digit-readers")[1] for line in typed() if "deploy fleet components/tasks/mnist" in line}
    assert grouped == {options["--thing-group-name"]}


TASK = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fedgrass.task import Data


def build_model():
    return nn.Linear(2, 2)


def load_data(directory, client):
    rows = np.loadtxt(directory / "data.csv", delimiter=",", skiprows=1, usecols=(0, 1, 2), ndmin=2)
    return Data(TensorDataset(torch.tensor(rows[:, :2], dtype=torch.float32), torch.tensor(rows[:, 2]).long()))
"""

SETTINGS = {
    "name": "digits",
    "rounds": 2,
    "training": {"steps": 1, "batch_size": 8, "learning_rate": 0.1},
    "selection": {"policy": "random", "cohort": 4},  # few, also of the hundred clients that a line has for 50 rounds
}


def write_table(path: Path, count: int) -> None:
    """Points on a plane, their label, and what they may be split by."""
    points = np.random.default_rng(0).normal(size=(count, 2))
    rows = [f"{x:.3f},{y:.3f},{int(x > y)},m-{n % 5}" for n, (x, y) in enumerate(points)]
    path.write_text("\n".join(["x,y,label,machine", *rows]) + "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the documents' commands are given: a project with data, and tables."""
    project = tmp_path / "my-federation"
    project.mkdir()
    (project / "task.py").write_text(TASK)
    (project / "federation.yaml").write_text(yaml.safe_dump(SETTINGS))
    for data, client in product(("shards", "my-federation/data"), "abcdefgh"):
        (tmp_path / data / "clients" / client).mkdir(parents=True)
        write_table(tmp_path / data / "clients" / client / "data.csv", 10)
    for table in ("mine.csv", "measurements.csv", "people.csv"):
        write_table(tmp_path / table, 200)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda _: True)
    return tmp_path


def with_few_rounds(folder: Path) -> None:
    """Has new projects end soon."""
    for path in folder.glob("my-*/federation.yaml"):
        path.write_text(re.sub(r"^rounds: \d+", "rounds: 2", path.read_text(), flags=re.MULTILINE))


@pytest.mark.timeout(300)
def test_what_needs_no_account_does_what_it_is_shown_for(folder: Path) -> None:
    (experiment,) = (block.text for block in blocks("yaml") if block.document == "experiments.md")
    (folder / "rates.yaml").write_text(experiment.replace("data: data", "data: people.csv"))
    (devices,) = (block.text for block in blocks("") if '"client": "*"' in block.text)
    (folder / "devices.jsonl").write_text(devices)
    failed = []
    for line in lines_of(LOCAL):
        failed += given(line)
        with_few_rounds(folder)
    assert "\n".join(failed) == ""
    assert (folder / "runs" / "median" / "summary.json").is_file()
    assert (folder / "shared" / "clients" / "m-0" / "data.csv").is_file()


FEDERATIONS = {"digits": 7, "meadow": 5}
"""How many rounds the documents have them have."""


@pytest.fixture
def account(folder: Path, aws: EmbeddedAws, deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An account with a stack, and with the thing group of the example; operators give their commands in a folder."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    (folder / "components" / "tasks").mkdir(parents=True)
    shutil.copytree(ROOT / "components" / "tasks" / "mnist", folder / "components" / "tasks" / "mnist")
    (folder / "path").mkdir()
    shutil.copytree(folder / "my-federation", folder / "path" / "to")
    shutil.copytree(folder / "my-federation", folder / "path" / "to" / "folder")
    (folder / "path" / "to" / "folder" / "federation.yaml").write_text(yaml.safe_dump(SETTINGS | {"rounds": 100}))
    shutil.copytree(folder / "my-federation", folder / "my-cars")
    (folder / "my-cars" / "federation.yaml").write_text(yaml.safe_dump(SETTINGS | {"name": "my-cars"}))
    with create(folder / "runs" / "my-watches-001") as run:
        run.finish("finished")
    TokenExchangeRole(aws.client("iam"), aws.client("sts"), deployed.device_policy_arn)
    iot = aws.client("iot")
    iot.create_thing_group(thingGroupName="digit-readers")
    iot.create_thing(thingName="pi-7")
    iot.add_thing_to_thing_group(thingGroupName="digit-readers", thingName="pi-7")
    yield folder
    for name in (*FEDERATIONS, "my-cars"):
        remove(aws, deployed, name)


def remove(aws: EmbeddedAws, deployed: Deployment, name: str) -> None:
    """As if a federation had not been made yet."""
    aws.client("dynamodb").delete_item(TableName=deployed.federations_table, Key={"federation": {"S": name}})


def after_rounds(federation: SimulatedFederation, rounds: int) -> None:
    """Makes a federation that has had so many rounds, with another one open."""
    federation.create(["pi-7"], rounds=100)
    federation.start()
    for number in range(1, rounds + 1):
        federation.answer("pi-7", number, after={"accuracy": 0.5})
    federation.opened(rounds + 1)


@pytest.mark.timeout(400)
def test_what_is_for_an_account_does_what_it_is_shown_for(
    account: Path, aws: EmbeddedAws, deployed: Deployment
) -> None:
    failed = []
    lines = lines_of(ACCOUNT)
    for line in lines:
        if words(line)[0] in ("init", "start"):
            if words(line)[0] == "init":
                remove(aws, deployed, "digits")
            failed += given(line)
    remove(aws, deployed, "digits")
    for name, rounds in FEDERATIONS.items():
        after_rounds(SimulatedFederation(aws, deployed, name), rounds)
    for line in lines:
        if words(line)[0] not in ("init", "start"):
            failed += given(line)
    assert "\n".join(failed) == ""
