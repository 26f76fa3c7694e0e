"""What is tried out for a request, in the process that it happens in."""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from cli.checking import policies_trial
from cli.checking.findings import Entered, Event, Finding, Found, Request

if TYPE_CHECKING:
    from protocol.messages import Report
    from protocol.tensors import Array


def try_out(request: Request, say: Callable[[Event], None]) -> None:
    """Try the task and the policies of a request out, and say what is found. Imports torch if there is a task."""
    policies = _policies(request, say)
    model: dict[str, Array] = {}
    report: Report | None = None
    if request.task is not None:
        from cli.checking.task_trial import TaskTrial
        from cloud.averaging.update_tensors import base_values

        trial = TaskTrial(request, lambda step: say(Entered(step)), say)
        trial.run()
        report = trial.report
        model = base_values(trial.model) if trial.model else {}
    if policies is not None:
        say(Entered("the functions of policies.py"))
        for finding in policies_trial.try_out(policies, request.directory, request.settings, model, report):
            say(Found(finding))


def _policies(request: Request, say: Callable[[Event], None]) -> ModuleType | None:
    if not request.settings.custom_functions:
        return None
    say(Entered("the import of policies.py"))
    loaded = policies_trial.loaded(request.directory, request.settings)
    if isinstance(loaded, Finding):
        say(Found(loaded))
        return None
    return loaded
