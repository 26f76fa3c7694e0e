"""One client's part in a round, tried out: evaluate, one step of training, evaluate, describe, report."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from torch import Tensor, nn

from cli.checking import data_checks
from cli.checking.cutting_off import CutOffError, cut_off_after
from cli.checking.layers import explain
from cli.checking.telling import Teller
from cloud.initiator.learning_rate import training_in
from cloud.settings import Federation
from components.client.trainer.learning import randomness
from components.client.trainer.local_update import local_seed
from components.client.trainer.model import state_dict
from components.client.trainer.model.state_dict import DivergedError
from components.client.trainer.task.error_places import place_of
from components.client.trainer.task.loading import Task, TaskError, reportable
from fedgrass.task import Data, Metrics
from protocol import tensors
from protocol.encodings import update_layout
from protocol.messages import MAX_REPORT_BYTES, Report, Timings, Training, encode
from protocol.tensors import Header

_TEST_EXAMPLES = 256
_BRIEF_S = 0.3
"""A step that takes less is taken again, to be measured: the first one prepares."""

_TIMINGS = Timings(accepted_at=0.0, downloaded_at=0.0, trained_at=0.0, uploading_at=0.0, train_s=0.0)
_EMPTY = Report(
    federation="f",
    round=1,
    thing="t",
    base="0" * 64,
    encoding="float32",
    examples=1,
    steps=1,
    timings=_TIMINGS,
)


class LocalTrial:
    """Tries out what a device does with a global model. `facts` are what was measured."""

    def __init__(
        self, task: Task, settings: Federation, limit_s: float, entered: Callable[[str], None], teller: Teller
    ) -> None:
        self._task = task
        self._settings = settings
        self._limit_s = limit_s
        self._entered = entered
        self._teller = teller
        self._cut_off = False
        self.facts: dict[str, Any] = {}

    def run(self, thing: str, data: Data, file: bytes) -> Report | None:
        """The report that a device would send; None if it would not come to that."""
        training = training_in(self._settings, 1)
        seed = local_seed(training.seed, 1, thing)
        # Both are given: a train() of the task's own may heed one of them only.
        one_step = msgspec.structs.replace(training, epochs=training.epochs and 1, steps=1, seed=seed)
        body = bytearray(file)
        header = tensors.parse_header(body, len(body))
        base = state_dict.views(header, body)

        def global_model() -> nn.Module:
            model = self._task.build_model(training.seed)
            state_dict.load(model, header, base)
            randomness.seed(seed)
            return model

        task = self._task
        some = data_checks.few(data, training.batch_size, _TEST_EXAMPLES, any_kind=not task.trains_itself)
        before = self._evaluated(global_model(), some, data, global_model)
        if before is None:
            return None
        model = global_model()
        trained = self._trained(model, some, one_step, global_model)
        if trained is None or not self._can_send(model, header, base):
            return None
        after = self._evaluated(model, some, data, global_model)
        described = self._called("describe", lambda model: task.describe(model, some), model, global_model)
        if after is None or described is None:
            return None
        trained.pop("steps", None)
        report = Report(
            federation=self._settings.name,
            round=1,
            thing=thing,
            base="0" * 64,
            encoding=self._settings.encoding,
            examples=data.examples,
            steps=1,
            before=reportable(before),
            after=reportable({f"train_{name}": value for name, value in trained.items()} | after),
            describe=reportable(described),
            timings=_TIMINGS,
        )
        self._weigh(report)
        self.facts |= {"before": report.before, "after": report.after}
        return report

    def _trained(
        self, model: nn.Module, data: Data, settings: Training, global_model: Callable[[], nn.Module]
    ) -> Metrics | None:
        begun = time.monotonic()
        trained = self._called("train", lambda model: self._train(model, data, settings), model, global_model)
        took_s = time.monotonic() - begun
        if trained is None or self._cut_off:
            return trained
        is_one_step = not self._task.trains_itself or data.examples <= settings.batch_size
        if is_one_step and took_s < _BRIEF_S:
            again = global_model()
            begun = time.monotonic()
            self._train(again, data, settings)
            took_s = time.monotonic() - begun
        if is_one_step:
            self.facts["step_s"] = took_s
        return trained

    def _train(self, model: nn.Module, data: Data, settings: Training) -> Metrics:
        trained = self._task.train(model, data, settings)
        model.cpu()
        return trained

    def _can_send(self, model: nn.Module, header: Header, base: Mapping[str, Tensor]) -> bool:
        """Whether what training has made of the model can travel as an update."""
        self._entered("the update")
        before = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in header.tensors}
        other = state_dict.first_change(before, state_dict.schema(model))
        if other is not None:
            text = f"train() of task.py has made another model of it: {other}"
            self._teller.in_function("train", text, "leave the model's tensors their names, shapes and dtypes")
            return False
        layout = update_layout(header, self._settings.encoding)
        try:
            change = state_dict.delta(model, base, layout)
            state_dict.dump_change(change, layout, _EMPTY)
        except DivergedError as error:
            self._teller.error(error, "train")
            return False
        if not any(np.any(numbers) for numbers in change) and not self._cut_off:
            text = "training has changed nothing in the model"
            remedy = (
                "train() has to train the model that it is given, in place and not a copy; look whether the loss "
                "depends on its parameters, and whether the optimizer has them"
            )
            self._teller.in_function("train", text, remedy, "warning")
        return True

    def _evaluated(
        self, model: nn.Module, data: Data, whole: Data, global_model: Callable[[], nn.Module]
    ) -> Metrics | None:
        if not data.has_test:
            return {}
        begun = time.monotonic()
        metrics = self._called("evaluate", lambda model: self._task.evaluate(model, data), model, global_model)
        took_s = time.monotonic() - begun
        if metrics is None or self._cut_off:
            return metrics
        self.facts["evaluation_s"] = took_s * len(whole.test) / len(data.test)  # type: ignore[arg-type]
        odd = next((name for name, value in metrics.items() if not math.isfinite(value)), None)
        if odd is not None:
            text = f"evaluate() of task.py gives {odd} {metrics[odd]}"
            remedy = "such a number is left out of a round's metrics: look for a mean of nothing, or a division by 0"
            self._teller.in_function("evaluate", text, remedy, "warning")
        return metrics

    def _called(
        self,
        name: str,
        call: Callable[[nn.Module], Metrics],
        model: nn.Module,
        global_model: Callable[[], nn.Module],
    ) -> Metrics | None:
        """What a function of the task gives; {} if it took too long, None if what is wrong has been told."""
        self._cut_off = False
        try:
            with cut_off_after(self._limit_s):
                return call(model)
        except CutOffError as error:
            self._cut_off = True
            self._tell_cut_off(name, error)
            return {}
        except (TaskError, DivergedError) as error:
            again = global_model()
            with contextlib.suppress(CutOffError), cut_off_after(self._limit_s):
                self._teller.error(error, name, explain(again, lambda: call(again)))
                return None
            self._teller.error(error, name)
            return None

    def _tell_cut_off(self, name: str, error: CutOffError) -> None:
        place = place_of(error, self._task.root)
        text = f"{name}() was cut off after {self._limit_s:g} s: what it returns was not seen"
        remedy = {
            "train": "if it ends by itself, all is well: give it settings.steps to heed, and it is seen to its end",
        }.get(name, "look whether it ends; a device calls it in each round")
        self._teller.at(place, name, text, remedy)

    def _weigh(self, report: Report) -> None:
        size = len(encode(report))
        self.facts["report_bytes"] = size
        if size > MAX_REPORT_BYTES:
            text = (
                f"train(), evaluate() and describe() of task.py make a report of {size:,} bytes, "
                f"the cloud takes {MAX_REPORT_BYTES:,}"
            )
            largest = "describe" if len(report.describe) > len(report.after) else "evaluate"
            self._teller.in_function(largest, text, "return fewer numbers")
