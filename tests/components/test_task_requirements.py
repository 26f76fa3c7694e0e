"""requirements.txt beside task.py: what devices could install of it, and what is told of all else."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from components.runtime.hash_requirements import IncompleteListError, check_complete, requirements_of
from components.task_folder import TaskFolderError
from components.task_requirements import LISTS, TaskRequirementsError, read, with_those_of
from tests.paths import ROOT

RUNTIME = LISTS["requirements.txt"]
HASHES = [character * 64 for character in "ab"]
NUMPY = next(one for one in requirements_of(RUNTIME.read_text()) if one.name == "numpy")


def listed(folder: Path, text: str) -> list[str]:
    (folder / "requirements.txt").write_text(text)
    return [one.pinned for one in read(folder)]


@pytest.mark.parametrize(
    "text", ["", "\n \n", "# nothing yet\n", "\ufeff# nothing\r\n\r\n", f"{NUMPY}\n", "msgspec == 0.22.0\n"]
)
def test_a_list_that_asks_for_nothing_more_leaves_the_runtime_as_it_is(tmp_path: Path, text: str) -> None:
    assert read(tmp_path) == []
    assert listed(tmp_path, text) == []
    (tmp_path / "task.py").touch()
    assert with_those_of(tmp_path) == RUNTIME.read_text()


def test_packages_are_read_with_their_versions_markers_and_hashes(tmp_path: Path) -> None:
    text = f"""# what it needs
scikit-learn == 1.7.2  # for the scaler
joblib==1.5.1 \\
    --hash=sha256:{HASHES[1]} \\
    --hash=sha256:{HASHES[0]}
Grass.Meadow==1.0rc1 ; platform_machine == 'aarch64' --hash=sha256:{HASHES[0]}
grass-meadow==2!1.0.post1+cpu; platform_machine == "x86_64"
"""
    assert listed(tmp_path, text) == [
        "scikit-learn==1.7.2",
        "joblib==1.5.1",
        "Grass.Meadow==1.0rc1",
        "grass-meadow==2!1.0.post1+cpu",
    ]
    found = read(tmp_path)
    assert [one.line for one in found] == [2, 3, 6, 7]
    assert [one.marker for one in found] == ["", "", "platform_machine == 'aarch64'", 'platform_machine == "x86_64"']
    assert [one.hashes for one in found] == [(), tuple(HASHES), (HASHES[0],), ()]


def test_what_only_cuda_brings_is_kept_for_the_devices_without(tmp_path: Path) -> None:
    (triton,) = (one for one in requirements_of(LISTS["requirements-cuda.txt"].read_text()) if one.name == "triton")
    assert listed(tmp_path, f"triton{triton.specifier}\n") == [f"triton{triton.specifier}"]


def test_a_folder_that_is_no_tasks_is_refused_and_not_taken_for_one_that_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "task.py").touch()
    for wrong in (tmp_path / "tsak", tmp_path / "task.py", tmp_path.parent):
        with pytest.raises(TaskFolderError, match=rf"{wrong} has no task\.py: name the folder that has it"):
            with_those_of(wrong)


def test_each_list_of_the_runtime_is_joined_by_those_of_the_task(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"grass==1.0 --hash=sha256:{HASHES[0]}\n")
    (tmp_path / "task.py").touch()
    for name, path in LISTS.items():
        own = f"# of the task\ngrass==1.0 \\\n    --hash=sha256:{HASHES[0]}\n"
        assert with_those_of(tmp_path, name) == path.read_text() + own
        assert with_those_of(None, name) == path.read_text()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("grass", "grass: which version? Write grass==..."),
        ("pytest", f"pytest: which version? Here it is pytest=={importlib.metadata.version('pytest')}"),
        ("grass>=1.0", "grass>=1.0: which version?"),
        ("grass~=1.0", "which version?"),
        ("grass==1.*", "which version?"),
        ("grass==1.0,<2", "which version?"),
        ("grass===1.0", "which version?"),
        ("grass[all]==1.0", "devices know no extras"),
        ("-r others.txt", "write name==version, without options, files and addresses"),
        ("--index-url https://example.com", "without options"),
        ("-e .", "without options"),
        ("./grass-1.0-py3-none-any.whl", "without options, files"),
        ("grass @ https://example.com/grass-1.0-py3-none-any.whl", "addresses"),
        ("git+https://example.com/grass", "addresses"),
        ("grass==1.0 --hash=md5:0123", "a hash is --hash=sha256: and 64 of 0-9, a-f"),
        (f"grass==1.0 --hash=sha256:{'a' * 63}", "a hash is --hash=sha256:"),
        ("numpy==1.0", f"numpy==1.0: com.fedgrass.Runtime has {str(NUMPY.specifier)[2:]}: leave it out"),
        ("triton==1.0", "triton==1.0: com.fedgrass.Runtime has "),
        ("Typing_Extensions==1.0", "com.fedgrass.Runtime has"),
        ("torch==2.9.1", "com.fedgrass.Runtime has 2.12.1+cpu or 2.14.1 or 2.9.1: leave it out"),
        ("meadow==1.0\nMeadow==1.1", "Meadow is here twice, first on line 1"),
        ("meadow==1.0 ; python_version < '3.12'\nmeadow==1.1", "meadow is here twice"),
    ],
)
def test_what_devices_could_not_install_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    number = 1 + line.count("\n")
    with pytest.raises(TaskRequirementsError) as refused:
        listed(tmp_path, f"{line}\n")
    assert str(refused.value).startswith(f"{tmp_path}/requirements.txt:{number}: ")
    assert told in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(TaskRequirementsError) as refused:
        listed(tmp_path, "grass\n\nmeadow==1.0\n# no\nnumpy==1.0\n")
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == ["1", "5"]


def test_a_list_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TaskRequirementsError, match=r"requirements.txt: it can't be read"):
        read(tmp_path)


def test_what_packages_pull_in_is_asked_for_as_far_as_they_are_installed_here() -> None:
    runtime = requirements_of(RUNTIME.read_text())
    check_complete(Path("list"), [Requirement("torchvision==1.0"), Requirement("no-such-package==1.0")], runtime)
    with pytest.raises(IncompleteListError) as refused:
        check_complete(Path("list"), [Requirement("pytest==1.0"), Requirement("pluggy==1.0")], runtime)
    told = str(refused.value)
    assert "list: pytest needs iniconfig" in told
    assert not any(name in told for name in ("pluggy", "colorama", "extra"))


def test_the_command_that_writes_hashes_tells_what_is_lacking_and_leaves_the_list(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("pytest==1.0\n")
    command = [sys.executable, "-m", "components.runtime.hash_requirements", str(path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"{path}: pytest needs iniconfig" in ended.stderr
    assert path.read_text() == "pytest==1.0\n"
