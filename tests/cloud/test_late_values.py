"""Updates that are late or carried over, to models with batch normalization: their buffers and counters are values, and
what is wrong with a new model is told."""

import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from cloud.averager.responses.schemas import Schemas
from cloud.state.models import MissingObjectError
from cloud.state.records import RoundRecord
from protocol import names
from protocol.encodings import UpdateLayout
from protocol.messages import ModelReference, RoundNotice, decode
from protocol.tensors import Array, load, to_float32
from sandbox.function_logs import function_lines
from sandbox.polling import eventually
from tests.cloud.examples import update_of
from tests.cloud.simulated import SimulatedFederation

DTYPES = {"w": "F32", "bn.running_var": "F32", "bn.num_batches_tracked": "I64"}
BUFFERS = ("bn.running_var",)
BUFFERED: dict[str, Any] = {"max_staleness": 2, "averaging": {"rule": "mean"}, "deadline_s": 600.0, "extension_s": 0.0}


def model(w: float, variance: float, batches: int, numbers: int = 6) -> dict[str, Array]:
    return {
        "bn.num_batches_tracked": np.array(batches, "<i8"),
        "w": np.full(numbers, w, "<f4"),
        "bn.running_var": np.full(4, variance, "<f4"),
    }


INITIAL = model(1.0, 1.0, 0)


class Devices:
    """Devices that say what they made of the model that they were given."""

    def __init__(self, simulated: SimulatedFederation) -> None:
        self._simulated = simulated

    def trained(self, thing: str, number: int, base: ModelReference, made: dict[str, Array], **changes: Any) -> bytes:
        simulated = self._simulated
        header, given = load(simulated.operations.models.get(base.downloaded))
        delta = {}
        for name, value in made.items():
            dtype = header.by_name[name].dtype
            delta[name] = value - (to_float32(given[name], dtype) if dtype == "BF16" else given[name])
        report = simulated.report(thing, number, base=base.downloaded.sha256, **changes)
        return update_of(delta, report, BUFFERS)

    def answer(self, thing: str, number: int, made: dict[str, Array], **changes: Any) -> None:
        assigned = self._simulated.assignment(thing, number)
        self._simulated.put(thing, number, self.trained(thing, number, assigned.model, made, **changes))


def closed(simulated: SimulatedFederation, number: int) -> tuple[RoundRecord, dict[str, Any]]:
    record = simulated.ended(number)
    assert (record.status, record.reason) == ("closed", None)
    assert record.model is not None
    return record, load(simulated.operations.models.get(record.model))[1]


def retained(simulated: SimulatedFederation) -> RoundNotice:
    answer = simulated.aws.client("iot-data").get_retained_message(topic=names.round_topic(simulated.name))
    return decode(answer["payload"], RoundNotice)


@pytest.mark.parametrize("download", ["model", "bfloat16"])
def test_a_late_update_brings_the_variance_that_its_device_measured(
    simulated: SimulatedFederation, download: str
) -> None:
    simulated.create(["d0", "d1"], INITIAL, DTYPES, BUFFERS, rounds=2, target=1, download=download, **BUFFERED)
    devices, initial = Devices(simulated), simulated.current()[0]
    simulated.start()
    devices.answer("d0", 1, model(1.5, 0.02, 40))
    _, first = closed(simulated, 1)
    np.testing.assert_allclose(first["bn.running_var"], 0.02, rtol=1e-5)  # a difference to 1, in float32

    simulated.opened(2)
    simulated.put("d1", 1, devices.trained("d1", 1, initial, model(3.0, 0.03, 50)))
    record, second = closed(simulated, 2)
    # Alone, it is the mean of the values; the parameters take its step.
    np.testing.assert_allclose(second["bn.running_var"], 1.0 + np.float64(np.float32(0.03) - np.float32(1)), rtol=1e-7)
    assert second["bn.num_batches_tracked"] == 50
    np.testing.assert_allclose(second["w"], 1.5 + 2.0)
    assert record.warnings == ()


def test_an_update_that_is_carried_over_to_a_newer_model_brings_its_values(simulated: SimulatedFederation) -> None:
    settings = BUFFERED | {"averaging": {"rule": "mean", "carry_over": True}}
    things = ["d0", "d1", "d2"]
    simulated.create(things, INITIAL, DTYPES, BUFFERS, rounds=3, target=2, quorum=2, **settings)
    devices, initial = Devices(simulated), simulated.current()[0]
    simulated.start()
    for thing in ("d0", "d2"):
        devices.answer(thing, 1, model(1.0, 0.02, 40))
    closed(simulated, 1)
    simulated.opened(2)
    simulated.put("d1", 1, devices.trained("d1", 1, initial, model(1.0, 0.5, 100)))
    simulated.accepted_count(2, 1)
    simulated.reach_deadline(2)
    assert simulated.ended(2).status == "aborted"
    third = simulated.opened(3)
    assert [(carried.thing, carried.age) for carried in third.carried] == [("d1", 2)]
    for thing in ("d0", "d2"):  # which work on since round 2
        devices.answer(thing, 2, model(1.0, 0.01, 70))
    _, found = closed(simulated, 3)
    weights = [1 / math.sqrt(1 + age) for age in (1, 2, 1)]
    np.testing.assert_allclose(found["bn.running_var"], np.average([0.01, 0.5, 0.01], weights=weights), rtol=1e-5)
    assert found["bn.num_batches_tracked"] == round(np.average([70, 100, 70], weights=weights))


