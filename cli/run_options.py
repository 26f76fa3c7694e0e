"""What a run on this machine is told."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from reporting.tracking_process import TrackerName
from sandbox.nucleus.personality import CLASSIC, Personality


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was told, beside the project. `nuclei` is what the devices run, in turn; what there is of the sandbox
    at the end is kept in the folder `keep`, and the rounds are written to the run folder `out`, of which the tracker
    `track` is told. `call_latency_s` delays every AWS call of the functions."""

    nuclei: Sequence[Personality] = (CLASSIC,)
    port: int = 0
    keep: Path | None = None
    out: Path | None = None
    track: TrackerName | None = None
    call_latency_s: float | None = None
