"""cloud/state/spread.py: how a metric differs between devices."""

import msgspec
import pytest

from cloud.state.spread import Spread, spread_of


def test_the_worst_tenth_depends_on_what_is_better() -> None:
    values = [n / 20 for n in range(20)]
    accuracy, loss = spread_of(values, "accuracy_before"), spread_of(values, "loss_before")
    assert accuracy.devices == 20
    assert (accuracy.worst, accuracy.best) == pytest.approx((0.025, 0.925))
    assert (loss.worst, loss.best) == (accuracy.best, accuracy.worst)
    assert loss.median == pytest.approx(0.475)
    assert loss.deviation == pytest.approx(0.288, abs=1e-3)


def test_devices_of_unequal_weights_are_as_sure_as_fewer_of_equal_ones() -> None:
    assert spread_of([1.0, 2.0, 3.0], "loss").effective == 3
    assert spread_of([1.0, 2.0, 3.0], "loss", [5.0, 5.0, 5.0]).effective == pytest.approx(3)
    assert spread_of([1.0, 2.0], "loss", [1e300, 1.0]).effective == pytest.approx(1)


def test_values_near_the_largest_float_make_a_record_that_can_be_read() -> None:
    spread = spread_of([1.7e308, -1.7e308, 1.7e308], "loss")
    assert msgspec.json.decode(msgspec.json.encode(spread), type=Spread) == spread
