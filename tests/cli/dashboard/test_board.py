"""cli/dashboard/board.py: who has seen a version of a page gets what is new, and nothing else."""

from cli.dashboard.board import Board, Picture


def test_who_has_seen_nothing_gets_all_and_who_has_seen_all_gets_nothing() -> None:
    board = Board()
    assert board.show("open", {"present": "<p>1</p>"}, {"d0": ("d0", "asked")})
    assert board.since(0) == Picture(headline="open", sections={"present": "<p>1</p>"}, rows={"d0": ("d0", "asked")})
    assert board.since(board.version) == Picture()


def test_what_has_not_changed_is_not_new() -> None:
    board = Board()
    board.show("open", {"present": "1", "time": "t"}, {"d0": ("d0", "asked"), "d1": ("d1", "asked")})
    seen = board.version
    assert not board.show("open", {"present": "1"}, {"d0": ("d0", "asked"), "d1": ("d1", "asked")})
    assert board.version == seen
    assert board.show("open", {"present": "2"}, {"d0": ("d0", "asked"), "d1": ("d1", "training")})
    assert board.since(seen) == Picture(sections={"present": "2"}, rows={"d1": ("d1", "training")})


def test_who_was_away_for_several_changes_gets_the_last_of_each() -> None:
    board = Board()
    board.show("open", {"present": "1"})
    seen = board.version
    board.show("averaging", {"present": "2"})
    board.show("closed", {"present": "3", "time": "t"})
    assert board.since(seen) == Picture(headline="closed", sections={"present": "3", "time": "t"})


def test_a_device_that_is_gone_is_told_and_may_come_again() -> None:
    board = Board()
    board.show("", {}, {"d0": ("d0",), "d1": ("d1",)})
    seen = board.version
    board.show("", {}, {"d1": ("d1",)})
    assert board.since(seen) == Picture(gone=("d0",))
    assert board.since(0).rows == {"d1": ("d1",)}
    board.show("", {}, {"d0": ("d0",), "d1": ("d1",)})
    assert board.since(seen) == Picture(rows={"d0": ("d0",)})


def test_versions_of_a_server_that_was_started_again_are_later() -> None:
    first = Board()
    first.show("open", {})
    assert Board().version >= first.version - 1
