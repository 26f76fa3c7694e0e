"""components/build.py: what it makes of the checkout, that it always makes the same, and what it refuses."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from components import client
from components.build import BuiltComponent, RecipeError, build
from components.gdk_config import ConfigError
from components.task_folder import TaskFolderError
from components.task_requirements import TaskRequirementsError
from operations import component_versions
from protocol import names
from tests.paths import ROOT

ROOTS = {"com.fedgrass.Client": ROOT, "com.fedgrass.Runtime": ROOT / "components" / "runtime"}
SCHEMA = json.loads((Path(__file__).parent / "recipe_schema.json").read_text())


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with a module of its own and two data files."""
    directory = tmp_path / "task"
    (directory / "data").mkdir(parents=True)
    (directory / "models").mkdir()
    (directory / "task.py").write_text("from models import net\n")
    (directory / "models" / "net.py").write_text("WIDTH = 64\n")
    (directory / "data" / "words.txt").write_text("grass\n")
    (directory / "data" / "numbers.bin").write_bytes(b"\0\1\2")
    return directory


@pytest.fixture
def checkout(tmp_path: Path, task: Path) -> Path:
    """A copy of what a build reads, to change."""
    return copy_checkout(tmp_path / "checkout", task)


@pytest.fixture(params=ROOTS)
def built(request: pytest.FixtureRequest, tmp_path: Path, task: Path) -> BuiltComponent:
    """Each component of this checkout, built."""
    return build(ROOTS[request.param], tmp_path / "output", task)


def copy_checkout(target: Path, task: Path) -> Path:
    for name in ("components/client", "components/runtime", "fedgrass", "protocol", "recipes"):
        shutil.copytree(ROOT / name, target / name, symlinks=True)
    modules = (file.relative_to(ROOT).as_posix() for file in (ROOT / "components").glob("*.py"))
    for name in (*modules, "gdk-config.json", "recipe.yaml"):
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    shutil.copytree(task, target / "components/tasks/mnist")
    return target


def digests(directory: Path) -> dict[str, str]:
    return {
        file.relative_to(directory).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.rglob("*")
        if file.is_file()
    }


def lower(value: Any) -> Any:
    """A recipe as GDK checks it: all names in lower case."""
    if isinstance(value, dict):
        return {key.lower(): lower(item) for key, item in value.items()}
    return [lower(item) for item in value] if isinstance(value, list) else value


def parse(built: BuiltComponent) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load(built.recipe.read_text())
    return recipe


def scripts(recipe: dict[str, Any]) -> Iterator[str]:
    for manifest in recipe["Manifests"]:
        for step in manifest["Lifecycle"].values():
            yield step["Script"]


def edit_config(root: Path, **changes: object) -> None:
    path = root / "gdk-config.json"
    config = json.loads(path.read_text())
    config["component"]["com.fedgrass.Client"].update(changes)
    path.write_text(json.dumps(config))


# --- what is made ---


def test_client_zip_holds_the_agent_and_the_protocol_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    (checkout / "protocol" / "__pycache__").mkdir(exist_ok=True)
    (checkout / "protocol" / "__pycache__" / "names.cpython-311.pyc").write_bytes(b"")
    (checkout / "components" / "client" / "notes.txt").write_text("not code")
    artifacts = build(checkout, tmp_path / "output").artifacts

    packed = zipfile.ZipFile(artifacts / "client.zip").namelist()

    expected = ["components/__init__.py"]
    for package in ("components/client", "fedgrass", "protocol"):
        expected += [file.relative_to(checkout).as_posix() for file in (checkout / package).rglob("*.py")]
    assert packed == sorted(expected)


def test_task_zip_holds_the_task_at_its_root_and_data_files_lie_beside_it(task: Path, tmp_path: Path) -> None:
    artifacts = build(ROOT, tmp_path / "output", task).artifacts

    assert zipfile.ZipFile(artifacts / "task.zip").namelist() == ["models/net.py", "task.py"]
    assert {file.name for file in artifacts.iterdir()} == {"client.zip", "task.zip", "words.txt", "numbers.bin"}
    assert (artifacts / "numbers.bin").read_bytes() == b"\0\1\2"


