"""`make setup`: which build of torch it installs, and under which name it keeps that."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.package_index import PackageIndex
from tests.components.installing import Environments
from tests.paths import ROOT

PROJECT = """
[project]
name = "small"
version = "1"
[project.optional-dependencies]
agent = ["grass==1.0"]
training = ["torch==2.0; platform_machine != 'riscv64'"]
functions = []
sandbox = []
development = []
datasets = ["meadow==1.0"]
"""


@pytest.fixture
def indexes() -> Iterator[tuple[PackageIndex, PackageIndex]]:
    """That of all packages, and that of torch's builds for CPUs."""
    every, cpu = PackageIndex(), PackageIndex()
    for name, version in (("grass", "1.0"), ("meadow", "1.0"), ("torch", "2.0")):
        every.offer(name, version)
    cpu.offer("torch", "2.0+cpu")
    yield every, cpu
    every.close()
    cpu.close()


@pytest.fixture
def python(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This one; an environment with pip is the copy of one that it has made."""
    pristine = Environments.of_this_run(tmp_path_factory).pristine
    script = tmp_path / "python3"
    copy = f'[ "$1 $2 $#" != "-m venv 3" ] || exec cp -a "{pristine}/." "$3"'
    script.write_text(f'#!/bin/sh\n{copy}\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


def set_up(python: Path, folder: Path, index: PackageIndex, torch_index: str) -> dict[str, set[str]]:
    """Kept environment -> what is in it, after `make setup` of a small project, which itself can't be installed."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "constraints.txt").touch()
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "FEDGRASS_TORCH_INDEX": torch_index}
    environment |= {
        "PIP_INDEX_URL": index.url,
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = ["make", "setup", f"PYTHON={python}"]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return {
        path.parent.name: {found.name for found in path.parent.glob("lib/*/site-packages/*-*.dist-info")}
        for path in folder.glob("cache/fedgrass/python-*/complete")
    }


def test_an_index_of_torch_replaces_its_build_alone_and_is_kept_apart(
    tmp_path: Path, python: Path, indexes: tuple[PackageIndex, PackageIndex]
) -> None:
    every, cpu = indexes
    (first,) = set_up(python, tmp_path, every, cpu.url).items()
    assert {"torch-2.0+cpu.dist-info", "grass-1.0.dist-info", "meadow-1.0.dist-info"} <= first[1]
    assert [file.partition("-")[0] for file, _ in every.asked] == ["grass", "meadow"]
    both = set_up(python, tmp_path, every, "")
    assert len(both) == 2
    assert "torch-2.0.dist-info" in next(found for name, found in both.items() if name != first[0])
