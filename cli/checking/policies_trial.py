"""policies.py, tried out: its functions are called with a fleet and a round that are made up."""

import ast
import difflib
import random
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from cli.checking.findings import Finding, at
from cli.checking.remedies import Context, remedy_of
from cloud import custom_policies
from cloud.averager.round.pacing import EndedRound, not_before
from cloud.averaging.rules.custom import custom_change
from cloud.custom_policies import FILE_NAME, InvalidPolicyError
from cloud.initiator.selection import selection_policy_of
from cloud.initiator.selection.policy import Candidates
from cloud.settings import Federation, cohort_of
from cloud.state.records import ClientRecord
from fedgrass.policies import Client, Report, Round, Update
from protocol.messages import Timings
from protocol.tensors import Array

_THINGS = ("device-000", "device-001", "device-002", "device-003")
_TIMINGS = Timings(accepted_at=0.0, downloaded_at=1.0, trained_at=2.0, uploading_at=3.0, train_s=1.0)
_CODE = (AttributeError, ImportError, NameError, SyntaxError, TypeError)
"""What is wrong whatever the values are."""

_MISSING = re.compile(r"has no function (\w+)")
_RETURNS = {
    "choose_clients": "a list of names of clients: [client.thing for client in ...]",
    "is_complete": "True or False",
    "average": "a dict of all the model's tensors, each with the change to make to it",
    "next_round_delay": "seconds, from 0",
}
_SEE = "docs/tasks.md says what the function is given, and what it has to return"
_FIELDS = {kind.__name__: kind.__struct_fields__ for kind in (Client, Report, Round, Update)}


def loaded(directory: Path, settings: Federation) -> ModuleType | Finding:
    """policies.py, or why it is none."""
    try:
        module = custom_policies.load(directory, settings)
    except InvalidPolicyError as error:
        return _finding(directory / FILE_NAME, error, "error")
    except BaseException as error:  # sys.exit() as well
        return _finding(directory / FILE_NAME, error, "error", f"{FILE_NAME} can't be loaded")
    assert module is not None  # noqa: S101 - the settings ask for functions
    return module


def try_out(
    module: ModuleType, directory: Path, settings: Federation, model: dict[str, Array], report: Report | None
) -> list[Finding]:
    """What is wrong with its functions, called as in a round of four clients. `model` has the tensors of the global
    model, and `report` is that of one client, if there are such."""
    reports = {thing: report or _report(settings, thing) for thing in _THINGS}
    found = []
    for name in settings.custom_functions:
        if name == "average" and not model:
            continue
        try:
            _call(name, getattr(module, name), settings, model, reports)
        except InvalidPolicyError as error:
            is_certain = error.__cause__ is None or isinstance(error.__cause__, (*_CODE, ValueError))
            found.append(_finding(directory / FILE_NAME, error, "error" if is_certain else "warning"))
    return found


def _call(
    name: str, function: Callable[..., Any], settings: Federation, model: dict[str, Array], reports: dict[str, Report]
) -> None:
    match name:
        case "choose_clients":
            clients = [
                ClientRecord(
                    federation=settings.name,
                    thing=thing,
                    turnaround_s=10.0 + index,
                    last_seen=1.7e9,
                    component_version="0.1.0",
                    architecture="aarch64",
                    memory_bytes=2**31,
                    cpu_count=4,
                    examples=reports[thing].examples,
                )
                for index, thing in enumerate(_THINGS)
            ]
            selection_policy_of("custom").choose(
                Candidates(
                    clients=clients,
                    cohort=cohort_of(settings.selection, len(clients)),
                    round_number=1,
                    generator=random.Random(0),  # noqa: S311 - as rounds have it
                    choose_clients=function,
                )
            )
        case "is_complete":
            custom_policies.call(function, bool, _round(settings, reports))
        case "average":
            updates = (
                Update(thing=thing, report=each, delta={name: array * 0 for name, array in model.items()})
                for thing, each in reports.items()
            )
            custom_change(function, updates, model)
        case "next_round_delay":
            ended = EndedRound(round=_round(settings, reports), opened_at=0.0, next_round_delay=function)
            not_before(settings.pacing, ended)


def _round(settings: Federation, reports: dict[str, Report]) -> Round:
    return Round(
        federation=settings.name,
        number=1,
        cohort=_THINGS,
        accepted=len(reports),
        refused=0,
        target=len(reports),
        quorum=2,
        elapsed_s=30.0,
        reports=reports,
    )


def _report(settings: Federation, thing: str) -> Report:
    return Report(
        federation=settings.name,
        round=1,
        thing=thing,
        base="0" * 64,
        encoding=settings.encoding,
        examples=100,
        steps=10,
        before={"loss": 2.3, "accuracy": 0.1},
        after={"train_loss": 1.0, "loss": 1.1, "accuracy": 0.6},
        timings=_TIMINGS,
    )


def _finding(path: Path, error: BaseException, severity: Any, told: str | None = None) -> Finding:
    cause = error.__cause__ or error
    text = f"{told}: {type(error).__name__}: {error}" if told else str(error).replace(f"{path} ", f"{FILE_NAME} ")
    missing = _MISSING.search(str(error))
    if missing is not None:
        return _missing(path, missing[1], text)
    line = _line_in(path, cause)
    if line is not None:
        return at(path, line, text, remedy_of(cause, Context(None, _FIELDS)) or _SEE, severity=severity)
    name, line = next(((name, _line_of(path, name)) for name in _RETURNS if name in text), ("", None))
    return at(path, line, text, f"return {_RETURNS[name]}" if name else _SEE, severity=severity)


def _missing(path: Path, name: str, text: str) -> Finding:
    functions = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)]
    near = difflib.get_close_matches(name, [function.name for function in functions], n=1)
    if not near:
        return at(path, None, text, f"write one: def {name}(...): docs/tasks.md shows it")
    line = next(function.lineno for function in functions if function.name == near[0])
    return at(path, line, text, f"did you mean {name}? Rename {near[0]} to {name}")


def _line_in(path: Path, error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.walk_tb(error.__traceback__)
    return next(iter([line for frame, line in frames if frame.f_code.co_filename == str(path)][::-1]), None)


def _line_of(path: Path, name: str) -> int | None:
    """Where a function begins."""
    nodes = ast.parse(path.read_bytes()).body
    return next((node.lineno for node in nodes if isinstance(node, ast.FunctionDef) and node.name == name), None)
