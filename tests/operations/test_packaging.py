"""operations/packaging.py: what is deployed is the same for the same files, and runs with nothing else."""

import io
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from components.runtime.hash_requirements import check_complete, requirements_of
from operations import packaging
from operations.deployment import TEMPLATE
from operations.packaging import ARCHITECTURES, Target, of_lambda, target_at, this_machine
from sandbox.package_index import PackageIndex


def names_in(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


PINNED: list[str] = tomllib.loads((packaging.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
    "functions"
]

POLICIES = b"def is_complete(round):\n    return True\n"


def test_the_code_is_the_same_bytes_for_the_same_files() -> None:
    assert packaging.code({"b": POLICIES, "a": POLICIES}) == packaging.code({"a": POLICIES, "b": POLICIES})


def test_the_code_changes_with_a_policy() -> None:
    assert packaging.code({"a": POLICIES}) != packaging.code({"a": POLICIES.replace(b"True", b"False")})


def test_the_code_tells_which_policies_it_has() -> None:
    policies = {"digits": POLICIES, "other": b"# none\n"}
    assert packaging.policies_in(packaging.code(policies)) == policies
    assert packaging.policies_in(packaging.code({})) == {}


def test_the_code_has_the_functions_and_the_protocol_and_nothing_else() -> None:
    names = names_in(packaging.code({"digits": POLICIES}))
    assert "cloud/averager/handler.py" in names
    assert "cloud/initiator/handler.py" in names
    assert "protocol/tensors.py" in names
    assert "federations/digits/policies.py" in names
    assert {name.split("/")[0] for name in names} == {"cloud", "fedgrass", "protocol", "federations"}
    assert {name for name in names if not name.endswith(".py")} == {"cloud/pricing/prices.toml"}
    assert names == sorted(names)


def test_files_in_the_code_have_no_time_and_can_be_read_by_everyone() -> None:
    with zipfile.ZipFile(io.BytesIO(packaging.code({}))) as archive:
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 & 0o777 == 0o644


@pytest.fixture(scope="module")
def layer() -> Path:
    return packaging.dependencies(this_machine(), packaging.cache_directory())


def test_the_layer_is_made_once(layer: Path) -> None:
    made_at = layer.stat().st_mtime_ns
    assert packaging.dependencies(this_machine(), layer.parent) == layer
    assert layer.stat().st_mtime_ns == made_at


def test_what_pip_cannot_get_is_told_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("FEDGRASS_INDEX_URL", index.as_uri())
    strange = Target(architecture="pdp11", python="3.13", platforms=("manylinux2014_pdp11",))
    wanted = r"(?s)pip could not get what cloud/requirements.txt lists for pdp11 from file:.*FEDGRASS_INDEX_URL.*ERROR"
    with pytest.raises(packaging.PackagingError, match=wanted):
        packaging.dependencies(strange, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def small_layer(root: Path, monkeypatch: pytest.MonkeyPatch, url: str, sha256: str) -> dict[str, bytes]:
    """A layer of one package that there is in an index; file -> its bytes."""
    requirements = root / "requirements.txt"
    requirements.write_text(f"grass==1.0 --hash=sha256:{sha256}\n")
    monkeypatch.setattr(packaging, "ROOT", root)
    monkeypatch.setattr(packaging, "REQUIREMENTS", requirements)
    monkeypatch.setenv("FEDGRASS_INDEX_URL", url)
    with zipfile.ZipFile(packaging.dependencies(this_machine(), root / "cache")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_wheel_of_another_hash_does_not_get_into_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(PackageIndex()) as index:
        index.offer("grass", "1.0")
        with pytest.raises(packaging.PackagingError, match="DO NOT MATCH THE HASHES"):
            small_layer(tmp_path, monkeypatch, index.url, "0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_pip_is_told_on_this_machine_has_no_say_in_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(PackageIndex()) as index, closing(PackageIndex()) as stranger:
        file = index.offer("grass", "1.0")
        stranger.offer("grass", "1.0", size_bytes=1000)
        constraints = tmp_path / "constraints.txt"
        constraints.write_text("grass==0.9\n")
        told = {
            "index-url": stranger.url,
            "extra-index-url": stranger.url,
            "find-links": stranger.url,
            "constraint": str(constraints),
            "target": str(tmp_path / "elsewhere"),
        }
        configuration = tmp_path / "pip.conf"
        configuration.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in told.items()))
        monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
        for name, value in told.items():
            monkeypatch.setenv(f"PIP_{name.upper().replace('-', '_')}", value)
        made = small_layer(tmp_path, monkeypatch, index.url, index.sha256(file))
        assert made["python/grass.py"] == b"VERSION = '1.0'\n"
        assert made["python/grass.bin"] == b""
        assert index.asked
        assert stranger.asked == []


def test_the_layer_has_what_is_pinned_and_no_tests(layer: Path) -> None:
    names = names_in(layer.read_bytes())
    tops = {name.split("/")[1] for name in names}
    assert {"numpy", "msgspec"} <= tops
    assert all(name.startswith("python/") for name in names)
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyi", ".pyc"))]
    assert {f"{pin.replace('==', '-')}.dist-info" for pin in PINNED} <= tops


def test_the_layers_requirements_are_those_of_pyproject_with_hashes_for_both_architectures() -> None:
    text = packaging.REQUIREMENTS.read_text()
    listed = {str(requirement): requirement for requirement in requirements_of(text)}
    assert set(PINNED) <= listed.keys()
    assert listed.keys() - set(PINNED) <= set((packaging.ROOT / "constraints.txt").read_text().splitlines())
    # Of a wheel with machine code, one for each processor and each of four versions of Python.
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert {line.split("==")[0]: line.count("--hash=sha256:") for line in lines} == {
        requirement.name: 8 if requirement.name in ("numpy", "msgspec") else 1 for requirement in listed.values()
    }


def test_the_layers_requirements_lack_nothing_that_they_pull_in() -> None:
    requirements = requirements_of(packaging.REQUIREMENTS.read_text())
    check_complete(packaging.REQUIREMENTS, requirements, [])


def test_layer_and_code_stay_within_lambdas_limit(layer: Path) -> None:
    total = 0
    for data in (layer.read_bytes(), packaging.code({})):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total += sum(entry.file_size for entry in archive.infolist())
    assert total < 250 * 1024 * 1024


def test_the_functions_import_nothing_beside_their_code_and_their_layer(layer: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(tmp_path / "opt")
    with zipfile.ZipFile(io.BytesIO(packaging.code({}))) as archive:
        archive.extractall(tmp_path / "task")
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import json, cloud.averager.handler, cloud.initiator.handler\n"
        "files = {name: getattr(module, '__file__', None) for name, module in sys.modules.items()}\n"
        "print(json.dumps({name: file for name, file in files.items() if file}))"
    )
    places = [tmp_path / "task", tmp_path / "opt" / "python"]
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, *places], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    files = json.loads(run.stdout)
    allowed = [*map(str, places), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    foreign = {name: file for name, file in files.items() if not file.startswith(tuple(allowed))}
    assert foreign == {}
    for name in ("numpy", "boto3", "botocore"):
        assert files[name].startswith(str(tmp_path / "opt"))
    assert "torch" not in files


def test_the_layer_has_what_boto3_needs_for_each_service_that_the_functions_call_and_no_more(
    layer: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(tmp_path)
    called = set(re.findall(r'session\.client\("([\w-]+)"', (packaging.ROOT / "cloud" / "services.py").read_text()))
    assert len(called) == 5
    data = tmp_path / "python" / "botocore" / "data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == called
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import boto3\n"
        "session = boto3.Session('key', 'secret', region_name='cn-north-1')\n"
        "print([session.client(name).meta.endpoint_url for name in sys.argv[2:]])"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(tmp_path / "python"), *sorted(called)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("cn-north-1.amazonaws.com.cn") == len(called)


def test_the_template_names_what_the_layer_is_made_for() -> None:
    template = TEMPLATE.read_text()
    assert f"Architecture:\n    Type: String\n    Default: {ARCHITECTURES[0]}\n" in template
    assert f"AllowedValues: [{', '.join(ARCHITECTURES)}]" in template
    for architecture, machine in zip(ARCHITECTURES, ("aarch64", "x86_64"), strict=True):
        target = of_lambda(architecture)
        assert f"Runtime: python{target.python}" in template
        assert f"CompatibleRuntimes: [python{target.python}]" in template
        # Amazon Linux 2023, on which that runtime runs, has glibc 2.34: newer wheels would not load.
        fitting = [f"{glibc}_{machine}" for glibc in ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27")]
        assert list(target.platforms) == [*fitting, f"manylinux2014_{machine}"]


def test_functions_of_an_embedded_aws_are_made_for_this_machine() -> None:
    for endpoint in ("http://127.0.0.1:4566", "http://localhost:4566", "http://[::1]:4566"):
        assert target_at(endpoint, "arm64") == this_machine()
    for architecture in ARCHITECTURES:
        target = target_at("https://cloudformation.eu-central-1.amazonaws.com", architecture)
        assert target == of_lambda(architecture)
