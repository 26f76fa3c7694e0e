"""What a simulation and its workers say to each other: one request at a time."""

import msgspec

from protocol.messages import Assignment
from simulation.backend import Done, NotDone, Work
from simulation.local_clients import Setup


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """Load the task of these clients: the first request."""

    setup: Setup


class CountExamples(msgspec.Struct, frozen=True, tag="count"):
    """Load the data of a client."""

    thing: str


class Model(msgspec.Struct, frozen=True, tag="model"):
    """Train from this global model, or evaluate it and the moving average, from now on. There is no answer."""

    file: bytes
    average: bytes


class Compute(msgspec.Struct, frozen=True, tag="compute"):
    """Do a client's work for an assignment, to train or to evaluate, with the last model."""

    assignment: Assignment
    work: Work


Request = Begin | CountExamples | Model | Compute


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The task is loaded."""


class Unusable(msgspec.Struct, frozen=True, tag="unusable"):
    """The task cannot be loaded."""

    reason: str


class Examples(msgspec.Struct, frozen=True, tag="examples"):
    """How many training examples a client has."""

    thing: str
    count: int


Result = Examples | Done | NotDone
"""What comes of a request for one client."""

Answer = Ready | Unusable | Result
