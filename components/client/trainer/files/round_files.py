"""What one round keeps on the device's disk, so that a power cut does not cost it: the finished update, or else the
last checkpoint of its training.

There is at most one of each. Whatever does not belong to the round that asks for it is dropped, with a line in the log.
"""

import logging
import shutil
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from components.client import sealed
from components.client.sealed import TornFileError
from protocol.messages import Numbers, Training

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint"
UPDATE = "update"


class Belonging(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a kept file is: it is good for exactly the life, round, model, task and settings that it was made from.

    `model` and `task` are SHA-256, `component` is the version of com.fedgrass.Client.
    """

    federation: str
    thing: str
    life: str = ""
    round: int
    model: str
    task: str
    training: Training
    encoding: str
    component: str


class CheckpointState(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says beside its tensors: where the round was, and the training's own values.

    `examples` is the size of the data that it was made from, `before` the metrics of the global model, `train_s` how
    long it has been trained for up to here.
    """

    examples: int
    before: Numbers
    downloaded_at: float
    train_s: float
    values: dict[str, Any]


class UpdateState(msgspec.Struct, frozen=True, kw_only=True):
    """What an update that waits for its upload says beside its bytes: where it goes. `schema` is the `schema_id` of
    the model's tensors, which the residual of a lossy encoding is bound to."""

    bucket: str
    key: str
    schema: str
    update_bytes: int


class Update(msgspec.Struct, frozen=True):
    """A finished update: the bytes to upload, and the residual in float32, no bytes if its encoding leaves none."""

    state: UpdateState
    body: bytes
    residual: bytes


_State = TypeVar("_State")


class RoundFileHeader(msgspec.Struct, Generic[_State], frozen=True, kw_only=True):
    """The header of a kept file."""

    belonging: Belonging
    state: _State


class RoundFiles:
    """The files of one round in `directory`, which is made if it is missing.

    A file that cannot be written costs no more than the work that it would have saved, so that is logged, once, and
    the round goes on.
    """

    def __init__(self, directory: Path, belonging: Belonging) -> None:
        self._directory = directory
        self._belonging = belonging
        self._complained = False

    def save_checkpoint(self, state: CheckpointState, body: bytes) -> None:
        """Replaces the checkpoint."""
        self._save(CHECKPOINT, RoundFileHeader(belonging=self._belonging, state=state), body)

    def load_checkpoint(self) -> tuple[CheckpointState, bytearray] | None:
        """The checkpoint of this round, if there is one."""
        return self._load(CHECKPOINT, RoundFileHeader[CheckpointState])

    def save_update(self, update: Update) -> None:
        """Keeps the finished update; the checkpoint that led to it goes."""
        self._save(UPDATE, RoundFileHeader(belonging=self._belonging, state=update.state), update.body, update.residual)
        self._drop(CHECKPOINT)

    def load_update(self) -> Update | None:
        """The finished update of this round, if there is one."""
        found = self._load(UPDATE, RoundFileHeader[UpdateState])
        if found is None:
            return None
        state, raw = found
        return Update(state, bytes(raw[: state.update_bytes]), bytes(raw[state.update_bytes :]))

    def drop_checkpoint(self, reason: str) -> None:
        """Removes a checkpoint that turned out to be of no use."""
        log.warning("dropped the checkpoint", extra={"reason": reason})
        self._drop(CHECKPOINT)

    def clear(self) -> None:
        """Removes all: the round is over."""
        try:
            shutil.rmtree(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("cannot remove what was kept of the round", extra={"error": error})

    def _save(self, name: str, header: msgspec.Struct, *body: bytes) -> None:
        try:
            self._directory.mkdir(exist_ok=True)
            sealed.write(self._directory / name, header, *body)
        except OSError as error:
            if not self._complained:
                log.warning("cannot keep the %s: a power cut would cost the round's work", name, extra={"error": error})
            self._complained = True

    def _load(self, name: str, kind: type[RoundFileHeader[_State]]) -> tuple[_State, bytearray] | None:
        try:
            found = sealed.read(self._directory / name, kind)
            if found is None:
                return None
            header, body = found
            fault = _difference(header.belonging, self._belonging)
        except (TornFileError, OSError) as error:
            fault = str(error)
        if fault is None:
            return header.state, body
        log.warning("dropped the %s that was kept", name, extra={"reason": fault})
        self._drop(name)
        return None

    def _drop(self, name: str) -> None:
        try:
            (self._directory / name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot remove the %s that was kept", name, extra={"error": error})


def _difference(found: Belonging, wanted: Belonging) -> str | None:
    """What sets the two apart, for the log."""
    for field in Belonging.__struct_fields__:
        other, own = getattr(found, field), getattr(wanted, field)
        if other != own:
            return f"it belongs to another {field}: {_short(other)}, not {_short(own)}"
    return None


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:40]}...{text[-37:]}"  # SHA-256 is shown whole
