"""`fedgrass watch`: a federation, seen until it is over."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.errors.kind import ExitCode
from tests.cli.running import fedgrass
from tests.cli.test_screen import on_a_terminal
from tests.cloud.simulated import SimulatedFederation
from tests.paths import ROOT


@pytest.fixture(autouse=True)
def operator(simulated: SimulatedFederation, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in simulated.aws.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def over(simulated: SimulatedFederation) -> SimulatedFederation:
    """A federation of two rounds, which is over; a device has failed in the last."""
    simulated.create(["d0", "d1"], rounds=2, quorum=1)
    simulated.start()
    simulated.answer("d1", 1, after={"loss": 0.5})
    simulated.answer("d0", 1, after={"loss": 0.5})
    simulated.ended(1)
    simulated.assignment("d1", 2)
    simulated.report_progress("d1", 2, "failed", "no data")
    simulated.answer("d0", 2, after={"loss": 0.25})
    simulated.ended(2)
    return simulated


@pytest.fixture
def watching(simulated: SimulatedFederation) -> Iterator["subprocess.Popen[str]"]:
    """The command, in a process of its own, while round 1 of two goes on."""
    simulated.create(["d0"], rounds=2)
    simulated.start()
    simulated.opened(1)
    command = [sys.executable, "-m", "cli.main", "watch", simulated.name]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        yield process
        process.kill()


def test_piped_a_line_is_told_of_each_round_as_it_ends(
    watching: "subprocess.Popen[str]", simulated: SimulatedFederation
) -> None:
    assert watching.stdout is not None
    for number in (1, 2):
        simulated.answer("d0", number, after={"loss": 1 / number})
        assert watching.stdout.readline().startswith(
            f"round   {number} closed: 1 of 1 updates, loss_after {1 / number:.4f}, "
        )
    assert watching.stdout.readline() == f"{simulated.name} is over, after 2 of 2 rounds\n"
    assert watching.stdout.read() == ""
    assert watching.wait() == 0


def test_ctrl_c_ends_it_and_says_that_the_federation_goes_on(
    watching: "subprocess.Popen[str]", simulated: SimulatedFederation
) -> None:
    assert watching.stdout is not None
    simulated.answer("d0", 1)
    watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    out, error = watching.communicate()
    assert (watching.returncode, out, error) == (130, "", f"interrupted: {simulated.name} goes on\n")
    assert simulated.operations.federations.get(simulated.name).status == "running"


def test_one_that_is_over_is_shown_with_its_last_round(over: SimulatedFederation) -> None:
    first, second, last = fedgrass("watch", over.name).out.splitlines()
    assert first.startswith("round   2 closed: 1 of 2 updates, loss_after 0.2500, ")
    assert second == "  d1 failed: no data"
    assert last == f"{over.name} is over, after 2 of 2 rounds"


def test_json_is_a_line_for_each_round_and_the_envelope(over: SimulatedFederation) -> None:
    ran = fedgrass("watch", over.name, "--json")
    told, envelope = map(json.loads, ran.out.splitlines())
    assert (ran.status, ran.error) == (0, "")
    assert (told["v"], told["federation"], told["round"]["round"]) == (1, over.name, 2)
    assert told["round"]["failing"] == [{"thing": "d1", "state": "failed", "reason": "no data"}]
    assert (envelope["command"], envelope["ok"]) == ("watch", True)
    assert envelope["result"] == {"federation": over.name, "round": 2, "rounds": 2, "status": "finished"}


def test_a_terminal_has_a_picture_of_80_columns_with_dollars_so_far(over: SimulatedFederation) -> None:
    written = on_a_terminal(80, sys.executable, "-m", "cli.main", "watch", over.name)
    assert f"{over.name}  round 2 of 2: finished" in written
    assert "so far, estimated" in written
    assert written.rstrip().endswith(f"{over.name} is over, after 2 of 2 rounds")
    stays = written[written.rindex("\x1b[?25h") :]
    assert "loss_after" in stays, "the curves do not vanish with the end"
    assert "so far, estimated" in stays


def test_a_line_of_a_round_is_cut_between_words_where_the_terminal_ends(over: SimulatedFederation) -> None:
    written = on_a_terminal(40, sys.executable, "-m", "cli.main", "watch", over.name)
    assert "round   2 closed: 1 of 2 updates,\n" in written
    assert "    loss_after 0.2500, " in written


def test_the_only_federation_needs_no_name_and_one_of_several_does(over: SimulatedFederation) -> None:
    others = [one.federation for one in over.operations.federations.all() if one.federation != over.name]
    ran = fedgrass("watch", "--json")
    if others:
        assert (ran.status, ran.envelope["error"]["code"]) == (2, "wrong_usage")
        assert over.name in ran.envelope["error"]["message"]
    else:
        assert ran.status == 0


def test_one_that_is_not_there_is_told(over: SimulatedFederation) -> None:
    ran = fedgrass("watch", "unheard-of", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (2, "unknown_federation")


def test_one_that_is_deleted_meanwhile_is_told(
    watching: "subprocess.Popen[str]", simulated: SimulatedFederation
) -> None:
    simulated.answer("d0", 1)
    assert watching.stdout is not None
    watching.stdout.readline()
    simulated.aws.client("dynamodb").delete_item(
        TableName=simulated.deployed.federations_table, Key={"federation": {"S": simulated.name}}
    )
    try:
        _, error = watching.communicate()
    finally:
        simulated.create(["d0"], rounds=2)
    assert watching.returncode == ExitCode.WRONG_USAGE
    assert f"there is no federation '{simulated.name}'" in error
