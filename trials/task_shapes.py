"""Trains tasks of many shapes, each as a user would write it, in the sandbox: the deployed functions, the built
component, devices with data of their own, whole rounds.

`python -m trials.task_shapes` takes the folders of tasks/shapes, two at a time; `--only NAME` takes one of them.
A line tells of each: the numbers and tensors of its global model, the rounds that closed, the updates that came of
those that were asked for, the loss of the first and of the last model on data that no device has, the verdict, and what
is special. "trains" means that

- every round closed with the updates of all its devices, and no device failed;
- every tensor that is trained has changed, and no other has, but for those buffers that have to;
- all numbers are finite, as far as they were, and no variance is negative;
- the loss on data that no device has went down, by the task's own evaluation, in a process that loads the models by
  plain torch;
- each device measured of the model that it was given, in each round, what that process measures of it on the same
  data: it began from that model, and from nothing else.

"refused" means that what can't train was refused, with the words that it has to be. Below a line stands what is not as
it has to be; then the exit status is 1.
"""

import concurrent.futures
import signal
import sys
import threading
import time
from typing import Annotated

import msgspec
import typer

from sandbox.sandbox import Sandbox
from trials.shapes.catalogue import SHAPES, Shape
from trials.shapes.federation import Outcome, StoppedError, carry_through

_INTERRUPTED = 130


def carry_all(shapes: list[Shape], at_a_time: int) -> list[Outcome]:
    """Carry them through, in one sandbox; what has come of each is told on standard error as soon as it is known."""
    stop = threading.Event()
    outcomes: list[Outcome] = []
    with Sandbox() as sandbox, concurrent.futures.ThreadPoolExecutor(at_a_time) as lanes:
        begun = time.monotonic()
        running = [lanes.submit(carry_through, sandbox.aws, sandbox.deployment, shape, stop) for shape in shapes]
        try:
            for done in concurrent.futures.as_completed(running):
                outcome = done.result()
                outcomes.append(outcome)
                told = "as it has to be" if not outcome.problems else f"{len(outcome.problems)} problems"
                passed_s = time.monotonic() - begun
                _say(f"{len(outcomes)} of {len(shapes)} after {passed_s:.0f} s: {outcome.name}, {told}")
        except BaseException:
            stop.set()
            lanes.shutdown(wait=False, cancel_futures=True)
            raise
    order = {shape.name: place for place, shape in enumerate(shapes)}
    return sorted(outcomes, key=lambda outcome: order[outcome.name])


HEADING = (
    f"{'name':22} {'numbers':>9} {'tensors':>7} {'rounds':>6} {'updates':>7}  {'loss':>18}  {'verdict':7}  "
    "what is special"
)


def line(outcome: Outcome, shape: Shape) -> str:
    """One line of the table."""
    good = "trains" if shape.refused is None else "refused"
    measured = "" if outcome.start is None or outcome.end is None else f"{outcome.start:.3g} -> {outcome.end:.3g}"
    return (
        f"{outcome.name:22} {outcome.numbers:>9,} {outcome.tensors:>7,} {f'{outcome.closed}/{outcome.rounds}':>6} "
        f"{f'{outcome.accepted}/{outcome.asked}':>7}  {measured:>18}  {'FAILS' if outcome.problems else good:7}  "
        f"{outcome.special}"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(
    only: Annotated[list[str] | None, typer.Option(help="A shape's name; may be given more than once.")] = None,
    at_a_time: Annotated[int, typer.Option(min=1, help="How many federations at a time.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of the table.")] = False,
) -> None:
    """Print the table; exit with 1 if something is not as it has to be."""
    known = {shape.name: shape for shape in SHAPES}
    if unknown := set(only or ()) - known.keys():
        _say(f"error: there is no shape {min(unknown)!r}; there are {', '.join(known)}")
        raise typer.Exit(2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job would ignore
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    try:
        outcomes = carry_all([known[name] for name in only] if only else list(SHAPES), at_a_time)
    except (KeyboardInterrupt, StoppedError):
        _say("interrupted: everything that was started is stopped, and its files are removed")
        raise typer.Exit(_INTERRUPTED) from None
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    seconds = round(time.monotonic() - begun, 1)
    if as_json:
        figures = {"shapes": outcomes, "failed": failed, "seconds": seconds}
        print(msgspec.json.encode(figures).decode())
    else:
        print(HEADING)
        for outcome in outcomes:
            print(line(outcome, known[outcome.name]))
            for problem in outcome.problems:
                print("    " + problem.replace("\n", "\n    "))
        print(f"{len(outcomes)} tasks, {failed} not as they have to be, in {seconds:.0f} s")
    raise typer.Exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)