def test_python_runs_the_agent_from_the_zip(task: Path, tmp_path: Path) -> None:
    built = build(ROOT, tmp_path / "output", task)
    archive = built.artifacts / "client.zip"
    (module,) = {match[1] for script in scripts(parse(built)) if (match := re.search(r" -m (\S+)", script))}
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "import importlib.util, protocol.messages, protocol.names, protocol.tensors\n"
        f"print(importlib.util.find_spec({module + '.__main__'!r}).origin, protocol.tensors.__file__)"
    )
    found = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == [
        f"{archive}/components/client/__main__.py",
        f"{archive}/protocol/tensors.py",
    ]


def test_the_task_named_in_gdk_config_is_the_one_that_is_built(checkout: Path, tmp_path: Path) -> None:
    other = checkout / "components/tasks/other"
    other.mkdir()
    (other / "task.py").write_text("# another task\n")
    edit_config(
        checkout,
        build={
            "build_system": "custom",
            "custom_build_command": ["python3", "components/build.py", "--task", "components/tasks/other"],
        },
    )
    artifacts = build(checkout, tmp_path / "output").artifacts
    assert zipfile.ZipFile(artifacts / "task.zip").read("task.py") == b"# another task\n"


def test_what_an_earlier_build_left_is_gone(task: Path, tmp_path: Path) -> None:
    first = build(ROOT, tmp_path / "output", task)
    first.recipe.with_name("com.fedgrass.Client-0.0.9.yaml").write_text("as GDK published it")
    (task / "data" / "words.txt").unlink()
    again = build(ROOT, tmp_path / "output", task)
    assert not (again.artifacts / "words.txt").exists()
    assert list(again.recipe.parent.iterdir()) == [again.recipe]


def test_a_build_of_one_component_leaves_the_other_alone(task: Path, tmp_path: Path) -> None:
    runtime = build(ROOTS["com.fedgrass.Runtime"], tmp_path / "output")
    before = digests(runtime.artifacts)
    build(ROOT, tmp_path / "output", task)
    assert digests(runtime.artifacts) == before
    assert runtime.recipe.is_file()


def test_this_checkout_builds_with_its_own_task(tmp_path: Path) -> None:
    built = build(ROOT, tmp_path / "output")
    assert "task.py" in zipfile.ZipFile(built.artifacts / "task.zip").namelist()


# --- always the same ---


def test_builds_are_the_same_byte_for_byte(task: Path, tmp_path: Path) -> None:
    results = []
    for number, (zone, mask) in enumerate([("UTC", 0o022), ("Asia/Tokyo", 0o077)]):
        root = copy_checkout(tmp_path / f"checkout-{number}", task)
        for file in root.rglob("*.py"):
            os.utime(file, (10**9 + number * 10**8,) * 2)
            file.chmod(0o600 + number * 0o155)
        subprocess.run([sys.executable, "components/build.py"], cwd=root, env={"TZ": zone}, umask=mask, check=True)
        results.append(digests(root / "greengrass-build"))
    assert results[0] == results[1]


@pytest.mark.skipif(shutil.which("gdk") is None, reason="the GDK CLI is not on PATH")
@pytest.mark.parametrize("folder", [".", "components/runtime"])
def test_gdk_builds_the_same_bytes_as_a_build_without_it(checkout: Path, folder: str) -> None:
    root = checkout / folder
    subprocess.run(["gdk", "component", "build"], cwd=root, check=True)
    by_gdk = digests(root / "greengrass-build")
    shutil.rmtree(root / "greengrass-build")
    subprocess.run([sys.executable, checkout / "components/build.py"], cwd=root, check=True)
    assert digests(root / "greengrass-build") == by_gdk


# --- the recipes ---


def test_recipe_passes_the_schema(built: BuiltComponent) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(lower(parse(built)))


def test_recipe_serves_both_nuclei_on_both_architectures_and_no_other(built: BuiltComponent) -> None:
    recipe = parse(built)
    assert [manifest["Platform"] for manifest in recipe["Manifests"]] == [
        {"os": "linux", "architecture": "aarch64", "runtime": "*"},
        {"os": "linux", "architecture": "amd64", "runtime": "*"},
    ]
    assert recipe["ComponentDependencies"]["aws.greengrass.Nucleus"]["DependencyType"] == "SOFT"


