"""A federation with a task and custom policies, carried through by the deployed functions and real devices."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.project import load
from cli.project_sandbox import build_component, init_federation
from cloud.state.records import RoundRecord
from cloud.state.rounds import Responses
from protocol.messages import FINAL_PHASES
from protocol.tensors import load as load_tensors
from reporting.round_figures import RoundFigures
from sandbox.federated_run import run_rounds, wait_for_clients
from sandbox.sandbox import Sandbox
from tests.e2e.federations import model_0

STEPS = {"alpha": 1.0, "beta": 3.0, "not-ready": 100.0, "left-out": 1000.0}
LEARNING_RATE = 0.5


class Ran(msgspec.Struct):
    rounds: list[RoundRecord]
    responses: list[Responses]
    weights: list[float]
    figures: list[RoundFigures]
    progress: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """What two rounds with four devices left behind: two that train, one that isn't ready, one that is never chosen."""
    project = load(Path(__file__).parent / "custom_policies")
    data = tmp_path_factory.mktemp("data")
    for thing, step in STEPS.items():
        (data / thing).mkdir()
        (data / thing / "step.txt").write_text(f"{step} 10")
    with Sandbox(policies=project.policies) as sandbox:
        component = build_component(project, sandbox.path / "build")
        init_federation(project, sandbox, model_0(project))
        with sandbox.fleet(component, project.settings, {thing: data / thing for thing in STEPS}) as fleet:
            mark = fleet.devices["not-ready"].directory / "work" / "com.fedgrass.Client" / "not-ready"
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            operations = sandbox.operations
            wait_for_clients(operations, "custom-policies", fleet)
            figures = run_rounds(sandbox, operations, "custom-policies")
            rounds = [operations.rounds.get("custom-policies", number) for number in (1, 2)]
            first = rounds[0].base
            references = [first, *(record.model for record in rounds if record.model is not None)]
            models = [load_tensors(operations.models.get(reference))[1] for reference in references]
            shadows = {thing: _last_progress(sandbox, thing) for thing in ("alpha", "not-ready")}
            yield Ran(
                rounds=rounds,
                responses=[operations.rounds.responses("custom-policies", number) for number in (1, 2)],
                weights=[model["weight"].item() for model in models],
                figures=figures,
                progress=shadows,
            )


def _last_progress(sandbox: Sandbox, thing: str) -> dict[str, object]:
    """What a device says once it has said all: the round may end before that arrives."""
    limit = time.monotonic() + 60
    while True:
        answer = sandbox.aws.client("iot-data").get_thing_shadow(thingName=thing, shadowName="fedgrass-custom-policies")
        progress: dict[str, object] = msgspec.json.decode(answer["payload"].read())["state"]["reported"]["progress"]
        if progress["phase"] in FINAL_PHASES or time.monotonic() > limit:
            return progress


def test_own_selection_leaves_out_whom_it_leaves_out(ran: Ran) -> None:
    for record in ran.rounds:
        assert [member.thing for member in record.cohort] == ["alpha", "beta", "not-ready"]


def test_own_completion_ends_the_round_without_the_device_that_is_not_ready(ran: Ran) -> None:
    for record, responses in zip(ran.rounds, ran.responses, strict=True):
        assert record.status == "closed"
        assert record.target == 3
        assert [response.thing for response in responses.accepted] == ["alpha", "beta"]


def test_a_device_that_is_not_ready_declines_and_says_why(ran: Ran) -> None:
    assert ran.progress["not-ready"]["phase"] == "declined"
    assert "ready" in str(ran.progress["not-ready"]["reason"])
    assert ran.progress["alpha"]["phase"] == "done"


def test_own_average_makes_the_model_from_updates_and_their_own_numbers(ran: Ran) -> None:
    change = sum(2 * STEPS[thing] * STEPS[thing] * LEARNING_RATE for thing in ("alpha", "beta"))
    for before, after in zip(ran.weights, ran.weights[1:], strict=False):
        assert after - before == pytest.approx(change, rel=1e-6)


def test_own_evaluation_describes_the_model_before_and_after_training(ran: Ran) -> None:
    for response in ran.responses[0].accepted:
        assert response.report is not None
        before, after = response.report.before["weight"], response.report.after["weight"]
        assert before is not None
        assert after is not None
        moved = after - before
        assert moved == pytest.approx(STEPS[response.thing] * LEARNING_RATE, rel=1e-5)
        assert response.report.describe == {"trust": 2 * STEPS[response.thing]}


def test_own_pacing_delays_the_next_round(ran: Ran) -> None:
    first, second = ran.rounds
    assert first.closed_at is not None
    assert second.opened_at - first.closed_at >= 1.0


def test_the_timeline_tells_of_every_step_of_every_client(ran: Ran) -> None:
    for record, responses in zip(ran.rounds, ran.responses, strict=True):
        for response in responses.accepted:
            assert response.report is not None
            timings = response.report.timings
            moments = [
                record.opened_at,
                responses.notified[response.thing],
                timings.downloaded_at,
                timings.trained_at,
                timings.uploading_at,
                response.arrived_at + 0.001,  # S3 tells milliseconds
                response.inspected_at,
                record.averaged_at,
                record.closed_at,
            ]
            assert all(moment is not None for moment in moments)
            assert moments == sorted(moments)  # type: ignore[type-var]


def test_the_split_of_a_round_adds_up_to_it(ran: Ran) -> None:
    for figures in ran.figures:
        assert sum(figures.split.values()) == pytest.approx(figures.round_s, abs=1e-6)
