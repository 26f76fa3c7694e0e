"""A trial in this process, for what runs the task in it anyway."""

from collections.abc import Callable, Iterator
from pathlib import Path

from cli.checking.findings import Event, Facts, Finding, Found, Learned, Request
from cli.checking.trying import try_out


class TrialHere:
    """Does what the process of a trial does, without bounds on what the task may do to it. The model is written to the
    directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.facts = Facts()
        self.seconds: dict[str, float] = {}
        self.printed = ""
        self.printed_bytes = 0

    def run(self, request: Request, _tell: Callable[[str], None]) -> Iterator[Finding]:
        """What is found, when all has been looked at."""
        found: list[Finding] = []

        def say(event: Event) -> None:
            if isinstance(event, Found):
                found.append(event.finding)
            elif isinstance(event, Learned):
                self.facts = event.facts

        try_out(request, say)
        yield from found
