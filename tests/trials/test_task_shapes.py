"""Tasks of other shapes train, and a task that does not train is found out."""

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from trials.shapes.catalogue import SHAPES, TASKS, Shape
from trials.shapes.federation import carry_through
from trials.shapes.judge import Judged, JudgedTensor, Kind, Measured
from trials.shapes.verdict import Before, Ended, RoundEnd, problems

SHAPE = Shape(
    name="any", trained=("lora",), moves=("norm.running_var",), stays=("mask",), ends={"steps": 24}, accuracy=0.5
)


def tensor(name: str, kind: Kind, *, changed: bool) -> JudgedTensor:
    return JudgedTensor(name=name, kind=kind, numbers=4, changed=changed, finite=True, lowest=0.5)


TENSORS = [
    tensor("weight", "trainable", changed=True),
    tensor("lora", "buffer", changed=True),
    tensor("base", "frozen", changed=False),
    tensor("norm.running_var", "buffer", changed=True),
    tensor("mask", "buffer", changed=False),
    JudgedTensor(name="steps", kind="buffer", numbers=1, changed=True, finite=True, lowest=24),
]
ROUND = RoundEnd(round=1, status="closed", reason=None, asked=2, accepted=2, failures={})
JUDGED = Judged(
    tensors=TENSORS,
    start={"loss": 2.0, "accuracy": 0.1},
    end={"loss": 1.0, "accuracy": 0.8},
    given={1: {"a": {"loss": 2.1, "accuracy": 0.25}}},
)
BEGAN_ELSEWHERE = "a did not begin round 1 with the model that it was given: it measured "
GOOD = Ended(
    rounds=[ROUND], befores=[Before(round=1, thing="a", metrics={"loss": 2.1, "accuracy": 0.25})], judged=JUDGED
)


def with_tensor(name: str, **changes: bool | float) -> Ended:
    tensors = [msgspec.structs.replace(each, **changes) if each.name == name else each for each in TENSORS]
    return msgspec.structs.replace(GOOD, judged=msgspec.structs.replace(JUDGED, tensors=tensors))


def with_metrics(**metrics: float | None) -> Ended:
    return msgspec.structs.replace(GOOD, judged=msgspec.structs.replace(JUDGED, end=JUDGED.end | metrics))


def with_round(**changes: object) -> Ended:
    return msgspec.structs.replace(GOOD, rounds=[msgspec.structs.replace(ROUND, **changes)])


def with_before(metrics: Measured) -> Ended:
    return msgspec.structs.replace(GOOD, befores=[Before(round=1, thing="a", metrics=metrics)])


def test_a_federation_that_trains_has_no_problems() -> None:
    assert list(problems(SHAPE, GOOD)) == []


@pytest.mark.parametrize(
    ("ended", "found"),
    [
        (Ended(trouble="RunError: no hello"), "RunError: no hello"),
        (Ended(refusal="error: no"), "fedgrass init: error: no"),
        (with_round(status="aborted", reason="0 updates"), "round 1 is aborted: 0 updates"),
        (with_round(accepted=1), "round 1 has 1 of 2 updates"),
        (with_round(failures={"b": "failed: why"}), "b in round 1: failed: why"),
        (with_tensor("weight", changed=False), "tensor 'weight' has not changed"),
        (with_tensor("lora", changed=False), "tensor 'lora' has not changed"),
        (msgspec.structs.replace(GOOD, buffers=("lora",)), "tensor 'lora' is trained, and is taken for a buffer"),
        (with_tensor("norm.running_var", changed=False), "tensor 'norm.running_var' has not changed"),
        (with_tensor("base", changed=True), "tensor 'base' has changed, and is not trained"),
        (with_tensor("mask", changed=True), "tensor 'mask' has changed, and is not trained"),
        (with_tensor("weight", finite=False), "tensor 'weight' is not finite any more"),
        (with_tensor("norm.running_var", lowest=-0.1), "a variance in 'norm.running_var' is -0.1"),
        (with_tensor("steps", lowest=25), "tensor 'steps' is 25, it has to be 24"),
        (with_metrics(loss=1.99), "loss on data that no device has went from 2 to 1.99"),
        (with_metrics(accuracy=0.4), "the accuracy is 0.4, it has to be 0.5 to 1"),
        (with_metrics(accuracy=1.4), "the accuracy is 1.4, it has to be 0.5 to 1"),
        (with_metrics(loss=None), "loss on data that no device has went from 2 to no number"),
        (with_metrics(accuracy=None), "the accuracy is no number, it has to be 0.5 to 1"),
        (msgspec.structs.replace(GOOD, befores=[]), "no device has told the metrics of the model that it was given"),
        (with_before({"loss": 2.3, "accuracy": 0.25}), BEGAN_ELSEWHERE + "accuracy 0.25, loss 2.3, the model has "),
        (with_before({}), BEGAN_ELSEWHERE + "nothing, the model has accuracy 0.25, loss 2.1"),
    ],
)
def test_what_does_not_train_is_found_out(ended: Ended, found: str) -> None:
    (problem,) = problems(SHAPE, ended)
    assert problem.startswith(found)


def test_what_cannot_train_has_to_be_refused_with_its_words() -> None:
    shape = Shape(name="any", refused="'phase'")
    assert list(problems(shape, Ended(refusal="error: tensor 'phase' is complex"))) == []
    aborted = with_round(status="aborted", failures={"a": "declined: 'phase' is complex"})
    assert list(problems(shape, aborted)) == []
    assert list(problems(shape, Ended(refusal="error: no"))) == ["it was refused without \"'phase'\": error: no"]
    assert list(problems(shape, GOOD)) == [
        "it was not refused with \"'phase'\"",
        "round 1 closed, though it can't train",
    ]


def test_every_task_of_the_folder_is_in_the_catalog() -> None:
    names = [shape.name for shape in SHAPES]
    assert sorted(names) == sorted(path.parent.name for path in TASKS.glob("*/task.py"))
    assert all(shape.special for shape in SHAPES)


def test_tasks_of_other_shapes_train(aws: EmbeddedAws, deployed: Deployment) -> None:
    devices = {"one-scalar": 1, "chosen-adapters": 1, "extra-state": 2, "refused-complex": 1}
    shapes = [msgspec.structs.replace(shape, devices=devices[shape.name]) for shape in SHAPES if shape.name in devices]
    with ThreadPoolExecutor(2) as lanes:
        running = {shape.name: lanes.submit(carry_through, aws, deployed, shape, threading.Event()) for shape in shapes}
    assert {name: each.result().problems for name, each in running.items()} == {name: [] for name in devices}
