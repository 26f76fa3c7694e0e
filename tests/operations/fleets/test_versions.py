"""operations/fleets/versions.py: in the order of semver.org, and ranges as recipes have them."""

import pytest

from operations.fleets import versions

ORDERED = [
    "0.1.0",
    "0.2.0",
    "0.10.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
]


def test_versions_are_in_the_order_of_semver() -> None:
    assert sorted(set(ORDERED), key=versions.order) == ORDERED
    assert versions.order("1.0.0+one") == versions.order("1.0.0+two")


@pytest.mark.parametrize("text", ["", "1", "1.0", "01.0.0", "v1.0.0", "1.0.0-", "NEXT_PATCH"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no semantic version"):
        versions.order(text)


@pytest.mark.parametrize(
    ("requirement", "fitting"),
    [
        ("", ["0.1.0", "0.2.0", "1.0.0"]),
        (">=0.1.0 <0.2.0", ["0.1.0"]),
        (">= 0.1.0 <= 0.2.0", ["0.1.0", "0.2.0"]),
        (">0.1.0", ["0.2.0", "1.0.0"]),
        ("0.2.0", ["0.2.0"]),
        ("=0.2.0", ["0.2.0"]),
        ("^0.1.0", ["0.1.0", "0.2.0", "1.0.0"]),  # the nucleus is the judge
    ],
)
def test_a_range_has_the_versions_that_it_names(requirement: str, fitting: list[str]) -> None:
    assert [version for version in ("0.1.0", "0.2.0", "1.0.0") if versions.fits(version, requirement)] == fitting


def test_the_newest_version_of_a_range_is_taken_whatever_their_order() -> None:
    assert versions.latest(["0.1.9", "0.2.0", "0.1.10", "0.1.2"], ">=0.1.0 <0.2.0") == "0.1.10"
    assert versions.latest(["0.2.0"], ">=0.1.0 <0.2.0") is None
    assert versions.latest([]) is None
