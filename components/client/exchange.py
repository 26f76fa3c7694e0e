"""What the agent and its training process say to each other: JSON lines over two pipes.

The agent numbers its requests in rising order, because a round can be asked for twice.
"""

import msgspec

from protocol.messages import Assignment, Progress


class TrainerConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same from round to round: the training process gets it before all requests.

    `held_out` is the share of examples that is kept for evaluation if the task gives no test set; `work` is a directory
    that outlives the process; a checkpoint is made each `checkpoint_steps` steps, after each epoch if that is 0, but at
    most every `checkpoint_s` seconds; `memory_mb` is what the process may allocate, 0 for no limit; `events` is the
    file descriptor that it writes its events to.
    """

    federation: str
    thing: str
    bucket: str
    artifacts: str
    dataset: str
    held_out: float
    work: str
    threads: int
    checkpoint_steps: int
    checkpoint_s: float
    niceness: int
    memory_mb: float
    events: int


class Train(msgspec.Struct, frozen=True, tag="train"):
    """Asks for a round of local training; `accepted_at` goes into the update's timings. `cloud_offset_s` is the
    cloud's time less the monotonic clock, which is the same for all processes; None if it is not known."""

    number: int
    assignment: Assignment
    accepted_at: float
    cloud_offset_s: float | None


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Calls off all requests up to `number`."""

    number: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Tells the process to end, with a checkpoint if it is in training that makes some."""


class Began(msgspec.Struct, frozen=True, tag="began"):
    """The process has loaded torch and the task, and works on the request."""

    number: int


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """The request has come to this step, named so that a reason can say where it was: "train() of task.py"."""

    number: int
    step: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The task's data is loaded."""

    number: int
    examples: int


class Advanced(msgspec.Struct, frozen=True, tag="advanced"):
    """The request is this far."""

    number: int
    progress: Progress


class NotReady(msgspec.Struct, frozen=True, tag="not-ready"):
    """The request was not begun, since the task's `ready` says that the device may not train now."""

    number: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The request has ended, in one of the final phases."""

    number: int
    progress: Progress


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The request was called off, and has stopped."""

    number: int


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The process was told to end, and does so; what it had done is saved, for another one to go on with."""


Request = Train | Cancel | Stop
Event = Began | Entered | Loaded | Advanced | NotReady | Ended | Cancelled | Stopped
