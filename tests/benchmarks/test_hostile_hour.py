"""benchmarks/hostile_hour.py: what one device can do in an hour, and that each kind of it is carried through."""

import pytest

from benchmarks.hostile_hour import ATTACKS, Attack


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.kind)
def test_a_device_does_no_more_than_its_line_and_the_limits_of_aws_iot_allow(attack: Attack) -> None:
    most = {"connection": 100.0, "shadow": 20.0, "line": 20e6 / 8 / (2_000 + attack.body_bytes)}
    assert attack.a_second == pytest.approx(most[attack.limit])


def test_each_limit_is_tried_and_each_kind_once() -> None:
    assert {attack.limit for attack in ATTACKS} == {"connection", "shadow", "line"}
    assert len({attack.kind for attack in ATTACKS}) == len(ATTACKS)
