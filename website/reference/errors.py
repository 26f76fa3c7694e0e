"""Every error code, by the status that the command ends with."""

from cli.errors.kind import MEANINGS, ExitCode
from cli.errors.table import KINDS
from website.markdown import code, prose, table


def page() -> str:
    """The page."""
    parts = [
        "# Error codes\n",
        "With `--json` a command that fails prints its error's `code`, which never changes its meaning, and",
        "a `message` for people, which may. [Commands, for scripts](../commands.md) says more.\n",
    ]
    for status in ExitCode:
        kinds = sorted((kind.code, kind.meaning) for kind in KINDS if kind.exit_code is status)
        parts.append(f"## Status {status:d}\n")
        parts.append(f"{prose(MEANINGS[status])}\n")
        if kinds:
            parts.append(table(("code", "meaning"), ((code(name), prose(meaning)) for name, meaning in kinds)))
    return "\n".join(parts)
