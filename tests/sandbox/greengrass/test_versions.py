import pytest

from sandbox.greengrass.versions import Requirement, Version, VersionError


def test_versions_are_in_the_order_of_semver() -> None:
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-2", "1.0.0", "1.2.0", "1.10.0", "2.0.0"]
    ordered = ["1.0.0-2", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0", "1.2.0", "1.10.0", "2.0.0"]
    assert sorted(texts, key=Version) == ordered


@pytest.mark.parametrize(
    ("requirement", "met", "missed"),
    [
        (">=0.1.0 <0.2.0", ["0.1.0", "0.1.9"], ["0.0.9", "0.2.0", "1.0.0"]),
        (">=2.0.0 <3.0.0", ["2.0.3"], ["3.0.0"]),
        ("^1.2.0", ["1.2.0", "1.9.0"], ["1.1.0", "2.0.0", "2.0.0-rc.1"]),
        ("^0.2.1", ["0.2.1", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.9.0"], ["2.0.0"]),
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.2"]),
        ("1.x", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("*", ["0.0.1", "9.9.9"], []),
        ("", ["0.0.1"], []),
        (">1.0.0", ["1.0.1"], ["1.0.0"]),
        ("<=1.0.0", ["1.0.0", "0.9.0"], ["1.0.1"]),
        ("1.0.0 || >=3.0.0", ["1.0.0", "3.1.0"], ["2.0.0"]),
    ],
)
def test_a_requirement_says_which_versions_will_do(requirement: str, met: list[str], missed: list[str]) -> None:
    wanted = Requirement(requirement)
    assert [version for version in (*met, *missed) if version in wanted] == met


@pytest.mark.parametrize("text", [">>1", "1.2.3.4", "abc", ">= ", "^x.y.z.w"])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(VersionError, match="requirement"):
        Requirement(text)


@pytest.mark.parametrize("text", ["1.0", "01.0.0", "v1.0.0", "NEXT_PATCH", ""])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(VersionError, match="semantic"):
        Version(text)
