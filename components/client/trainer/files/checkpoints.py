"""The checkpoints of one round's training: what `resume` and `checkpoint` of a task do in the training process."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from components.client.trainer.files.round_files import CheckpointState, RoundFiles
from components.client.trainer.interruptions import StoppedError
from components.client.trainer.learning import randomness
from components.client.trainer.model import state_dict
from components.client.trainer.model.travelling_tensors import (
    fault_of,
    outside_state_dict,
    put,
    put_outside_state_dict,
    takes_outside_state_dict,
    tensors_of,
)
from components.client.trainer.task.returned_values import ValueRefusedError, checkpoint_values
from fedgrass.task import Checkpoint
from protocol import tensors
from protocol.messages import Numbers
from protocol.tensors import Array, InvalidTensorsError

log = logging.getLogger(__name__)

_MODEL, _LEFT_OUT, _RANDOM, _TASK = "model/", "left out/", "random/", "task/"


class Checkpoints:
    """What goes on when the process was cut off: the model, the random number generators, the training's own state.

    A checkpoint is due each `steps` steps, or at each epoch's end if that is 0; but at most every `interval_s`, since
    each costs a write of the model to the device's card. `stopping` says whether the process has been asked to end.
    """

    def __init__(
        self,
        files: RoundFiles,
        examples: int,
        *,
        steps: int,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._examples = examples
        self._steps = steps
        self._interval_s = interval_s
        self._clock = clock
        self._saved_at = clock()
        self._started_at: float | None = None
        self._found: tuple[CheckpointState, tensors.Header, bytearray] | None = None
        self._before: Numbers = {}
        self._downloaded_at = 0.0
        self._train_s = 0.0
        self._can_stop = False
        self.stopping = False

    @property
    def train_s(self) -> float:
        """How long it has been trained, in this process and in those that were cut off."""
        running_s = 0.0 if self._started_at is None else self._clock() - self._started_at
        return self._train_s + running_s

    def find(self) -> CheckpointState | None:
        """The checkpoint of this round, if one is left and still fits the data."""
        loaded = self._files.load_checkpoint()
        if loaded is None:
            return None
        state, body = loaded
        try:
            header = tensors.parse_header(body, len(body))
        except InvalidTensorsError as error:
            self._files.drop_checkpoint(str(error))
            return None
        if state.examples != self._examples:
            self._files.drop_checkpoint(f"it was made from {state.examples} examples, now there are {self._examples}")
            return None
        self._found = state, header, body
        return state

    def begin(self, before: Numbers, downloaded_at: float) -> None:
        """Training starts: what each checkpoint says of the round so far."""
        self._before, self._downloaded_at = before, downloaded_at
        self._saved_at = self._started_at = self._clock()

    def end(self) -> None:
        """Training is over: a checkpoint that it did not take up is of no use any more."""
        self._train_s, self._started_at = self.train_s, None
        self._found = None
        self._can_stop = False

    def stop(self) -> bool:
        """Has the next step saved a checkpoint and end the process; False if this training knows no checkpoints."""
        self.stopping = self._can_stop
        return self._can_stop

    def resume(self, model: nn.Module) -> Checkpoint | None:
        """See `fedgrass.task.resume`."""
        self._can_stop = True
        if self._found is None:
            return None
        (state, header, body), self._found = self._found, None
        values = state_dict.views(header, body)
        saved, beside = _under(_MODEL, values), _under(_LEFT_OUT, values)
        if {name: (value.dtype, value.shape) for name, value in saved.items()} != {
            name: (value.dtype, value.shape) for name, value in tensors_of(model).items()
        } or not takes_outside_state_dict(model, beside):
            self._files.drop_checkpoint("its tensors are not the model's")
            return None
        put(model, saved)
        put_outside_state_dict(model, beside)
        randomness.restore({name: value.numpy() for name, value in _under(_RANDOM, values).items()})
        self._train_s = state.train_s
        log.info("training goes on from its checkpoint", extra={"reason": f"trained for {state.train_s:.1f} s before"})
        return Checkpoint({name: value.clone() for name, value in _under(_TASK, values).items()}, state.values)

    def due(self, step: int, *, epoch_ended: bool) -> bool:
        """See `fedgrass.task.checkpoint_due`."""
        if self.stopping:
            return True
        regular = step % self._steps == 0 if self._steps else epoch_ended
        return regular and self._clock() - self._saved_at >= self._interval_s

    def save(self, model: nn.Module, values: Mapping[str, Any], own: Mapping[str, Tensor]) -> None:
        """See `fedgrass.task.checkpoint`.

        Raises:
            StoppedError: the process is to end.
            ValueRefusedError: something among the values or tensors cannot be kept.
        """
        for name, value in own.items():
            fault = fault_of(name, value)
            if fault is not None:
                raise ValueRefusedError(f"checkpoint(): {fault}")
        arrays, dtypes = state_dict.to_arrays(
            {_MODEL + name: value for name, value in tensors_of(model).items()}
            | {_LEFT_OUT + name: value for name, value in outside_state_dict(model).items()}
            | {_TASK + name: value for name, value in own.items()}
        )
        states: dict[str, Array] = {_RANDOM + name: array for name, array in randomness.capture().items()}
        dtypes |= {name: "U8" if array.dtype.itemsize == 1 else "I64" for name, array in states.items()}
        state = CheckpointState(
            examples=self._examples,
            before=self._before,
            downloaded_at=self._downloaded_at,
            train_s=self.train_s,
            values=checkpoint_values(values),
        )
        self._files.save_checkpoint(state, tensors.dump(arrays | states, dtypes, ""))
        self._saved_at = self._clock()
        if self.stopping:
            raise StoppedError


def _under(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
