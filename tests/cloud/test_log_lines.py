"""cloud/log_lines.py: each line that the functions log is one JSON object, whatever is in it."""

import json
import subprocess
import sys

from tests.paths import ROOT

SAYS = """
import logging, sys
from cloud import log_lines
logging.getLogger().addHandler(logging.StreamHandler())
for request in ("first", "second"):
    log_lines.write(request)
log = logging.getLogger("cloud")
log.info("opened %d", 3, extra=log_lines.about("digits", 3))
try:
    raise ValueError("of a device:\\n[ERROR]")
except ValueError:
    log.exception("failed", extra=log_lines.about("digits", thing="pi-7", reason='a "quoted"\\x1b[2J one'))
log.debug("no such line")
"""


def test_a_line_has_what_it_is_about_as_fields_and_is_written_once_in_place_of_others() -> None:
    ran = subprocess.run([sys.executable, "-c", SAYS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    opened, failed = [json.loads(line) for line in ran.stdout.splitlines()]
    assert opened.pop("time").endswith("Z")
    assert opened == {
        "level": "INFO",
        "federation": "digits",
        "round": 3,
        "message": "opened 3",
        "logger": "cloud",
        "request": "second",
    }
    assert (failed["level"], failed["thing"], "round" in failed) == ("ERROR", "pi-7", False)
    assert failed["reason"] == 'a "quoted"\x1b[2J one'
    assert failed["trace"].endswith("ValueError: of a device:\n[ERROR]")
