"""cli/interruptions.py: Ctrl-C, given once and again."""

import signal
import threading
from collections.abc import Iterator

import pytest

from cli import interruptions
from cli.interruptions import interrupted_once

INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """None is ignored, though that of a terminal that is closed may be for these tests, as nohup has it."""
    before = {name: signal.signal(name, signal.default_int_handler) for name in INTERRUPTING}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.parametrize("first", INTERRUPTING)
def test_the_first_interruption_is_told_at_once_and_further_ones_are_ignored(first: signal.Signals) -> None:
    told = threading.Event()
    before = signal.getsignal(first)
    taken_down = []
    with pytest.raises(KeyboardInterrupt), interrupted_once(told.set):
        try:
            signal.raise_signal(first)
        finally:
            assert told.wait(60)
            for another in INTERRUPTING:
                signal.raise_signal(another)
                taken_down.append(another)
    assert len(taken_down) == 3
    assert signal.getsignal(first) is before


def test_one_is_heeded_again_if_the_end_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "_IGNORED_S", 0.0)
    with pytest.raises(KeyboardInterrupt), interrupted_once(lambda: None):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_what_ends_without_an_interruption_tells_of_none() -> None:
    told: list[bool] = []
    with interrupted_once(lambda: told.append(True)):
        pass
    assert told == []


def test_an_interruption_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupted_once(lambda: pytest.fail("it was heeded")):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
