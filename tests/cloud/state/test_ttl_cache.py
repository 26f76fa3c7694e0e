"""cloud/state/ttl_cache.py: what is remembered, for how long, and how much of it."""

from cloud.state.ttl_cache import Recent


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_value_is_known_for_as_long_as_was_said() -> None:
    clock = Clock()
    recent: Recent[str, int] = Recent(60.0, clock=clock)
    recent.put("a", 1)
    clock.now = 59.9
    assert (recent.get("a"), recent.get("b")) == (1, None)
    clock.now = 60.0
    assert recent.get("a") is None


def test_a_value_that_is_put_again_begins_anew() -> None:
    clock = Clock()
    recent: Recent[str, int] = Recent(60.0, clock=clock)
    recent.put("a", 1)
    clock.now = 50.0
    recent.put("a", 2)
    clock.now = 100.0
    assert recent.get("a") == 2


def test_the_oldest_makes_room() -> None:
    recent: Recent[int, int] = Recent(60.0, most=3)
    for number in (1, 2, 3, 1, 4, 5):
        recent.put(number, number)
    assert [number for number in range(6) if recent.get(number) is not None] == [1, 4, 5]
