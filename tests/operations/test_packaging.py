"""operations/packaging.py: what is deployed is the same for the same files, and runs with nothing else."""

import io
import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from operations import packaging as package
from operations.deployment import TEMPLATE
from operations.packaging import LAMBDA, Target, this_machine

RUNTIME_HAS = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
"""What AWS puts beside a function of its own accord."""


def names_in(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


POLICIES = b"def is_complete(round):\n    return True\n"


def test_the_code_is_the_same_bytes_for_the_same_files() -> None:
    assert package.code({"b": POLICIES, "a": POLICIES}) == package.code({"a": POLICIES, "b": POLICIES})


def test_the_code_changes_with_a_policy() -> None:
    assert package.code({"a": POLICIES}) != package.code({"a": POLICIES.replace(b"True", b"False")})


def test_the_code_tells_which_policies_it_has() -> None:
    policies = {"digits": POLICIES, "other": b"# none\n"}
    assert package.policies_in(package.code(policies)) == policies
    assert package.policies_in(package.code({})) == {}


def test_the_code_has_the_functions_and_the_protocol_and_nothing_else() -> None:
    names = names_in(package.code({"digits": POLICIES}))
    assert "cloud/averager/handler.py" in names
    assert "cloud/initiator/handler.py" in names
    assert "protocol/tensors.py" in names
    assert "federations/digits/policies.py" in names
    assert {name.split("/")[0] for name in names} == {"cloud", "fedgrass", "protocol", "federations"}
    assert all(name.endswith(".py") for name in names)
    assert names == sorted(names)


def test_files_in_the_code_have_no_time_and_can_be_read_by_everyone() -> None:
    with zipfile.ZipFile(io.BytesIO(package.code({}))) as archive:
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 & 0o777 == 0o644


@pytest.fixture(scope="module")
def layer() -> Path:
    return package.dependencies(this_machine(), package.cache_directory())


def test_the_layer_is_made_once(layer: Path) -> None:
    made_at = layer.stat().st_mtime_ns
    assert package.dependencies(this_machine(), layer.parent) == layer
    assert layer.stat().st_mtime_ns == made_at


def test_what_pip_cannot_get_is_told_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    strange = Target(architecture="pdp11", python="3.13", platforms=("manylinux2014_pdp11",))
    with pytest.raises(package.PackagingError, match=r"pip could not get .*numpy==.* for pdp11: .*ERROR"):
        package.dependencies(strange, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_layer_has_what_is_pinned_and_no_tests(layer: Path) -> None:
    names = names_in(layer.read_bytes())
    tops = {name.split("/")[1] for name in names}
    assert {"numpy", "msgspec"} <= tops
    assert all(name.startswith("python/") for name in names)
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyi", ".pyc"))]
    versions = {f"{pin.replace('==', '-')}.dist-info" for pin in package.pinned_dependencies()}
    assert versions <= tops


def test_layer_and_code_stay_within_lambdas_limit(layer: Path) -> None:
    total = 0
    for data in (layer.read_bytes(), package.code({})):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total += sum(entry.file_size for entry in archive.infolist())
    assert total < 250 * 1024 * 1024


def test_the_functions_import_nothing_beside_their_code_their_layer_and_boto3(layer: Path, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name in RUNTIME_HAS:
        (runtime / name).symlink_to(installed(name))
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(tmp_path / "opt")
    with zipfile.ZipFile(io.BytesIO(package.code({}))) as archive:
        archive.extractall(tmp_path / "task")
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import json, cloud.averager.handler, cloud.initiator.handler\n"
        "files = {name: getattr(module, '__file__', None) for name, module in sys.modules.items()}\n"
        "print(json.dumps({name: file for name, file in files.items() if file}))"
    )
    places = [tmp_path / "task", tmp_path / "opt" / "python", runtime]
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, *places], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    files = json.loads(run.stdout)
    allowed = [*map(str, places), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    foreign = {name: file for name, file in files.items() if not file.startswith(tuple(allowed))}
    assert foreign == {}
    assert files["numpy"].startswith(str(tmp_path / "opt"))
    assert "torch" not in files


def installed(name: str) -> Path:
    for directory in map(Path, sys.path):
        if (directory / name).exists():
            return directory / name
    raise AssertionError(f"{name} is not installed")


def test_the_template_names_what_the_layer_is_made_for() -> None:
    template = TEMPLATE.read_text()
    assert f"Runtime: python{LAMBDA.python}" in template
    assert f"Architectures: [{LAMBDA.architecture}]" in template
    assert f"CompatibleArchitectures: [{LAMBDA.architecture}]" in template
    assert f"CompatibleRuntimes: [python{LAMBDA.python}]" in template
    assert all(name.endswith("_aarch64") for name in LAMBDA.platforms)
    # Amazon Linux 2023, on which that runtime runs, has glibc 2.34: newer wheels would not load.
    assert all(name == "manylinux2014_aarch64" or name <= "manylinux_2_34_aarch64" for name in LAMBDA.platforms)
