"""What the files of a run folder say: a line of rounds.jsonl, a row of clients.csv, summary.json.

docs/runs.md has a table of each. What is unknown to a reader is ignored, and a field that is not there has its default:
folders of older and newer versions can be read. A field is never renamed.
"""

from typing import Literal

import msgspec

from cloud.state.records import BestModel
from cloud.state.spread import Spread
from protocol.messages import Numbers

CONFIG, ROUNDS, CLIENTS, SUMMARY = "config.yaml", "rounds.jsonl", "clients.csv", "summary.json"
MODEL, TORCH_MODEL = "model.safetensors", "model.pt"

REPORT = "report.html"

SCHEMAS = {CONFIG: 1, ROUNDS: 1, CLIENTS: 1, SUMMARY: 1, MODEL: 1, TORCH_MODEL: 1}
"""The version of what each file says. It is raised when a reader of the one before would be misled."""

FILES = (*SCHEMAS, REPORT)
"""All that a run folder has. The report is for people: it says nothing that the others don't."""

Source = Literal["run", "simulate", "aws"]
Clock = Literal["wall", "simulated"]
RunStatus = Literal["ready", "running", "paused", "finished", "interrupted", "failed"]
ClientState = Literal["accepted", "failed", "declined", "refused", "vanished", "unanswered"]

WAIT = "wait"
STEPS = ("open", "notify", "download", "train", "upload", "inspect", WAIT, "average", "close")
"""What the time of a round goes to, on the way of the client whose update came last. A round waits after that, until
others have answered, or for its deadline."""


class RoundLine(msgspec.Struct, frozen=True, kw_only=True):
    """A round that has ended. If it `evaluates`, nobody trained in it."""

    round: int
    status: Literal["closed", "aborted"]
    reason: str | None = None
    opened_at: float
    ended_at: float
    round_s: float
    split: dict[str, float] = {}
    training_s: float = 0.0
    cohort: int
    target: int
    quorum: int
    extended: bool = False
    carried: int = 0
    accepted: int = 0
    failed: int = 0
    refused: int = 0
    vanished: int = 0
    examples: int = 0
    evaluates: bool = False
    metrics: Numbers = {}
    spreads: dict[str, Spread] = {}
    held_out: Numbers = {}
    not_finite: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    learning_rate: float
    bytes_down: int = 0
    bytes_up: int = 0
    spent_usd: float | None = None
    model_sha256: str

    def seconds_of(self, step: str) -> float:
        """What of its time went to one of STEPS; all of it to waiting, if no update came."""
        if not self.split:
            return self.round_s if step == WAIT else 0.0
        return self.split.get(step, 0.0)


class ClientRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a client in a round. `metrics` are its own, as those of the round are called; each is a column of
    its own in the file."""

    round: int
    client: str
    state: ClientState
    reason: str | None = None
    examples: int | None = None
    steps: int | None = None
    bytes: int | None = None
    norm: float | None = None
    turnaround_s: float | None = None
    wait_s: float | None = None
    download_s: float | None = None
    train_s: float | None = None
    upload_s: float | None = None
    inspect_s: float | None = None
    train_alone_s: float | None = None
    metrics: Numbers = {}


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine has that wrote the folder; None is not installed."""

    fedgrass: str | None = None
    python: str
    torch: str | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's value, and the round that had it."""

    round: int
    value: float


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over the rounds. `best` is there if its name tells whether more is better."""

    last: Measured
    best: Measured | None = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """All metrics by name: those of the clients together, and those on held-out data."""

    clients: dict[str, MetricSummary] = {}
    held_out: dict[str, MetricSummary] = {}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the rounds that are in the folder."""

    rounds: int = 0
    closed: int = 0
    aborted: int = 0
    accepted: int = 0
    failed: int = 0
    refused: int = 0
    vanished: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    round_s: float = 0.0


class SavedModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model that lies in the folder, and the round that made it."""

    round: int
    sha256: str
    bytes: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The run as a whole."""

    source: Source
    federation: str
    life: str = ""
    status: RunStatus
    reason: str | None = None
    seed: int = 0
    clock: Clock = "wall"
    rounds: int = 0
    rounds_asked: int
    started_at: float | None = None
    ended_at: float | None = None
    created_at: float
    written_at: float
    metrics: Metrics = Metrics()
    totals: Totals = Totals()
    model: SavedModel | None = None
    best: BestModel | None = None
    stopped: str = ""
    spent_usd: float | None = None
    torch_model_missing: str | None = None
    left_out: dict[str, int] = {}
    versions: Versions
    schemas: dict[str, int] = {}
