"""Every key of federation.yaml: from the structs that it becomes."""

import re
from collections.abc import Iterator

import msgspec

from cloud.settings import (
    Averaging,
    Evaluation,
    Federation,
    LocalTraining,
    Pacing,
    Schedule,
    Selection,
    ServerOptimizer,
    Stop,
)
from website.markdown import docstring
from website.reference.documents import meanings
from website.reference.fields import listed, of_struct

_BELOW: dict[str, type[msgspec.Struct]] = {
    "training": LocalTraining,
    "selection": Selection,
    "averaging": Averaging,
    "pacing": Pacing,
    "stop": Stop,
    "evaluation": Evaluation,
}
_ABOUT = {
    key: re.sub(r"\]\((?=[a-z-]+\.md)", "](../", meaning.replace("see below", "[more](tasks.md#federationyaml)"))
    for key, meaning in meanings("tasks.md", "field").items()
}


def page() -> str:
    """The page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield "# federation.yaml\n"
    yield "Every key, what it takes, and what it is if it is not written. [Writing a task](../tasks.md#federationyaml)"
    yield "explains what they do together; `fedgrass check` says what is wrong with a file of yours.\n"
    yield listed(Federation, _ABOUT | {name: f"[below](#{name})" for name in _BELOW})
    for name, kind in _BELOW.items():
        own = {key.removeprefix(f"{name}."): meaning for key, meaning in _ABOUT.items() if key.startswith(f"{name}.")}
        yield f"## {name}\n\n{docstring(kind)}\n\n{listed(kind, own)}"
    yield from _choices("training.schedule", Schedule.__args__)
    yield from _choices("averaging.optimizer", ServerOptimizer.__args__)


def _choices(key: str, kinds: tuple[type[msgspec.Struct], ...]) -> Iterator[str]:
    yield f"## {key}\n"
    for kind in kinds:
        yield f"### name: {kind.__struct_config__.tag}\n\n{of_struct(kind)}"
