"""operations/fleets/following.py and reasons.py: how far a device is, from what AWS tells of it."""

import pytest

from operations.fleets import following, reasons


def execution(status: str, reason: str = "", codes: tuple[str, ...] = ()) -> dict[str, object]:
    return {"coreDeviceExecutionStatus": status, "reason": reason, "statusDetails": {"errorStack": list(codes)}}


def installed(state: str, details: str = "") -> dict[str, str]:
    told = {"lifecycleStateDetails": details} if details else {}
    return {"componentName": "com.fedgrass.Client", "componentVersion": "0.2.0", "lifecycleState": state} | told


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("QUEUED", "waiting"),
        ("IN_PROGRESS", "under way"),
        ("SUCCEEDED", "done"),
        ("COMPLETED", "done"),
        ("FAILED", "failed"),
        ("TIMED_OUT", "failed"),
        ("CANCELED", "failed"),
        ("REJECTED", "failed"),
    ],
)
def test_each_status_of_aws_has_an_outcome(status: str, outcome: str) -> None:
    state = following.state("d1", execution(status), [])
    assert (state.outcome, state.status) == (outcome, status)
    assert bool(state.reason) is (outcome == "failed")


def test_a_device_that_has_it_reports_the_versions() -> None:
    state = following.state("d1", execution("SUCCEEDED"), [installed("RUNNING")])
    assert (state.outcome, state.versions) == ("done", {"com.fedgrass.Client": "0.2.0"})


def test_a_deployment_that_succeeded_with_a_broken_component_has_failed() -> None:
    state = following.state("d1", execution("SUCCEEDED"), [installed("BROKEN", "exit code 1")])
    assert (state.outcome, state.reason) == ("failed", "com.fedgrass.Client is BROKEN: exit code 1")


def test_a_code_of_the_nucleus_is_told_in_words_with_what_it_says_itself() -> None:
    codes = ("DEPLOYMENT_FAILURE", "ARTIFACT_DOWNLOAD_ERROR", "S3_ERROR", "S3_HEAD_OBJECT_ACCESS_DENIED")
    state = following.state("d1", execution("FAILED", "FAILED_NO_STATE_CHANGE: 403", codes), [])
    told = "its token exchange role may not read the bucket of the artifacts (FAILED_NO_STATE_CHANGE: 403)"
    assert state.reason == told


def test_what_a_device_says_is_one_line_and_bounded() -> None:
    told = reasons.sentence("FAILED", "a\nb\t" + "x" * 5000, ())
    assert told.startswith("a b xxx")
    assert len(told) == 300


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "CANCELED", "REJECTED", "NEW_ONE"])
def test_a_device_that_says_nothing_has_a_reason_as_well(status: str) -> None:
    assert len(reasons.sentence(status, "", ())) > 20


def test_it_is_over_when_no_device_that_is_there_is_on_its_way() -> None:
    def states(*outcomes: following.Outcome) -> list[following.DeviceState]:
        return [following.DeviceState(thing="d1", outcome=outcome) for outcome in outcomes]

    assert following.is_over(states("done", "failed", "absent"))
    assert following.is_over([])
    assert not following.is_over(states("done", "waiting"))
    assert not following.is_over(states("under way"))