def test_artifacts_of_the_recipe_are_the_files_that_were_made(built: BuiltComponent) -> None:
    made = sorted(file.name for file in built.artifacts.iterdir())
    for manifest in parse(built)["Manifests"]:
        uris = [artifact["Uri"] for artifact in manifest["Artifacts"]]
        assert sorted(uri.rpartition("/")[2] for uri in uris) == made
        # The part that GDK replaces when it publishes.
        assert {uri.rpartition("/")[0] for uri in uris} == {"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION"}


def test_recipe_says_name_version_and_author_of_gdk_config(built: BuiltComponent) -> None:
    config = json.loads((ROOTS[built.name] / "gdk-config.json").read_text())
    recipe = parse(built)
    assert built.recipe.name == f"{built.name}.yaml"
    assert recipe["ComponentName"] == built.name
    assert recipe["ComponentVersion"] == built.version == config["component"][built.name]["version"]
    assert recipe["ComponentPublisher"] == config["component"][built.name]["author"]


def test_next_patch_is_what_is_built_at_first_and_left_for_gdk_to_replace(checkout: Path, tmp_path: Path) -> None:
    built = build(checkout, tmp_path / "output")
    assert built.artifacts == tmp_path / "output/artifacts/com.fedgrass.Client/NEXT_PATCH"
    assert parse(built)["ComponentVersion"] == "NEXT_PATCH"


def test_recipe_survives_an_author_with_quotes(checkout: Path, tmp_path: Path) -> None:
    edit_config(checkout, author='Ada "the first" Lovelace: Ω')
    assert parse(build(checkout, tmp_path / "output"))["ComponentPublisher"] == 'Ada "the first" Lovelace: Ω'


def test_a_component_of_another_name_has_that_throughout_and_may_have_its_own_runtime(
    checkout: Path, tmp_path: Path
) -> None:
    config = json.loads((checkout / "gdk-config.json").read_text())
    (component,) = config["component"].values()
    component["build"]["custom_build_command"] += ["--runtime", "com.example.LeafRuntime"]
    (checkout / "gdk-config.json").write_text(json.dumps(config | {"component": {"com.example.Leaves": component}}))
    built = build(checkout, tmp_path / "output")
    said = parse(built)
    assert set(said["ComponentDependencies"]) == {
        "aws.greengrass.Nucleus",
        "aws.greengrass.TokenExchangeService",
        "com.example.LeafRuntime",
    }
    policies = said["ComponentConfiguration"]["DefaultConfiguration"]["accessControl"]["aws.greengrass.ipc.mqttproxy"]
    assert set(policies) == {"com.example.Leaves:mqttproxy:1", "com.example.Leaves:mqttproxy:2"}
    assert all('"{work:path}/../com.example.LeafRuntime/venv/bin/python"' in script for script in scripts(said))
    assert "com.fedgrass" not in json.dumps(said)


def test_a_runtime_of_another_name_is_built_in_a_folder_with_its_config_and_recipe(tmp_path: Path, task: Path) -> None:
    runtime = ROOTS["com.fedgrass.Runtime"]
    config = json.loads((runtime / "gdk-config.json").read_text())
    (component,) = config["component"].values()
    own = tmp_path / "runtime"
    own.mkdir()
    (own / "gdk-config.json").write_text(json.dumps(config | {"component": {"com.example.LeafRuntime": component}}))
    shutil.copy(runtime / "recipe.yaml", own)
    built = build(own, tmp_path / "output", task)
    stock = build(runtime, tmp_path / "stock", task)
    assert built.name == parse(built)["ComponentName"] == "com.example.LeafRuntime"
    assert digests(built.artifacts) == digests(stock.artifacts)


@pytest.mark.parametrize("runtime", ["../Runtime", "", "a b"])
def test_a_runtime_that_no_component_can_be_is_refused(checkout: Path, tmp_path: Path, runtime: str) -> None:
    command = ["python3", "components/build.py", "--task", "components/tasks/mnist", "--runtime", runtime]
    edit_config(checkout, build={"build_system": "custom", "custom_build_command": command})
    with pytest.raises(ConfigError, match=re.escape(f"component name {runtime!r} may only have")):
        build(checkout, tmp_path / "output")


