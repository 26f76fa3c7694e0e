"""A check's findings, for people to read."""

from collections.abc import Iterator

from cli.checking.checks import Checked
from cli.plurals import counted

_LISTED = 12


def summary(checked: Checked) -> Iterator[str]:
    """What there is to know beside the findings."""
    if checked.printed:
        yield "what the task has printed:"
        yield from (f"  | {line}" for line in checked.printed.splitlines())
    yield from _facts(checked)
    yield from (f"not checked: {each}" for each in checked.not_checked)


def counts(checked: Checked) -> str:
    """How many errors and warnings there are."""
    errors = len(checked.errors)
    warnings = len(checked.findings) - errors
    told = ", ".join(counted(count, kind) for count, kind in ((errors, "error"), (warnings, "warning")) if count)
    return told or "nothing is wrong that could be found"


def _facts(checked: Checked) -> Iterator[str]:
    facts = checked.facts
    if checked.preset:
        yield "with its preset: " + ", ".join(f"{name} {_shown(value)}" for name, value in checked.preset.items())
    if checked.packed:
        total = sum(each.size_bytes for each in checked.packed)
        yield f"to devices go {counted(len(checked.packed), 'file')}, {total:,} bytes:"
        for each in sorted(checked.packed, key=lambda each: -each.size_bytes)[:_LISTED]:
            yield f"{each.size_bytes:>15,}  {each.name}"
        if checked.packed[_LISTED:]:
            yield f"                 and {len(checked.packed) - _LISTED} more"
        for name, reason in list(checked.left_out.items())[:_LISTED]:
            yield f"       left out  {name}: {reason}"
    if facts.parameters is not None:
        yield (
            f"model: {facts.parameters:,} parameters in {counted(facts.tensors or 0, 'tensor')}; a device downloads "
            f"{facts.model_bytes:,} bytes and uploads {facts.update_bytes:,}"
        )
    if facts.examples is not None:
        yield (
            f"data: {facts.clients_loaded} of {counted(facts.clients or 0, 'client')}; the first one has "
            f"{facts.examples:,} examples to train on and {facts.test_examples or 0:,} to test on"
        )
    for name, metrics in (("before", facts.before), ("after one step", facts.after)):
        if metrics:
            yield f"{name}: " + " ".join(
                f"{key} {'not finite' if value is None else format(value, '.4g')}" for key, value in metrics.items()
            )
    if checked.round_time is not None:
        guess = checked.round_time
        yield f"a round would take a device about {_duration(guess.total_s)}: a guess, from {guess.how}"


def _shown(value: object) -> str:
    """A setting, as federation.yaml has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(item)}" for name, item in value.items()) + "}"
    return str(value)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