def test_several_invocations_rebase_late_updates_and_find_negative_variances(simulated: SimulatedFederation) -> None:
    numbers = 3 << 20
    settings = BUFFERED | {"averaging": {"rule": "mean", "shards": 2}, "max_staleness": 1}
    simulated.create(["d0", "d1"], model(1.0, 1.0, 0, numbers), DTYPES, BUFFERS, rounds=2, target=1, **settings)
    devices, initial = Devices(simulated), simulated.current()[0]
    simulated.start()
    devices.answer("d0", 1, model(1.5, 0.02, 40, numbers))
    record, _ = closed(simulated, 1)
    assert record.work is not None
    assert record.warnings == ()
    simulated.opened(2)
    made = model(3.0, 0.03, 50, numbers) | {"bn.running_var": np.array([0.03, 0.03, -0.5, 0.03], "<f4")}
    simulated.put("d1", 1, devices.trained("d1", 1, initial, made))
    record, second = closed(simulated, 2)
    assert record.work is not None
    np.testing.assert_allclose(second["bn.running_var"], made["bn.running_var"], rtol=1e-5)
    (warning,) = record.warnings
    assert "'bn.running_var'" in warning
    assert "negative" in warning


def test_if_the_old_model_is_gone_the_values_are_left_out_and_the_round_says_so(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], INITIAL, DTYPES, BUFFERS, rounds=2, target=1, **BUFFERED)
    devices, initial = Devices(simulated), simulated.current()[0]
    simulated.start()
    late = devices.trained("d1", 1, initial, model(3.0, 0.03, 50))
    devices.answer("d0", 1, model(1.5, 0.02, 40))
    closed(simulated, 1)
    simulated.opened(2)
    simulated.settled()
    simulated.aws.client("s3").delete_object(Bucket=simulated.deployed.bucket, Key=initial.key)
    simulated.put("d1", 1, late)
    record, second = closed(simulated, 2)
    np.testing.assert_allclose(second["bn.running_var"], 0.02, rtol=1e-5)
    assert second["bn.num_batches_tracked"] == 40
    np.testing.assert_allclose(second["w"], 3.5)
    (warning,) = record.warnings
    assert warning.startswith("buffers and integers of 1 late updates are left out: the model that round 1 began with")


def test_what_an_update_must_look_like_is_known_when_its_model_is_gone(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], INITIAL, DTYPES, BUFFERS, rounds=2, target=1, **BUFFERED)
    initial = simulated.current()[0]
    simulated.start()
    Devices(simulated).answer("d0", 1, model(1.5, 0.02, 40))
    first, _ = closed(simulated, 1)
    operations = simulated.operations

    def layout() -> UpdateLayout:  # in an execution environment that has seen nothing yet
        return Schemas(operations.models, operations.federations).of(first)

    before = layout()
    simulated.aws.client("s3").delete_object(Bucket=simulated.deployed.bucket, Key=initial.key)
    assert layout() == before
    assert first.model is not None
    simulated.aws.client("s3").delete_object(Bucket=simulated.deployed.bucket, Key=first.model.key)
    with pytest.raises(MissingObjectError, match=re.escape(first.model.key)):
        layout()


def test_a_negative_variance_and_metrics_that_are_not_finite_are_told(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], INITIAL, DTYPES, BUFFERS, rounds=1, target=2, averaging={"rule": "mean"})
    devices = Devices(simulated)
    simulated.start()
    devices.answer("d0", 1, model(1.0, -3.0, 10), before={"loss": 0.3}, after={"loss": None, "accuracy": 0.5})
    devices.answer("d1", 1, model(1.0, 0.5, 10), before={"loss": 0.5}, after={"loss": None, "accuracy": None})
    record, found = closed(simulated, 1)
    assert (found["bn.running_var"] < 0).all()
    assert record.metrics == {"loss_before": 0.4, "accuracy_after": 0.5}
    assert record.not_finite == {"loss_after": 2, "accuracy_after": 1}
    (warning,) = record.warnings
    assert "'bn.running_var'" in warning
    notice = eventually(lambda: told if (told := retained(simulated)).state == "closed" else None, "the notice")
    assert (notice.metrics, notice.not_finite) == (record.metrics, record.not_finite)
    assert notice.warnings == [warning]


def test_what_late_updates_take_is_a_read_of_the_model_that_they_were_trained_from(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(["d0", "d1"], INITIAL, DTYPES, BUFFERS, rounds=2, target=1, **BUFFERED)
    devices, initial = Devices(simulated), simulated.current()[0]
    late = devices.trained("d1", 1, initial, model(3.0, 0.03, 50))
    simulated.start()
    devices.answer("d0", 1, model(1.5, 0.02, 40))
    closed(simulated, 1)
    simulated.opened(2)
    simulated.settled()

    def closing() -> list[Counter[str]]:
        lines = function_lines(simulated.aws, simulated.deployed.averager)
        mine = [line for line in lines if line.federation == simulated.name]
        return [Counter(line.calls) for line in mine if "s3.PutObject" in line.calls]

    simulated.put("d1", 1, late)
    closed(simulated, 2)
    in_time, too_late = eventually(lambda: made if len(made := closing()) == 2 else None, "both lines")
    # The update and its federation's header, which either may have read; the present model, and what is asked about.
    assert 1 <= too_late["s3.GetObject"] <= in_time["s3.GetObject"] + 3
    assert (
        too_late["dynamodb.BatchGetItem"] <= in_time["dynamodb.BatchGetItem"] + 3
    )  # both rounds, and that of the base