def test_client_may_use_what_it_needs_of_mqtt_and_no_more(task: Path, tmp_path: Path) -> None:
    configuration = parse(build(ROOT, tmp_path / "output", task))["ComponentConfiguration"]
    policies = configuration["DefaultConfiguration"]["accessControl"]["aws.greengrass.ipc.mqttproxy"].values()

    def allowed(operation: str, topic: str) -> bool:
        return any(
            fnmatchcase(topic, resource)
            for policy in policies
            if f"aws.greengrass#{operation}" in policy["operations"]
            for resource in policy["resources"]
        )

    for tail in ("get/accepted", "get/rejected", "update/delta", "update/rejected"):
        topic = names.shadow_topic("digits", "shed-1", tail)
        assert allowed("SubscribeToIoTCore", topic)
        assert not allowed("PublishToIoTCore", topic)
    for tail in ("get", "update"):
        assert allowed("PublishToIoTCore", names.shadow_topic("digits", "shed-1", tail))
    assert allowed("PublishToIoTCore", names.hello_topic("digits", "shed-1"))
    assert not allowed("PublishToIoTCore", names.round_topic("digits"))
    assert not allowed("PublishToIoTCore", "$aws/things/shed-1/shadow/name/lights/update")
    assert not allowed("PublishToIoTCore", "$aws/things/shed-1/shadow/update")


def test_access_control_has_no_variable_that_a_nucleus_may_not_fill_in(task: Path, tmp_path: Path) -> None:
    configuration = parse(build(ROOT, tmp_path / "output", task))["ComponentConfiguration"]
    assert "{iot:" not in json.dumps(configuration)


