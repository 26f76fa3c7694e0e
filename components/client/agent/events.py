"""What the agent is told, and what it wants done about it: the events and effects of its state machine."""

from typing import Literal

import msgspec

from components.client.agent.last_assignment import Finished
from components.client.agent.shadow import Shadow
from protocol.messages import Assignment, Progress


class Moment(msgspec.Struct, frozen=True):
    """Now, by both clocks: `wall` is told to others, `monotonic` measures time."""

    wall: float
    monotonic: float


class Started(msgspec.Struct, frozen=True):
    """The agent runs and has subscribed to its shadow's topics."""


class Connected(msgspec.Struct, frozen=True):
    """The device's MQTT connection is back, or its subscriptions are new: what came meanwhile was missed."""


class ShadowArrived(msgspec.Struct, frozen=True):
    """A GET was answered; `Shadow()` if there is no shadow yet."""

    shadow: Shadow


class ShadowChanged(msgspec.Struct, frozen=True):
    """A delta says that the shadow, now of this version, wants something that this device has not reported."""

    version: int


class DataLoaded(msgspec.Struct, frozen=True):
    """The training process has loaded this device's data."""

    examples: int


class ReadinessChanged(msgspec.Struct, frozen=True):
    """The conditions of the configuration let this device train, or do so no more."""


class TrainingAdvanced(msgspec.Struct, frozen=True):
    """How far the training is. In a final phase it has ended."""

    progress: Progress


class StepEntered(msgspec.Struct, frozen=True):
    """The training process has come to this step of the assignment, None: it waits, and has not begun."""

    step: str | None


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


Event = (
    Started
    | Connected
    | ShadowArrived
    | ShadowChanged
    | DataLoaded
    | ReadinessChanged
    | TrainingAdvanced
    | StepEntered
    | Tick
)


class Get(msgspec.Struct, frozen=True):
    """Ask for the shadow."""


class Publish(msgspec.Struct, frozen=True):
    """Update the shadow; a newer update replaces one that is not sent yet."""

    payload: bytes


class SayHello(msgspec.Struct, frozen=True):
    """Publish what this device is."""

    examples: int | None


class Train(msgspec.Struct, frozen=True):
    """Hand the assignment to the training process."""

    assignment: Assignment


class Cancel(msgspec.Struct, frozen=True):
    """Stop the training that is under way."""

    reason: Literal["superseded", "withdrawn", "deadline"]


class Remember(msgspec.Struct, frozen=True):
    """Save this for the time after a restart."""

    finished: Finished


class Forget(msgspec.Struct, frozen=True):
    """Tell the operator, by the log, that what was remembered belongs to an earlier federation of this name."""

    finished: Finished


class Complain(msgspec.Struct, frozen=True):
    """Tell the operator, by the log, of what cannot be reported."""

    reason: str


class Unanswered(msgspec.Struct, frozen=True):
    """No document has come for so long: tell the operator, and when the shadow is asked for again."""

    silent_s: float
    retry_s: float


Effect = Get | Unanswered | Publish | SayHello | Train | Cancel | Remember | Forget | Complain
