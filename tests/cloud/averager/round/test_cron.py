"""cloud/averager/round/cron.py: times in cron's fields."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.round.cron import InvalidCronError, cron_of


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "moment", "time"),
    [
        ("* * * * *", "2026-11-29 11:15:12", "2026-11-29 11:16"),
        ("*/15 * * * *", "2026-11-29 11:15:00", "2026-11-29 11:30"),
        ("0 2 * * *", "2026-11-29 11:15", "2026-11-30 02:00"),
        ("30 1,13 * * *", "2026-11-29 11:15", "2026-11-29 13:30"),
        ("0 2 * * mon-fri", "2026-11-27 11:15", "2026-11-30 02:00"),
        ("0 2 * * 7", "2026-11-29 11:15", "2026-12-06 02:00"),
        ("0 2 * * sun", "2026-11-29 01:15", "2026-11-29 02:00"),
        ("5 0 1 */3 *", "2026-11-29 11:15", "2027-01-01 00:05"),
        ("0 12 13 * fri", "2026-11-29 11:15", "2026-12-04 12:00"),  # either of them, as cron has it
        ("0 12 */2 * fri", "2026-12-01 13:00", "2026-12-11 12:00"),  # both, as */2 begins with a star
        ("0 0 29 2 *", "2026-11-29 11:15", "2028-02-29 00:00"),
        ("0 22-23/1 * JAN,dec *", "2026-12-31 23:00", "2027-01-01 22:00"),
        ("10/20 8 * * *", "2026-11-29 08:10", "2026-11-29 08:30"),
    ],
)
def test_the_next_time_is_the_first_one_after_a_moment(cron: str, moment: str, time: str) -> None:
    assert cron_of(cron).after(at(moment)) == at(time)


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("0 2 * *", "has 4 fields: cron's are minute, hour, day, month, weekday"),
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("60 2 * * *", "'60' is no minute: it is 0 to 59"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 2 0 * *", "'0' is no day: it is 1 to 31"),
        ("0 2 * 13 *", "'13' is no month"),
        ("0 2 * * 8", "'8' is no weekday"),
        ("0 2 * * funday", "'funday' is no weekday"),
        ("5-1 2 * * *", "'5-1' is no minute"),
        ("*/0 2 * * *", "is no minute"),
        ("0, 2 * * *", "'' is no minute"),
        ("1-2-3 2 * * *", "is no minute"),
        ("-1 2 * * *", "is no minute"),
        ("٣ 2 * * *", "is no minute"),
        ("0 2 30 2 *", "never comes"),
    ],
)
def test_what_is_no_time_is_told_with_its_field(cron: str, told: str) -> None:
    with pytest.raises(InvalidCronError) as caught:
        cron_of(cron)
    assert told in str(caught.value)


@given(st.floats(0, 4e9), st.sampled_from(["*/7 3-5 * * *", "0 0 31 * *", "15 10 * feb-apr tue", "* * 1 1 *"]))
def test_a_time_is_always_later_and_on_the_minute(moment: float, cron: str) -> None:
    time = cron_of(cron).after(moment)
    assert time > moment
    assert time % 60 == 0
    assert cron_of(cron).after(time - 0.5) == time


@given(st.text(max_size=30))
def test_any_text_is_either_times_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidCronError):
        assert cron_of(text).after(0.0) > 0
