"""What --json prints: one line, whatever the command, and however it ends."""

from collections.abc import Sequence
from typing import Any

from cli.errors.explained import Failure
from cli.errors.kind import ExitCode
from cli.screen import write_json

VERSION = 1


class Call:
    """A command that was given: which, whether its result is to be JSON, and the result, once it has one. `words` is
    what was typed; the command's own parser knows better, once it has understood them."""

    def __init__(self, words: Sequence[str], command: str | None) -> None:
        options = words[: words.index("--")] if "--" in words else words
        self.command = command
        self.as_json = "--json" in options
        self.result: Any = None

    def write(self, failure: Failure | None = None) -> None:
        """Print the envelope."""
        envelope: dict[str, Any] = {
            "v": VERSION,
            "command": self.command,
            "ok": failure is None,
            "exit_code": int(failure.exit_code if failure else ExitCode.DONE),
        }
        if failure is not None:
            envelope["error"] = {"code": failure.code, "message": failure.message}
        if self.result is not None:
            envelope["result"] = self.result
        write_json(envelope)
