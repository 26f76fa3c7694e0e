"""Every line that the documents show to be typed is run as it stands there, or it is said why it is not."""

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
from tests.paths import ROOT
from tests.reporting.examples import create

PROGRAM = re.compile(
    r"(\.venv/bin/)?fedgrass |(\.venv/bin/)?python3? |make |pip |gdk |aws |sudo |curl |unzip |export |\(cd |[A-Z]+="
)

LOCAL = ("new", "check", "split", "simulate", "experiment", "plan")
ACCOUNT = (
    *("init", "start", "status", "clients", "timeline", "logs", "fetch", "history", "report"),
    *("update", "pause", "abort-round", "rollback", "forget", "resume", "expel"),
)
"""The commands that are run, in an order in which each finds what the documents have it find."""

NOT_RUN = {
    r"make ": "sets up, or runs this test; tests/docs/test_commands.py knows the targets",
    r"\.venv/bin/python ": "the project's own checks and figures; tests/docs/test_commands.py knows the modules",
    r"pip |gdk |\(cd ": "asks the network, and publishes to an account",
    r"python3 components/build\.py": "tests/components/test_build.py builds tasks of many kinds",
    r"aws ": "AWS's own command line; tests/docs/test_examples.py reads what is JSON in it",
    r"sudo |curl |unzip |[A-Z]+=": "on a device",
    r"\.venv/bin/fedgrass experiment benchmarks/": "needs all of MNIST: tests/benchmarks/test_learning.py plans these",
    r"export ": "tests/e2e/test_sandbox_command.py pastes such a line into a shell",
    r"\.venv/bin/fedgrass (run|sandbox)": "a fleet: tests/e2e/test_run.py, test_sandbox_command.py",
    r"\.venv/bin/fedgrass start my-(federation|watches)": "in a sandbox: tests/e2e/test_sandbox_command.py",
    r"\.venv/bin/fedgrass deploy ": "tests/cli/test_deploying.py makes a stack of its own",
    r"(\.venv/bin/)?fedgrass (watch|dashboard)": "lasts as long as the federation: tests/cli/test_watch.py, dashboard",
    r"\.venv/bin/fedgrass doctor": "says what an account here lacks: tests/cli/test_doctor.py",
    r"\.venv/bin/fedgrass publish-model": "needs a model of the project's: tests/cli/test_publishing.py",
    r"\.venv/bin/fedgrass wheelhouse|python3 \.\./build\.py": "asks an index: tests/components/test_wheelhouse.py",
    r"\.venv/bin/fedgrass experiment rates\.yaml$": "takes minutes; tests/cli/experiments runs smaller ones",
}
"""How lines begin that are not run, and why."""


def typed() -> list[str]:
    """The lines, each once, in the order of the documents."""
    joined = "\n".join(block.text for block in blocks("")).replace("\\\n", " ")
    lines = (line.partition(" #")[0].strip() for line in joined.splitlines())
    return list(dict.fromkeys(line for line in lines if PROGRAM.match(line)))


def words(line: str) -> list[str]:
    """What is given to fedgrass, if it is that."""
    given = shlex.split(line)[1:] if re.match(r"(\.venv/bin/)?fedgrass ", line) else [""]
    return given if given[0] in (*LOCAL, *ACCOUNT) else []


def reasons(line: str) -> list[str]:
    return [beginning for beginning in NOT_RUN if re.match(beginning, line)]


def lines_of(commands: tuple[str, ...]) -> list[str]:
    """The lines to run of these commands, in the commands' order."""
    found = [line for line in typed() if words(line)[:1] and words(line)[0] in commands and not reasons(line)]
    return sorted(found, key=lambda line: commands.index(words(line)[0]))


def given(line: str) -> list[str]:
    """Gives the command; a line of what went wrong if it failed."""
    ran = fedgrass(*words(line))
    return [] if ran.status == 0 else [f"{line}: {ran.status}: {ran.error}"]


@pytest.mark.parametrize("line", typed(), ids=str)
def test_a_line_is_run_or_it_is_known_why_not(line: str) -> None:
    assert len(reasons(line)) == (0 if words(line) and not reasons(line) else 1)


def test_nothing_is_excused_that_is_not_there() -> None:
    lines = typed()
    assert [beginning for beginning in NOT_RUN if not any(re.match(beginning, line) for line in lines)] == []
    assert {words(line)[0] for line in lines if words(line)} == {*LOCAL, *ACCOUNT}


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

SETTINGS = {"name": "digits", "rounds": 2, "training": {"steps": 1, "batch_size": 8, "learning_rate": 0.1}}


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
