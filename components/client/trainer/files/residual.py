"""What a lossy encoding left out of this device's last update, kept for its next one (`protocol.encodings`).

Each round has one file, in a directory for residuals alone. Two are kept: that of the last update sent, and the one
which that update was made with. A device that is cut off before it notes the end of a round trains the round again:
from the same residual, so that it gives the same bytes. A lost residual costs accuracy of one update, and no more.
"""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from components.client import durable
from protocol.encodings import Floats
from protocol.messages import InvalidMessageError, Message, decode, encode
from protocol.tensors import InvalidTensorsError, check_schema, encode_header, layout, load

log = logging.getLogger(__name__)

_NAME = re.compile(r"([0-9]{8})\.safetensors")
_TENSOR = "residual"


class Owner(Message, frozen=True, kw_only=True):
    """Whose residual a file holds: `schema` is the `schema_id` of the model's tensors."""

    federation: str
    life: str = ""
    thing: str = ""
    schema: str


class _OtherOwnerError(Exception):
    """A residual of another federation, life, thing or kind of model."""


class Residuals:
    """The residuals of one owner, of the coordinates of `n_parameters` parameters. `replace` is how a file is written
    whole."""

    def __init__(
        self,
        directory: Path,
        owner: Owner,
        n_parameters: int,
        replace: Callable[..., None] = durable.replace,
    ) -> None:
        self._replace = replace
        self._directory = directory
        self._owner = owner
        self._n_parameters = n_parameters

    def before(self, round_number: int) -> Floats | None:
        """What the last update before this round left out; None if there was none, or it can't be read."""
        for number in sorted((number for number in self._rounds() if number < round_number), reverse=True):
            path = self._path(number)
            try:
                return self._read(path)
            except _OtherOwnerError as error:
                log.warning("dropped a residual", extra={"reason": error})
                self._delete(path)
            except (OSError, InvalidTensorsError, InvalidMessageError) as error:
                log.warning("cannot use %s; this update starts without a residual", path, extra={"error": error})
                return None
        return None

    def keep(self, round_number: int, residual: Floats) -> None:
        """Note what the update of this round left out, now that it is sent.

        If that fails, no residual is left: one that was sent already must not be sent again.
        """
        try:
            self._directory.mkdir(exist_ok=True)
            self._write(self._path(round_number), residual)
            used = max((number for number in self._rounds() if number < round_number), default=round_number)
            for number in self._rounds():
                if number not in (used, round_number):
                    self._path(number).unlink()
        except OSError as error:
            log.warning("cannot keep the residual; the next update starts without", extra={"error": error})
            self._forget()

    def _read(self, path: Path) -> Floats:
        header, arrays = load(path.read_bytes())
        owner = decode(header.message, Owner)
        for field in ("federation", "life", "thing", "schema"):
            found, wanted = getattr(owner, field), getattr(self._owner, field)
            if found != wanted:
                raise _OtherOwnerError(f"it is of another {field}: {found!r}, not {wanted!r}")
        check_schema(header, {_TENSOR: ("F32", (self._n_parameters,))})
        if not np.isfinite(arrays[_TENSOR]).all():
            raise InvalidTensorsError("it has values that are not finite")
        return arrays[_TENSOR]

    def _write(self, path: Path, residual: Floats) -> None:
        header = encode_header(layout({_TENSOR: ("F32", residual.shape)}), encode(self._owner))
        self._replace(path, header, residual.tobytes())

    def _rounds(self) -> list[int]:
        if not self._directory.is_dir():
            return []
        return [int(match[1]) for path in self._directory.iterdir() if (match := _NAME.fullmatch(path.name))]

    def _path(self, round_number: int) -> Path:
        return self._directory / f"{round_number:08d}.safetensors"

    def _forget(self) -> None:
        for path in self._directory.glob("*"):
            self._delete(path)

    def _delete(self, path: Path) -> None:
        try:
            path.unlink()
        except OSError as error:
            log.warning("cannot delete %s", path, extra={"error": error})
