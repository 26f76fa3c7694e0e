"""Attacks by number: junk without end, which costs but changes nothing."""

from concurrent.futures import ThreadPoolExecutor

from trials.attacks.attack import BESIDE, UnexplainedError, Verdict, accepted, attack
from trials.attacks.example_updates import update_of
from trials.attacks.target import Target

_JUNK = 60
_WASTE = "A client can waste"


def _flood(target: Target, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: target.uploads(b"junk", key), keys))


@attack("of a client's uploads the last of each delivery is fetched", documented=_WASTE)
def flood_the_round(target: Target) -> Verdict:
    """Upload junk to the open round again and again, so that the honest updates are never counted."""
    _flood(target, [target.key()] * _JUNK)
    target.answer()
    target.ended(1)
    return accepted(f"{_JUNK} objects were stored; the round closed")


@attack("rounds that never were leave one record of a client", documented=_WASTE)
def flood_rounds_that_are_not(target: Target) -> Verdict:
    """Upload junk to rounds that never were, so that each leaves a record."""
    _flood(target, [target.key(1000 + number) for number in range(_JUNK)])
    target.settled()
    count = len(target.responses_to(0).refused)
    if count > 1:
        raise UnexplainedError(f"{count} records of one client")
    return accepted(f"{_JUNK} objects were stored; one record of them is there")


@attack("each client is counted once", BESIDE, documented=_WASTE)
def flood_with_good_updates(target: Target) -> Verdict:
    """Upload its own good update again and again: copies are stored."""
    version = target.join()
    target.counted()
    for _ in range(_JUNK // 4):
        target.uploads(update_of(target.report(), 3.0))
    target.settled()
    if target.counted().version_id != version:
        raise UnexplainedError("another copy counts")
    return accepted(f"{_JUNK // 4} copies were stored; the first one counts")
