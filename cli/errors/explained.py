"""An error, as a command tells it."""

from typing import NamedTuple

from cli.errors.aws import AWS_KINDS, kind_of_answer
from cli.errors.kind import ExitCode, Kind, RelayedError
from cli.errors.table import INTERNAL, INTERRUPTED, KINDS

_BY_CLASS = {name: kind for kind in KINDS for name in kind.raised_as}


class Failure(NamedTuple):
    """Why a command failed."""

    code: str
    exit_code: int
    message: str


def is_bug(error: BaseException) -> bool:
    """Whether its trace is of use."""
    return not isinstance(error, RelayedError) and kind_of(error) is INTERNAL


def kind_of(error: BaseException) -> Kind:
    """The kind of an error; INTERNAL, if it is none that a user can do something about."""
    for each in type(error).__mro__:
        kind = _BY_CLASS.get(f"{each.__module__}.{each.__qualname__}")
        if kind is not None:
            response = getattr(error, "response", None)
            return kind_of_answer(response) if kind.code == "aws_error" and response else kind
    return INTERNAL


def explained(error: BaseException) -> Failure:
    """What there is to say of an error."""
    if isinstance(error, RelayedError):
        return Failure(error.code, error.exit_code, str(error))
    kind = kind_of(error)
    return Failure(kind.code, kind.exit_code, "; ".join([_message(error, kind), *getattr(error, "__notes__", ())]))


def _message(error: BaseException, kind: Kind) -> str:
    if kind is INTERNAL:
        return f"{type(error).__name__}: {error}"
    if kind is INTERRUPTED:
        return str(error) or "interrupted"
    if kind in AWS_KINDS:
        return f"{kind.meaning} ({error})"
    if kind.exit_code is ExitCode.WRONG_USAGE and hasattr(error, "format_message"):
        return _usage(error)
    return str(error) or kind.meaning


def _usage(error: BaseException) -> str:
    """What typer says, and where to read on."""
    context = getattr(error, "ctx", None)
    message = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    return f"{message}; see {context.command_path} --help" if context else message
