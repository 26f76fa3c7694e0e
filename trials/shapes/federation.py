"""One federation of an embedded AWS, made from a user's folder and carried through by devices of its own."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from cli.project import Project, load
from cli.project_sandbox import build_component
from cloud.state.records import RoundRecord
from components.task_folder import BuildError
from operations.control import Operations
from operations.deployment import Deployment
from protocol.messages import ModelHeader, ModelReference, decode
from protocol.tensors import parse_header
from sandbox.embedded_aws import EmbeddedAws
from sandbox.federated_run import RunError, wait_for_clients
from sandbox.fleet import Access, ComponentBrokenError, DevicesOfflineError, Fleet
from sandbox.scratch import Scratch
from trials.shapes import verdict
from trials.shapes.catalogue import TASKS, Shape
from trials.shapes.judge import Case, Judged
from trials.shapes.verdict import Before, Ended, RoundEnd

ROOT = Path(__file__).parent.parent.parent
HELD_OUT = "held-out"
_GRACE_S = 60.0
_TICK_S = 0.2
_LONGEST_TEXT = 2000


class StoppedError(Exception):
    """The run was called off."""


class _StuckError(Exception):
    """A federation has not come to its end in the time that its settings give it; the text has what devices logged."""


class _JudgeError(Exception):
    """The judge of the models has failed; the text is its traceback."""


_TROUBLES = (BuildError, ComponentBrokenError, DevicesOfflineError, RunError, _JudgeError, _StuckError)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table. `numbers` and `tensors` are those of the global model; `start` and `end` are the measure of
    model 0 and of the last one, on data that no device has. There are no `problems` if all is as it has to be."""

    name: str
    special: str
    numbers: int = 0
    tensors: int = 0
    closed: int = 0
    rounds: int = 0
    accepted: int = 0
    asked: int = 0
    start: float | None = None
    end: float | None = None
    problems: list[str]
    seconds: float = 0.0


def carry_through(aws: EmbeddedAws, deployment: Deployment, shape: Shape, stop: threading.Event) -> Outcome:
    """Make the shape's federation, start its devices, wait for its end, and judge.

    Raises:
        StoppedError: `stop` was set.
    """
    begun = time.monotonic()
    project = load(TASKS / shape.name)
    with Scratch() as scratch:
        refusal = _init(aws, project, scratch.path)
        if refusal is not None:
            outcome = _told(shape, Ended(refusal=refusal))
        else:
            try:
                outcome = _told(shape, _run(aws, deployment, project, shape, scratch, stop))
            except _TROUBLES as error:
                outcome = _told(shape, Ended(trouble=f"{type(error).__name__}: {error}"))
    return msgspec.structs.replace(outcome, seconds=round(time.monotonic() - begun, 1))


def _told(shape: Shape, ended: Ended) -> Outcome:
    judged = ended.judged
    return Outcome(
        name=shape.name,
        special=shape.special,
        numbers=sum(tensor.numbers for tensor in judged.tensors) if judged else 0,
        tensors=len(judged.tensors) if judged else 0,
        closed=sum(each.status == "closed" for each in ended.rounds),
        rounds=len(ended.rounds),
        accepted=sum(each.accepted for each in ended.rounds),
        asked=sum(each.asked for each in ended.rounds),
        start=judged.start.get(shape.measure) if judged else None,
        end=judged.end.get(shape.measure) if judged else None,
        problems=list(verdict.problems(shape, ended)),
    )


