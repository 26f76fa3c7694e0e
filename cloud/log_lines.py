"""The lines that the functions log: one JSON object each, on standard output.

CloudWatch Logs finds the fields of such lines by itself. What a line is about are fields of it, so that what devices
have said can't pass for that: it is in `message`, and escaped.
"""

import logging
import sys
import time
from typing import Any

import msgspec

_FIELDS = "fields"


def write(request_id: str | None = None) -> None:
    """Have them written, from INFO on, as lines of this request, in the place of whatever wrote lines before."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines(request_id))
    root.handlers = [handler]


def about(
    federation: str | None, /, round_number: int | None = None, thing: str | None = None, **others: Any
) -> dict[str, Any]:
    """What a line is about, for the `extra` of a logging call; `others` become fields of it as well."""
    own = {"federation": federation, "round": round_number, "thing": thing}
    return {_FIELDS: {name: value for name, value in own.items() if value is not None} | others}


class _JsonLines(logging.Formatter):
    def __init__(self, request_id: str | None) -> None:
        super().__init__()
        self._request = {} if request_id is None else {"request": request_id}

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{at}.{record.msecs:03.0f}Z",
            "level": record.levelname,
            **getattr(record, _FIELDS, {}),
            "message": record.getMessage(),
            "logger": record.name,
            **self._request,
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()
