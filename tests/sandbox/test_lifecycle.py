"""Scripts of components, as real processes, without a device around them."""

import asyncio
import os
from pathlib import Path

import msgspec
import psutil
import pytest

from sandbox.nucleus.lifecycle import ComponentState, LifecycleTraits, Patience
from sandbox.nucleus.personality import CLASSIC, LITE
from tests.sandbox.component import Component


def test_install_then_run_each_with_an_id_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, install='echo "install $SVCUID"', run='echo "run $SVCUID $FROM_RECIPE"')
        component.lifecycle.start()
        await component.until(ComponentState.FINISHED)
        first, second = component.used
        assert component.log.read_text() == f"install {first}\nrun {second} 1\n"
        assert component.states == [ComponentState.INSTALLED, ComponentState.RUNNING, ComponentState.FINISHED]
        assert not component.valid

    asyncio.run(scenario())


def test_a_restart_does_not_install_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, install="echo install", run="echo run; exit 1")
        component.lifecycle.start()
        await component.until(ComponentState.BROKEN)
        assert component.log.read_text() == "install\nrun\nrun\nrun\n"
        assert len(set(component.used)) == 4

    asyncio.run(scenario())


def test_an_install_that_takes_too_long_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, install=("echo install; sleep 60", 0.1), run="echo run")
        component.lifecycle.start()
        await component.until(ComponentState.BROKEN)
        assert component.log.read_text() == "install\n" * 3

    asyncio.run(scenario())


def test_stop_is_a_sigterm(tmp_path: Path) -> None:
    async def scenario() -> None:
        os.mkfifo(tmp_path / "ready")
        component = Component(
            tmp_path, run='trap "echo asked to stop; exit 0" TERM; : > ready; while :; do sleep 0.01; done'
        )
        component.lifecycle.start()
        await asyncio.to_thread((tmp_path / "ready").read_text)
        await component.lifecycle.stop()
        assert component.log.read_text().endswith("asked to stop\n")
        assert component.states[-1] is ComponentState.STOPPED

    asyncio.run(scenario())


def test_what_ignores_a_sigterm_is_killed(tmp_path: Path) -> None:
    traits = msgspec.structs.replace(CLASSIC.lifecycle, stop_grace_s=0.2)

    async def scenario() -> None:
        os.mkfifo(tmp_path / "ready")
        component = Component(tmp_path, traits, run='trap "" TERM; : > ready; while :; do sleep 0.01; done')
        component.lifecycle.start()
        await asyncio.to_thread((tmp_path / "ready").read_text)
        await component.lifecycle.stop()
        assert component.lifecycle.pid is None

    asyncio.run(scenario())


def test_what_a_component_leaves_behind_is_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, run="sleep 600 & echo $!")
        component.lifecycle.start()
        await component.until(ComponentState.FINISHED)
        left = int(component.log.read_text())
        processes = [process for process in psutil.process_iter() if process.pid == left]
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, 10)
        assert not alive

    asyncio.run(scenario())


def test_a_stop_before_the_start_has_begun_runs_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, run="echo run")
        component.lifecycle.start()
        await component.lifecycle.stop()
        assert component.used == []

    asyncio.run(scenario())


def test_lite_waits_two_minutes_before_it_kills_and_classic_five_seconds() -> None:
    assert (CLASSIC.lifecycle.stop_grace_s, LITE.lifecycle.stop_grace_s) == (5, 120)


def test_lite_restarts_after_a_second_and_waits_five_minutes_for_an_installation() -> None:
    assert (LITE.lifecycle.restart_delay_s, LITE.lifecycle.install_wait_s) == (1, 300)
    assert CLASSIC.lifecycle.install_wait_s is None


