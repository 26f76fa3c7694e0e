"""Whether inspection refuses every update that went wrong: no crash, no wrong one accepted, no memory beyond a bound.

`python -m trials.fuzz_inspection --mutations 100000` mutates good updates in each encoding. The last line is JSON. The
exit status is 1 if there is a defect; each is printed with its encoding and seed, by which `fuzzing.mutations.mutate`
makes it again.
"""

import contextlib
import sys
import tracemalloc
from collections import Counter
from typing import Annotated, get_args

import msgspec
import typer

from cloud.averager.responses.inspection import RefusedError, inspect, max_bytes
from protocol.messages import Encoding
from sandbox.example_updates import ExampleUpdate, example_update
from trials.fuzzing.mutations import BUFFERS, SCHEMA, mutate
from trials.fuzzing.update_judge import accepted_wrongly

ALLOWED_BYTES = 2_000_000
"""What inspecting an update may take beside its bytes: a block of coordinates, the header, and a report of 64 kB that
holds as many numbers as it can."""

_MEASURE_EVERY = 20
_TELL_EVERY = 10_000
_PRINTED = 20


class Verdict(msgspec.Struct, frozen=True):
    """What inspection made of one mutation: `refused` is the class of the reason, `defect` what it should not do."""

    refused: str | None = None
    defect: str | None = None
    crashed: bool = False


def examine(good: ExampleUpdate, seed: int) -> Verdict:
    """Inspect the mutation of this seed. A file larger than any good one never gets as far, so it counts as refused."""
    data = mutate(good, seed)
    if len(data) > max_bytes(good.layout):
        return Verdict(refused="too large")
    try:
        inspected = inspect(data, good.name, good.record, good.layout)
    except RefusedError as error:
        return Verdict(refused=str(error).partition(":")[0])
    except Exception as error:  # whatever it is, it is what the fuzzing looks for
        return Verdict(defect=f"{type(error).__name__}: {error}", crashed=True)
    return Verdict(defect=accepted_wrongly(good, data, inspected))


def peak_bytes(good: ExampleUpdate, data: bytes) -> int:
    """The most that inspecting these bytes holds at once, beside them."""
    tracemalloc.start()
    try:
        with contextlib.suppress(RefusedError):
            inspect(data, good.name, good.record, good.layout)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(
    mutations: Annotated[int, typer.Option(min=1, help="How many updates to mutate.")] = 100_000,
    first_seed: Annotated[int, typer.Option(help="The seed of the first; the others follow.")] = 0,
) -> None:
    """Print what became of the mutations as JSON."""
    goods = [example_update(SCHEMA, encoding, buffers=BUFFERS) for encoding in get_args(Encoding)]
    reasons: Counter[str] = Counter()
    accepted = crashed = peak = defects = 0
    for seed in range(first_seed, first_seed + mutations):
        good = goods[seed % len(goods)]
        verdict = examine(good, seed)
        if verdict.refused:
            reasons[verdict.refused] += 1
        elif verdict.defect is None:
            accepted += 1
        else:
            defects += 1
            crashed += verdict.crashed
            if defects <= _PRINTED:
                print(f"{good.layout.encoding}, seed {seed}: {verdict.defect}")
        if seed % _MEASURE_EVERY == 0:
            data = mutate(good, seed)
            if len(data) <= max_bytes(good.layout):
                peak = max(peak, peak_bytes(good, data))
        done = seed - first_seed + 1
        if done % _TELL_EVERY == 0:
            sys.stderr.write(f"{done} of {mutations} mutations, {defects} defects\n")
    figures = {
        "mutations": mutations,
        "accepted": accepted,
        "refused": reasons.total(),
        "crashed": crashed,
        "wrongly_accepted": defects - crashed,
        "peak_bytes": peak,
        "allowed_bytes": ALLOWED_BYTES,
        "reasons": dict(reasons.most_common()),
    }
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    if defects or peak > ALLOWED_BYTES:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
