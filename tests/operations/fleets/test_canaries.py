"""operations/fleets/canaries.py: who gets a deployment first."""

import pytest

from operations.fleets import canaries
from operations.fleets.canaries import TooFewCanariesError
from operations.fleets.groups import LITE, CoreDevice


def device(thing: str, architecture: str = "aarch64", *, lite: bool = False, healthy: bool = True) -> CoreDevice:
    runtime = LITE if lite else "aws_nucleus_classic"
    return CoreDevice(thing=thing, runtime=runtime, architecture=architecture, is_healthy=healthy)


def test_canaries_are_of_as_many_architectures_as_there_are() -> None:
    devices = [device("a"), device("b"), device("c", "amd64"), device("d", "amd64")]
    assert canaries.chosen(devices, (), 2) == ["a", "c"]
    assert canaries.chosen(devices, (), 3) == ["a", "b", "c"]


def test_those_that_are_canaries_stay_and_are_joined_by_others_if_they_are_too_few() -> None:
    devices = [device("a"), device("b"), device("c")]
    assert canaries.chosen(devices, {"c"}, 1) == ["c"]
    assert canaries.chosen(devices, {"c"}, 2) == ["a", "c"]
    assert canaries.chosen(devices, {"b", "c", "gone"}, 1) == ["b", "c"]


def test_a_device_that_can_be_none_is_not_chosen() -> None:
    devices = [device("a", lite=True), device("b", healthy=False), device("c")]
    assert canaries.chosen(devices, (), 1) == ["c"]
    with pytest.raises(
        TooFewCanariesError, match=r"2 canaries are asked for, and only 1 of 3 .*, and 1 have nucleus lite"
    ):
        canaries.chosen(devices, (), 2)
