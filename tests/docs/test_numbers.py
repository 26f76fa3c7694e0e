"""Numbers that the documents state are those that the code has."""

import pytest

from cli.chaos import ACCURACY_MARGIN
from cloud.averaging.sums import GROUP
from cloud.settings import MAX_COHORT
from cloud.state.lifecycle import MAX_ATTEMPTS, MIN_LEASE_S
from cloud.state.object_cache import CACHE_BYTES
from cloud.state.transactions import TRANSACTION_ITEMS
from components.client.agent.configuration import Configuration
from components.client.agent.state_machine import CONFIRM_S
from components.client.reasons import MAX_REASON_BYTES
from protocol.encodings import BLOCK
from protocol.messages import MAX_MESSAGE_BYTES, MAX_REPORT_BYTES
from protocol.upload_parts import IN_PARTS_BYTES
from sandbox.faults import MIN_DEVICES, MIN_ROUNDS
from tests.paths import ROOT

DEVICE = Configuration(federation="f", bucket="b")
MEBIBYTE = 1 << 20

STATED = {
    "README.md": [f"({DEVICE.reconcile_s:g} s is the default)"],
    "docs/architecture.md": [
        f"looked for in the shadow {CONFIRM_S:g} s later",
        f"An update of {IN_PARTS_BYTES // MEBIBYTE} MiB and more is sent in parts",
        f"at most {CACHE_BYTES // MEBIBYTE} MiB: those are not read again",
        f"{GROUP} in a group",
        f"the lease ends ({MIN_LEASE_S:g} s and more",
        f"at most {MAX_COHORT:,} clients (`MAX_COHORT`)",
        f"those of the first {TRANSACTION_ITEMS - 2} clients of the cohort",
        f"scale for each {BLOCK} numbers",
        f"Messages stay under {MAX_MESSAGE_BYTES // 1024} kB",
    ],
    "docs/operating.md": [f"averaging was cut off, the last of {MAX_ATTEMPTS} times"],
    "docs/running.md": [
        f"at least {MIN_ROUNDS} rounds and {MIN_DEVICES} devices",
        f"more than {100 * ACCURACY_MARGIN:g} points below",
    ],
    "docs/security.md": [
        f"a reason, up to {MAX_REASON_BYTES} bytes",
        f"The report in it is at most {MAX_REPORT_BYTES // 1024} kB",
    ],
    "docs/tasks.md": [
        f"stays for `keep_warm_s` ({DEVICE.keep_warm_s:g})",
        f"at most every `checkpoint_s` seconds ({DEVICE.checkpoint_s:g})",
        f"amount, up to {MAX_COHORT:,}",
        f"return more than {MAX_REPORT_BYTES // 1024} KiB of numbers together",
        f"one scale for each {BLOCK} numbers",
    ],
}


@pytest.mark.parametrize("document", STATED)
def test_numbers_are_stated_as_they_are(document: str) -> None:
    text = " ".join((ROOT / document).read_text().split())
    assert [stated for stated in STATED[document] if stated not in text] == []
