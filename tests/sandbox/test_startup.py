"""Startup steps, as each nucleus takes them, and that of com.fedgrass.Runtime."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from sandbox.nucleus.lifecycle import ComponentState
from sandbox.nucleus.personality import CLASSIC, LITE
from sandbox.nucleus.recipe import read
from sandbox.package_index import PackageIndex
from tests.paths import ROOT
from tests.sandbox.component import Component

RECIPE = ROOT / "recipes" / "com.fedgrass.Runtime.yaml"
SYSTEMS = {
    "classic": CLASSIC.lifecycle,
    "lite on systemd 252": LITE.lifecycle,
    "lite on systemd 257": msgspec.structs.replace(LITE.lifecycle, systemd=257),
}
"""Raspberry Pi OS 12 and 13 have these versions; from 254 on, `systemd-notify` knows --stopping."""

IMPORTED = ("awscrt", "msgspec", "numpy", "torch")
IMPORT_LIMIT_S = 100.0
"""For torch to be imported on a busy machine."""

CHECK_ALONE = '"{work:path}/venv/bin/python" -c "import awscrt, numpy" || exit 1'
RUNNING = ComponentState.RUNNING


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def script() -> str:
    return read(RECIPE, LITE.recipes).steps["startup"].script


def times_running(system: str) -> int:
    """On lite it is up when it says so, and once more when its script has ended and left it up."""
    return 1 if system == "classic" else 2


def test_the_runtime_comes_up_and_stays_up_and_does_so_again_after_a_power_cut(
    tmp_path: Path, system: str, script: str
) -> None:
    (tmp_path / "venv").symlink_to(sys.prefix)

    async def scenario() -> None:
        component = Component(tmp_path, SYSTEMS[system], startup=script)
        component.lifecycle.start()
        await component.until(RUNNING, times_running(system), limit_s=IMPORT_LIMIT_S)
        await component.lifecycle.cut_power()
        component.lifecycle.start()
        await component.until(RUNNING, 2 * times_running(system), limit_s=IMPORT_LIMIT_S)
        await component.lifecycle.stop()
        assert set(component.states) == {ComponentState.INSTALLED, RUNNING, ComponentState.STOPPED}
        assert len(component.used) == 2

    asyncio.run(scenario())


def test_the_runtime_comes_up_on_lite_although_its_installation_takes_longer_than_a_deployment_waits(
    tmp_path: Path,
) -> None:
    for name in ("install.sh", "install_wheels.py", "check_device.py"):
        shutil.copy(ROOT / "components" / "runtime" / name, tmp_path)
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "python3").symlink_to(sys.executable)
    recipe = read(RECIPE, LITE.recipes)
    install, startup = ((step.script, step.timeout_s) for step in (recipe.steps["install"], recipe.steps["startup"]))
    traits = msgspec.structs.replace(LITE.lifecycle, install_wait_s=1.0)
    index = PackageIndex()
    files = [index.offer(name, "1.0", 400_000 if name == "torch" else 0) for name in IMPORTED]
    index.held_up[files[-1]] = 200_000
    (tmp_path / "requirements.txt").write_text(
        "".join(f"{name}==1.0 --hash=sha256:{index.sha256(file)}\n" for name, file in zip(IMPORTED, files, strict=True))
    )
    environment = {"PATH": f"{tmp_path / 'python'}{os.pathsep}{os.environ['PATH']}"}
    configuration = {**recipe.default_configuration, "index_url": index.url}

    async def scenario() -> None:
        component = Component(
            tmp_path, traits, environment=environment, configuration=configuration, install=install, startup=startup
        )
        component.lifecycle.start()
        await component.until(ComponentState.INSTALLING)
        assert await asyncio.to_thread(index.reached.wait, 60)
        await component.lifecycle.cut_power()

        component = Component(
            tmp_path,
            LITE.lifecycle,
            environment=environment,
            configuration=configuration,
            install=install,
            startup=startup,
        )
        component.lifecycle.start()
        await component.until(RUNNING, times=2, limit_s=IMPORT_LIMIT_S)
        await component.lifecycle.stop()

    try:
        asyncio.run(scenario())
    finally:
        index.close()
    assert [file for file, _ in index.asked] == [*files, files[-1]]


def test_the_runtime_is_broken_if_its_environment_is(tmp_path: Path, system: str, script: str) -> None:
    traits = msgspec.structs.replace(SYSTEMS[system], restart_delay_s=0)
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to("/bin/false")

    async def scenario() -> None:
        component = Component(tmp_path, traits, startup=script)
        component.lifecycle.start()
        await component.until(ComponentState.BROKEN)
        assert RUNNING not in component.states

    asyncio.run(scenario())


def test_a_script_that_goes_on_to_what_lite_appends_is_broken_on_systemd_252_and_over_on_257(tmp_path: Path) -> None:
    (tmp_path / "venv").symlink_to(sys.prefix)

    async def scenario() -> None:
        traits = msgspec.structs.replace(SYSTEMS["lite on systemd 252"], restart_delay_s=0)
        component = Component(tmp_path, traits, startup=CHECK_ALONE)
        component.lifecycle.start()
        await component.until(ComponentState.BROKEN)
        assert component.log.read_text() == "systemd-notify: unrecognized option '--stopping'\n" * 3

        component = Component(tmp_path, SYSTEMS["lite on systemd 257"], startup=CHECK_ALONE)
        component.lifecycle.start()
        await component.until(ComponentState.FINISHED)
        assert component.states == [ComponentState.INSTALLED, RUNNING, ComponentState.FINISHED]

        component = Component(tmp_path, CLASSIC.lifecycle, startup=CHECK_ALONE)
        component.lifecycle.start()
        await component.until(RUNNING)
        await component.lifecycle.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("startup", ["exit 0", ("exec sleep 600", 0.1)])
def test_lite_gives_up_on_what_never_says_that_it_is_ready(tmp_path: Path, startup: str | tuple[str, float]) -> None:
    traits = msgspec.structs.replace(LITE.lifecycle, restart_delay_s=0)

    async def scenario() -> None:
        component = Component(tmp_path, traits, startup=startup)
        component.lifecycle.start()
        await component.until(ComponentState.BROKEN)
        assert RUNNING not in component.states
        assert len(component.used) == 3

    asyncio.run(scenario())


def test_a_startup_script_that_stays_is_up_on_lite_when_it_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, LITE.lifecycle, startup="systemd-notify --ready; exec sleep 600")
        component.lifecycle.start()
        await component.until(RUNNING)
        assert component.lifecycle.pid is not None
        component.lifecycle.kill()
        await component.until(ComponentState.ERRORED)
        await component.lifecycle.stop()

    asyncio.run(scenario())


def test_the_shutdown_script_of_what_has_started_up_is_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        component = Component(tmp_path, CLASSIC.lifecycle, startup="echo up", shutdown="echo down")
        component.lifecycle.start()
        await component.until(RUNNING)
        await component.lifecycle.stop()
        assert component.log.read_text() == "up\ndown\n"

    asyncio.run(scenario())
