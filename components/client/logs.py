"""Logging of the agent and its training process: one JSON line an event."""

import logging
import sys
from typing import Any

import msgspec

_FIELDS = ("round", "phase", "reason", "topic", "error")


_place: dict[str, int | str] = {}


class _JsonLines(logging.Formatter):
    def __init__(self, **common: str) -> None:
        super().__init__()
        self._common = common

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": round(record.created, 3),
            "level": record.levelname,
            "event": record.getMessage(),
            **self._common,
            **_place,
        }
        for field in _FIELDS:
            value = getattr(record, field, None)
            if value is not None:
                line[field] = value if isinstance(value, int | float) else str(value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure(**common: str) -> None:
    """Sends log records to stdout as JSON lines: fedgrass's and the task's from INFO, those of libraries from WARNING.
    `common` (federation, thing) is part of each."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines(**common))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("components", "task"):
        logging.getLogger(name).setLevel(logging.INFO)


def place(round_number: int | None, phase: str | None) -> None:
    """Adds the round that is under way, and its phase, to each line from here on; None takes them away."""
    _place.clear()
    if round_number is not None and phase is not None:
        _place.update(round=round_number, phase=phase)