def _init(aws: EmbeddedAws, project: Project, scratch: Path) -> str | None:
    """`fedgrass init`, as a user does it: None, or why it refuses."""
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", "init", str(project.path)],
        env=os.environ | aws.environment | {"TMPDIR": f"{scratch}/"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if not ran.returncode:
        return None
    said = ran.stderr.strip()
    return said.splitlines()[-1] if "Traceback" in said else said[-_LONGEST_TEXT:]


def _run(
    aws: EmbeddedAws, deployment: Deployment, project: Project, shape: Shape, scratch: Scratch, stop: threading.Event
) -> Ended:
    name, operations = project.settings.name, Operations(aws.client, deployment)
    things = [f"{name}-{number}" for number in range(shape.devices)]
    folders = {thing: scratch.path / "data" / thing for thing in (*things, HELD_OUT)}
    for number, folder in enumerate(folders.values()):
        shape.write_data(folder, number)
    component = build_component(project, scratch.path / "greengrass-build")
    access = Access(
        thing_group=f"fedgrass-{name}",
        iot_policy=deployment.device_iot_policy_name,
        iam_policy_arn=deployment.device_policy_arn,
    )
    common = {"federation": name, "bucket": deployment.bucket, "threads": 1}
    configurations = {thing: common | {"dataset": str(folders[thing])} for thing in things}
    with Fleet(aws, scratch, scratch.path / "fleet", component, access, configurations) as fleet:
        wait_for_clients(operations, name, fleet)
        operations.start(name)
        _wait_for_end(operations, project, fleet, stop)
    records = [operations.rounds.get(name, number) for number in range(1, project.settings.rounds + 1)]
    judged = None
    if any(record.model is not None for record in records):
        judged = _judge(
            operations, project, records, {thing: str(path) for thing, path in folders.items()}, scratch.path
        )
    initial = operations.models.get(records[0].base)
    answers = [operations.rounds.responses(name, record.round) for record in records]
    return Ended(
        rounds=[
            RoundEnd(
                round=record.round,
                status=record.status,
                reason=record.reason,
                asked=min(record.target, len(record.cohort)),
                accepted=record.accepted,
                failures={each.thing: f"{each.state}: {each.reason}" for each in given.failed},
            )
            for record, given in zip(records, answers, strict=True)
        ],
        befores=[
            Before(round=each.report.round, thing=each.thing, metrics=each.report.before)
            for given in answers
            for each in given.accepted
            if each.report is not None
        ],
        buffers=decode(parse_header(initial, len(initial)).message, ModelHeader).buffers,
        judged=judged,
    )


def _wait_for_end(operations: Operations, project: Project, fleet: Fleet, stop: threading.Event) -> None:
    settings = project.settings
    limit_s = settings.rounds * (settings.deadline_s + settings.extension_s) + _GRACE_S
    deadline = time.monotonic() + limit_s
    while operations.federations.get(settings.name).status != "finished":
        if stop.wait(_TICK_S):
            raise StoppedError
        fleet.check()
        if time.monotonic() > deadline:
            logs = [device.log_path.read_text(errors="replace") for device in fleet.devices.values()]
            tails = "\n".join(log[-_LONGEST_TEXT:] for log in logs)
            raise _StuckError(
                f"{settings.name} has not ended in {limit_s:.0f} s; the ends of its devices' logs:\n{tails}"
            )


def _judge(
    operations: Operations, project: Project, records: list[RoundRecord], folders: dict[str, str], scratch: Path
) -> Judged:
    models = scratch / "models"
    models.mkdir()

    def fetch(reference: ModelReference) -> str:
        path = models / reference.sha256
        path.write_bytes(operations.models.get(reference))
        return str(path)

    made = [record.model for record in records if record.model is not None]
    case = Case(
        federation=project.settings.name,
        task=str(project.task),
        start=fetch(records[0].base),
        end=fetch(made[-1]),
        given={record.round: fetch(record.base.downloaded) for record in records},
        devices={thing: path for thing, path in folders.items() if thing != HELD_OUT},
        held_out=folders[HELD_OUT],
    )
    ran = subprocess.run(
        [sys.executable, "-m", "trials.shapes.judge"],
        input=msgspec.json.encode(case),
        env=os.environ | {"TMPDIR": f"{scratch}/", "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if ran.returncode:
        raise _JudgeError(
            f"the models of {project.settings.name} can't be judged: {ran.stderr.decode()[-_LONGEST_TEXT:]}"
        )
    return msgspec.json.decode(ran.stdout, type=Judged)
