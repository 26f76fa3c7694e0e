"""cloud/log_lines.py: what the functions log is written, once, with a handler of Lambda's or without."""

import re
import subprocess
import sys

import pytest

from tests.paths import ROOT

SAYS = """
import logging, sys
from cloud import log_lines
{handler}
for _ in range(2):
    log_lines.write()
logging.getLogger("cloud").info("federation=%s", "digits")
"""


@pytest.mark.parametrize(
    ("handler", "written"),
    [
        ("", r"\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t\tfederation=digits\n"),
        ("logging.getLogger().addHandler(logging.StreamHandler())", r"federation=digits\n"),
    ],
    ids=["without a handler", "with one"],
)
def test_a_line_is_written_once_and_as_lambda_does_if_nobody_does(handler: str, written: str) -> None:
    program = SAYS.format(handler=handler)
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(written, ran.stderr)