def test_versions_are_in_step(task: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == client.__version__

    recipe = parse(build(ROOT, tmp_path / "output", task))
    accepted = recipe["ComponentDependencies"]["com.fedgrass.Runtime"]["VersionRequirement"]
    lowest, below = re.fullmatch(r">=(\S+) <(\S+)", accepted).groups()  # type: ignore[union-attr]
    for published in ("0.1.0", component_versions.FIRST):  # by earlier configurations, and by NEXT_PATCH
        assert numbers(lowest) <= numbers(published) < numbers(component_versions.next_patch([published]))
        assert numbers(component_versions.next_patch([published])) < numbers(below)


def numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


# --- what is refused ---


def test_a_directory_without_gdk_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gdk-config\.json is missing"):
        build(tmp_path, tmp_path / "output")


@pytest.mark.parametrize("text", ["[]", "{", '{"component": {}}', '{"component": {"a": {"author": "me"}}}'])
def test_a_gdk_config_that_describes_no_component_is_refused(checkout: Path, tmp_path: Path, text: str) -> None:
    (checkout / "gdk-config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"gdk-config\.json (is not JSON|must describe one component)"):
        build(checkout, tmp_path / "output")


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0 ", "01.0.0", "", "../1.0.0", 1])
def test_a_version_that_is_not_semantic_is_refused(checkout: Path, tmp_path: Path, version: object) -> None:
    edit_config(checkout, version=version)
    with pytest.raises(ConfigError, match=re.escape(f"version {version!r}")):
        build(checkout, tmp_path / "output")


@pytest.mark.parametrize("version", ["0.1.0", "1.2.3-rc.1+build.5", "10.20.30-0a"])
def test_a_semantic_version_is_taken(checkout: Path, tmp_path: Path, version: str) -> None:
    edit_config(checkout, version=version)
    assert build(checkout, tmp_path / "output").version == version


def test_a_task_without_task_py_is_refused(task: Path, tmp_path: Path) -> None:
    (task / "task.py").unlink()
    with pytest.raises(TaskFolderError, match=re.escape(f"{task} has no task.py")):
        build(ROOT, tmp_path / "output", task)


def test_a_task_that_does_not_compile_is_refused_with_file_and_line(task: Path, tmp_path: Path) -> None:
    (task / "task.py").write_text("import math\n\ndef build_model(:\n")
    with pytest.raises(TaskFolderError, match=re.escape(f"{task / 'task.py'}:3: ")):
        build(ROOT, tmp_path / "output", task)


def test_a_task_with_a_null_byte_is_refused_with_its_file(task: Path, tmp_path: Path) -> None:
    (task / "models" / "net.py").write_bytes(b"WIDTH = 64\n\0")
    with pytest.raises(TaskFolderError, match=re.escape(str(task / "models" / "net.py"))):
        build(ROOT, tmp_path / "output", task)


@pytest.mark.parametrize("name", ["client.zip", "task.zip", "a b.txt", "naïve.txt", "[1].txt"])
def test_a_data_file_that_cannot_be_an_artifact_is_refused(task: Path, tmp_path: Path, name: str) -> None:
    (task / "data" / name).write_text("")
    with pytest.raises(TaskFolderError, match=re.escape(str(task / "data" / name))):
        build(ROOT, tmp_path / "output", task)


def test_a_folder_among_the_data_files_is_refused(task: Path, tmp_path: Path) -> None:
    (task / "data" / "train").mkdir()
    with pytest.raises(TaskFolderError, match="artifacts are a flat list"):
        build(ROOT, tmp_path / "output", task)


@pytest.mark.parametrize("folders", [["clients/pi-1", "clients/pi-2", "holdout"], ["pi-1", "pi-2"]])
def test_data_of_clients_stays_on_this_machine(task: Path, tmp_path: Path, folders: list[str]) -> None:
    shutil.rmtree(task / "data")
    for folder in folders:
        (task / "data" / folder).mkdir(parents=True)
        (task / "data" / folder / "data.csv").write_text("x\n1\n")
    if "holdout" in folders:
        (task / "data" / "split.json").write_text("{}")
    built = build(ROOT, tmp_path / "output", task)
    assert sorted(path.name for path in built.artifacts.iterdir()) == ["client.zip", "task.zip"]
    assert zipfile.ZipFile(built.artifacts / "task.zip").namelist() == ["models/net.py", "task.py"]
    assert any("left out  data: data of clients" in line for line in built.report)


def test_data_of_clients_may_lie_elsewhere(task: Path, tmp_path: Path) -> None:
    shutil.rmtree(task / "data")
    (tmp_path / "disk" / "clients" / "pi-1").mkdir(parents=True)
    (task / "data").symlink_to(tmp_path / "disk")
    assert not [path for path in build(ROOT, tmp_path / "output", task).artifacts.iterdir() if path.suffix != ".zip"]


def test_what_lies_beside_a_task_for_those_who_work_on_it_stays_there(task: Path, tmp_path: Path) -> None:
    for name in ("gdk-config.json", "recipe.yaml", "AGENTS.md", "make_data.py"):
        (task / name).write_text("")
    artifacts = build(ROOT, tmp_path / "output", task).artifacts
    assert zipfile.ZipFile(artifacts / "task.zip").namelist() == ["models/net.py", "task.py"]


def test_a_recipe_that_greengrass_would_not_take_is_refused(task: Path, tmp_path: Path) -> None:
    for number in range(100):
        (task / "data" / f"measurements-of-one-day-{number:03d}.csv").write_text("")
    with pytest.raises(RecipeError, match=r"has \d+ bytes, AWS IoT Greengrass takes 16000"):
        build(ROOT, tmp_path / "output", task)


def test_an_artifact_that_nothing_makes_is_refused(checkout: Path, tmp_path: Path) -> None:
    recipe = checkout / "recipes" / "com.fedgrass.Client.yaml"
    recipe.write_text(recipe.read_text().replace("/client.zip", "/agent.zip"))
    with pytest.raises(RecipeError, match=r"names the artifact agent\.zip"):
        build(checkout, tmp_path / "output")


def test_a_recipe_that_a_nucleus_would_read_otherwise_is_refused_with_each_fault_on_a_line(checkout: Path) -> None:
    recipe = checkout / "recipes" / "com.fedgrass.Client.yaml"
    recipe.write_text(recipe.read_text().replace('runtime: "*"', "Runtime: lite").replace("exec env", "exec ${ENV}"))
    run = subprocess.run(
        [sys.executable, "components/build.py"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    told = [line.partition("build.py: recipe.yaml: ")[2] for line in run.stderr.splitlines() if "build.py" in line]
    assert told == [
        "Manifests/0/Lifecycle/run/Script: '${ENV}': write $ENV: nucleus lite cuts the text at the brace",
        "Manifests/1/Lifecycle/run/Script: '${ENV}': write $ENV: nucleus lite cuts the text at the brace",
        "Manifests/0/Platform/Runtime: write runtime: nucleus lite compares keys letter by letter",
        "Manifests/1/Platform/Runtime: write runtime: nucleus lite compares keys letter by letter",
    ]
    assert not (checkout / "greengrass-build").exists()


def test_an_artifact_with_another_uri_is_refused(checkout: Path, tmp_path: Path) -> None:
    recipe = checkout / "recipes" / "com.fedgrass.Client.yaml"
    recipe.write_text(recipe.read_text().replace("s3://BUCKET_NAME/", "s3://mine/"))
    with pytest.raises(RecipeError, match="write '- Uri: s3://mine/"):
        build(checkout, tmp_path / "output")


def test_the_command_says_what_is_wrong_in_one_line_and_fails(tmp_path: Path) -> None:
    script = ROOT / "components" / "build.py"
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "build.py: gdk-config.json is missing: build in the directory of a component's gdk-config.json"
    ]


def test_a_task_with_errors_is_not_built_where_it_can_be_tried_out(task: Path, tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "checkout", task)
    (root / "components/tasks/mnist/federation.yaml").write_text(
        "name: other\ntraining: {epochs: 1, batch_size: 8, learning_rate: 0.1}\n"
    )
    (root / "components/tasks/mnist/task.py").write_text("def bulid_model():\n    pass\n")
    command = [sys.executable, "components/build.py", "--task", "components/tasks/mnist"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], cwd=root, capture_output=True, text=True, check=False)

    assert "was not tried out: the fedgrass command is not installed here" in run().stderr
    shutil.rmtree(root / "greengrass-build")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/fedgrass").symlink_to(Path(sys.executable).parent / "fedgrass")
    refused = run()
    assert refused.returncode == 1
    assert "components/tasks/mnist/task.py:1: error: task.py has no function build_model()" in refused.stdout
    assert "--no-check builds it nevertheless" in refused.stderr
    assert not (root / "greengrass-build").exists()
    assert run("--no-check").returncode == 0


def test_the_script_needs_the_standard_library_alone() -> None:
    for path in (*(ROOT / "components").glob("*.py"), ROOT / "protocol" / "names.py"):
        source = path.read_text()
        imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
        assert imported <= sys.stdlib_module_names | {"components", "protocol"}


def test_the_packages_of_a_task_are_built_into_the_runtime(task: Path, tmp_path: Path) -> None:
    plain = build(ROOTS["com.fedgrass.Runtime"], tmp_path / "plain")
    without = build(ROOTS["com.fedgrass.Runtime"], tmp_path / "without", task)
    assert digests(tmp_path / "plain") == digests(tmp_path / "without")
    (task / "requirements.txt").write_text(f"grass==1.0 --hash=sha256:{'a' * 64}\n")
    built = build(ROOTS["com.fedgrass.Runtime"], tmp_path / "with", task)
    before, after = ((one.artifacts / "requirements.txt").read_text() for one in (plain, built))
    assert after == f"{before}# of the task\ngrass==1.0 \\\n    --hash=sha256:{'a' * 64}\n"
    assert built.report == ("the task needs grass==1.0, which com.fedgrass.Runtime has if its build has --task",)
    assert without.report == ()
    client = build(ROOT, tmp_path / "client", task)
    assert built.report[0] in client.report
    with zipfile.ZipFile(client.artifacts / "task.zip") as packed:
        assert "requirements.txt" not in packed.namelist()


def test_gdk_config_may_name_the_task_of_the_runtime_as_well(checkout: Path, tmp_path: Path) -> None:
    runtime = checkout / "components" / "runtime"
    (checkout / "components/tasks/mnist/requirements.txt").write_text(f"grass==1.0 --hash=sha256:{'a' * 64}\n")
    config = json.loads((runtime / "gdk-config.json").read_text())
    command = ["python3", "../build.py", "--task", "../tasks/mnist"]
    config["component"]["com.fedgrass.Runtime"]["build"]["custom_build_command"] = command
    (runtime / "gdk-config.json").write_text(json.dumps(config))
    built = build(runtime, tmp_path / "output")
    assert "\ngrass==1.0 " in (built.artifacts / "requirements.txt").read_text()


def test_no_component_is_built_with_packages_that_devices_could_not_install(task: Path, tmp_path: Path) -> None:
    (task / "requirements.txt").write_text("grass\n")
    for root in ROOTS.values():
        with pytest.raises(TaskRequirementsError, match=r"requirements.txt:1: grass: which version"):
            build(root, tmp_path / "output", task)
    (task / "requirements.txt").write_text("\ngrass==1.0\n")
    with pytest.raises(TaskRequirementsError, match=r"requirements.txt:2: grass==1.0 has no hash\n.*hash_requirements"):
        build(ROOTS["com.fedgrass.Runtime"], tmp_path / "output", task)
