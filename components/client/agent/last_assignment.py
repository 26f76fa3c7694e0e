"""What the agent remembers across restarts: the last assignment that it finished."""

import logging
from pathlib import Path

import msgspec

from components.client import durable
from protocol.messages import Progress

log = logging.getLogger(__name__)


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment that came to an end, told apart by its life and round and its model's SHA-256 ("" if it was
    malformed)."""

    sha256: str
    progress: Progress

    def is_of(self, life: str, round_number: int, sha256: str) -> bool:
        """Whether this is the end of that assignment."""
        return (self.progress.life, self.progress.round, self.sha256) == (life, round_number, sha256)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    federation: str
    finished: Finished
    thing: str = ""


def load(path: Path, federation: str, thing: str) -> Finished | None:
    """What was saved for this federation on this device, None if nothing was or it cannot be read. A card may have been
    copied for another device.

    A file that cannot be read costs no more than a round trained twice, so it is logged and left behind.
    """
    saved = _read(path)
    if saved is None:
        return None
    if (saved.federation, saved.thing) != (federation, thing):
        log.warning(
            "dropped what was remembered",
            extra={"reason": f"it is of federation {saved.federation} and thing {saved.thing or 'unknown'}"},
        )
        return None
    return saved.finished


def last(path: Path) -> Finished | None:
    """What was saved, for whichever federation."""
    saved = _read(path)
    return None if saved is None else saved.finished


def _read(path: Path) -> _File | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("cannot read %s; going on without it", path, extra={"error": error})
        return None


def save(path: Path, federation: str, thing: str, finished: Finished) -> None:
    """Replaces the file in one step, so that a power cut leaves the old one or the new one.

    Raises:
        OSError: the disk is full, or read-only.
    """
    durable.replace(path, msgspec.json.encode(_File(federation=federation, thing=thing, finished=finished)))