def test_an_installation_that_lite_waits_for_no_longer_goes_on_and_nothing_comes_after_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    traits = msgspec.structs.replace(LITE.lifecycle, install_wait_s=0.2)

    async def scenario() -> None:
        component = Component(tmp_path, traits, install="echo install; read line < slow", run="echo run")
        component.lifecycle.start()
        await component.until(ComponentState.INSTALLING)
        assert component.lifecycle.pid is not None
        await asyncio.to_thread((tmp_path / "slow").write_text, "there\n")
        await component.until(ComponentState.INSTALLED)
        assert component.lifecycle.pid is None
        assert component.log.read_text() == "install\n"
        await component.lifecycle.stop()

    asyncio.run(scenario())


def test_an_installation_under_way_is_killed_by_the_next_deployment_and_by_a_power_cut(tmp_path: Path) -> None:
    traits = msgspec.structs.replace(LITE.lifecycle, install_wait_s=0.1)

    async def scenario() -> None:
        component = Component(tmp_path, traits, install="exec sleep 600", run="echo run")
        for end in (component.lifecycle.stop, component.lifecycle.cut_power):
            component.lifecycle.start()
            await component.until(ComponentState.INSTALLING, times=len(component.used) + 1)
            assert component.lifecycle.pid is not None
            await end()
            assert component.lifecycle.pid is None
        assert set(component.states) == {ComponentState.INSTALLING}

    asyncio.run(scenario())


def test_the_shutdown_script_comes_before_the_sigterm(tmp_path: Path) -> None:
    async def scenario() -> None:
        os.mkfifo(tmp_path / "ready")
        component = Component(
            tmp_path,
            run='trap "echo term; exit 0" TERM; : > ready; while :; do sleep 0.01; done',
            shutdown='echo "shutdown $SVCUID"',
        )
        component.lifecycle.start()
        await asyncio.to_thread((tmp_path / "ready").read_text)
        await component.lifecycle.stop()
        lines = component.log.read_text().splitlines()
        assert (lines[0], lines[-1]) == (f"shutdown {component.used[1]}", "term")
        assert not component.valid

    asyncio.run(scenario())


def test_the_recover_script_comes_after_each_error_but_the_last(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, run="echo run; exit 1", recover="echo recover")
        component.lifecycle.start()
        await component.until(ComponentState.BROKEN)
        assert component.log.read_text() == "run\nrecover\nrun\nrecover\nrun\n"

    asyncio.run(scenario())


def test_a_step_is_left_out_on_its_condition(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "there").touch()
        conditions = {"install": "exists {work:path}/there", "run": "onpath a-program-that-nobody-has"}
        component = Component(tmp_path, skip_if=conditions, install="echo install", run="echo run")
        component.lifecycle.start()
        await component.until(ComponentState.FINISHED)
        assert component.log.read_text() == "run\n"
        assert not component.valid

    asyncio.run(scenario())


@pytest.mark.parametrize(("traits", "over"), [(CLASSIC.lifecycle, True), (LITE.lifecycle, False)])
def test_three_errors_within_an_hour_are_too_many_for_classic_three_starts_for_lite(
    traits: LifecycleTraits, over: bool
) -> None:
    patience = Patience(counts_starts=traits.counts_starts)
    assert not patience.is_over(0, 3000)
    assert not patience.is_over(3001, 3300)
    assert patience.is_over(3301, 3700) is over, "the first start is over an hour ago, the first error is not"


def test_an_error_that_is_reported_restarts_a_component_on_classic_and_not_on_lite(tmp_path: Path) -> None:
    async def scenario() -> None:
        for traits, restarted in ((CLASSIC.lifecycle, True), (LITE.lifecycle, False)):
            component = Component(tmp_path, traits, run="sleep 600")
            component.lifecycle.start()
            await component.until(ComponentState.RUNNING)
            component.lifecycle.report(ComponentState.ERRORED)
            if restarted:
                await component.until(ComponentState.RUNNING, times=2)
            assert (ComponentState.ERRORED in component.states) is restarted
            await component.lifecycle.cut_power()

    asyncio.run(scenario())
