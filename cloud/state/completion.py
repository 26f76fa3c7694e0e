"""What ends a round before its deadline, looked up here and nowhere else."""

from typing import assert_never

import msgspec

from cloud.settings import CompletionName


class Completion(msgspec.Struct, frozen=True):
    """A round that does not end at its target ends when the user's `is_complete` says so, which is asked after each
    update from the least number on that a round needs."""

    ends_at_target: bool


TARGET = Completion(ends_at_target=True)
CUSTOM = Completion(ends_at_target=False)


def completion_of(name: CompletionName) -> Completion:
    """The completion that settings name."""
    match name:
        case "target":
            return TARGET
        case "custom":
            return CUSTOM
        case _:
            assert_never(name)
