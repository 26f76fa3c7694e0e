"""The lines that the functions log, as text."""

import logging
import time


def write() -> None:
    """Have them written, from INFO on. Lambda has a handler for that; where there is none, as in the embedded AWS, one
    writes what Lambda's does: level, time, request and text, with tabs between them."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    if not root.handlers:
        formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s\t\t%(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        handler = logging.StreamHandler()
        handler.setFormatter(formatter)
        root.addHandler(handler)
