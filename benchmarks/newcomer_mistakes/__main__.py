"""How soon a newcomer is told a mistake, by the command as it is typed: `python -m benchmarks.newcomer_mistakes`.

Each mistake is made in a folder of its own, and `fedgrass check` called on it. The first time is until the message is
there, whole; the second until the command has ended. Alone on a machine these are what a user sees.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.newcomer_mistakes import commonest, in_settings, in_task
from benchmarks.newcomer_mistakes.mistake import SETTINGS, TASK, Mistake, write
from components.text import printable

ROOT = Path(__file__).parents[2]
KINDS = {
    "task.py": (in_task.MISTAKES, commonest.IN_TASK),
    "federation.yaml": (in_settings.MISTAKES, commonest.IN_SETTINGS),
}
SOUND = Mistake("none", {"task.py": TASK, "federation.yaml": SETTINGS}, ("nothing is wrong",))


class Told(NamedTuple):
    """When a message was there, if it ever was, and when the command had ended, in seconds; and the message."""

    told_s: float | None
    ended_s: float
    message: str


def told(mistake: Mistake) -> Told:
    """Make the mistake, and have it checked."""
    with tempfile.TemporaryDirectory(prefix="fedgrass-mistake-") as folder:
        project, data = write(mistake, Path(folder))
        arguments = [sys.executable, "-m", "cli.main", "check", str(project), "--data", str(data)]
        begun = time.monotonic()
        process = subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "200"}
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        text, told_s = "", None
        for line in process.stdout:
            text += line.decode(errors="replace")
            if told_s is None and all(word in text for word in mistake.told):
                told_s = time.monotonic() - begun
        process.wait()
        return Told(told_s, time.monotonic() - begun, _message(text, mistake, folder))


def _message(text: str, mistake: Mistake, folder: str) -> str:
    """The line of the message, and its remedy."""
    lines = text.replace(f"{folder}/project/", "").splitlines()
    found = next((number for number, line in enumerate(lines) if mistake.told[0] in line), 0)
    shown = [line.strip() for line in lines[found : found + 3] if found == 0 or ":" in line or line.startswith(" ")]
    return printable(" | ".join(shown))


def main(
    only: Annotated[str, typer.Option(help="Of the mistakes, those with this in their name.")] = "",
    few: Annotated[bool, typer.Option("--few", help="Of the mistakes, the commonest.")] = False,
) -> None:
    """Print a table of the mistakes, and the figures as JSON."""
    sound = told(SOUND)
    sys.stdout.write(f"a folder without mistakes: {sound.ended_s:.1f} s\n")
    figures: dict[str, object] = {"sound_s": round(sound.ended_s, 2)}
    for kind, (mistakes, names) in KINDS.items():
        rows = []
        sys.stdout.write(f"\n{kind}\n{'mistake':<44}{'told s':>8}{'ended s':>9}  message\n")
        for mistake in mistakes:
            if only not in mistake.name or (few and mistake.name not in names):
                continue
            row = told(mistake)
            rows.append(row)
            seconds = "-" if row.told_s is None else f"{row.told_s:.1f}"
            sys.stdout.write(f"{mistake.name:<44}{seconds:>8}{row.ended_s:>9.1f}  {row.message}\n")
            sys.stdout.flush()
        figures[kind] = _figures(rows)
    sys.stdout.write(json.dumps(figures) + "\n")


def _figures(rows: Sequence[Told]) -> dict[str, float | int]:
    times = [row.told_s for row in rows if row.told_s is not None]
    return {
        "mistakes": len(rows),
        "told": len(times),
        "median_s": round(statistics.median(times), 2) if times else 0,
        "longest_s": round(max(times, default=0), 2),
    }


if __name__ == "__main__":
    typer.run(main)
