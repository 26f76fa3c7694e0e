"""`fedgrass new`: projects that train, test and build as they are made, and folders that stay as they were."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cli.client_data import clients_of
from cli.new_project import CHECKOUT, TEMPLATES
from cli.project import load
from cloud import custom_policies
from tests.cli.running import fedgrass
from tests.paths import ROOT

NAMES = sorted(path.name for path in TEMPLATES.iterdir() if (path / "federation.yaml").is_file())
CLIENTS = {"blank": 8, "sensor": 10, "tabular": 13, "text": 16, "vision": 20}


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project of each template, with its data."""
    made = {}
    for name in NAMES:
        made[name] = tmp_path_factory.mktemp("projects") / f"my-{name}"
        ran = fedgrass("new", str(made[name]), "--template", name)
        assert ran.status == 0, ran.error
    return made


def test_there_is_a_template_for_each_that_can_be_asked_for() -> None:
    assert sorted(CLIENTS) == NAMES
    assert fedgrass("new", "nowhere", "--template", "none").status == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_project_has_all_that_it_needs(projects: dict[str, Path], name: str, tmp_path: Path) -> None:
    project = load(projects[name])
    assert project.settings.name == f"my-{name}"
    assert 20 <= len((projects[name] / "task.py").read_text().splitlines()) <= 40
    data = clients_of(projects[name] / "data", clients=None, split=None, seed=0, scratch=tmp_path)
    assert len(data.folders) == CLIENTS[name]
    assert data.holdout is not None
    for file in projects[name].iterdir():
        assert file.is_dir() or "@" not in file.read_text(), file


def test_the_tests_of_all_projects_pass(projects: dict[str, Path]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir=/"]
        + [str(project / "test_task.py") for project in projects.values()],
        cwd=projects["blank"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{len(NAMES)} passed" in ran.stdout


@pytest.mark.parametrize("component", ["com.fedgrass.Client", "com.example.Digits"])
def test_a_project_builds_its_own_component(projects: dict[str, Path], tmp_path: Path, component: str) -> None:
    project = tmp_path / "project"
    assert fedgrass("new", str(project), "--template", "blank").status == 0
    config = json.loads((project / "gdk-config.json").read_text())
    config["component"] = {component: config["component"]["com.fedgrass.Client"]}
    (project / "gdk-config.json").write_text(json.dumps(config))
    command = config["component"][component]["build"]["custom_build_command"]
    assert Path(command[1]) == CHECKOUT / "components" / "build.py"
    subprocess.run([sys.executable, *command[1:]], cwd=project, check=True, capture_output=True)
    artifacts = project / "greengrass-build" / "artifacts" / component / "NEXT_PATCH"
    assert zipfile.ZipFile(artifacts / "task.zip").namelist() == ["task.py"]
    assert "components/client/__main__.py" in zipfile.ZipFile(artifacts / "client.zip").namelist()
    assert sorted(path.name for path in artifacts.iterdir()) == ["client.zip", "task.zip"]
    (recipe,) = (project / "greengrass-build" / "recipes").iterdir()
    assert f'ComponentName: "{component}"' in recipe.read_text()
    assert f'"{component}:mqttproxy:1":' in recipe.read_text()


def test_the_policies_work_when_they_are_wanted(projects: dict[str, Path], tmp_path: Path) -> None:
    docstring, code = (projects["blank"] / "policies.py").read_text().split('"""\n\n')
    (tmp_path / "policies.py").write_text(docstring + '"""\n\n' + code.replace("# ", "").replace("#\n", "\n"))
    for file in ("task.py", "federation.yaml"):
        (tmp_path / file).write_text((projects["blank"] / file).read_text())
    text = (tmp_path / "federation.yaml").read_text()
    text = text.replace("policy: all  ", "policy: custom").replace("rule: weighted", "rule: custom")
    (tmp_path / "federation.yaml").write_text(text + "completion: custom\npacing: {policy: custom}\n")
    project = load(tmp_path)
    assert len(project.settings.custom_functions) == 4
    custom_policies.load(tmp_path, project.settings)


def test_what_to_type_next_is_told(tmp_path: Path) -> None:
    ran = fedgrass("new", str(tmp_path / "my-points"), "--template", "blank", "--json")
    assert ran.result["name"] == "my-points"
    assert all(str(tmp_path / "my-points") in command for command in ran.result["next"])
    assert ran.result["next"]


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_PROFILE": "away"}, "ap-southeast-2"),
        ({"AWS_PROFILE": "nobodys"}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": 'a", "b'}, "us-east-1"),
        ({}, "us-east-1"),
    ],
)
def test_components_are_published_in_the_region_of_your_aws_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    for variable in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "config").write_text("[profile away]\nregion = ap-southeast-2\n")
    for variable, value in ({"AWS_CONFIG_FILE": str(tmp_path / "config")} | variables).items():
        monkeypatch.setenv(variable, value)
    assert fedgrass("new", str(tmp_path / "project"), "--template", "blank", "--no-data").status == 0
    ((component,),) = [json.loads((tmp_path / "project" / "gdk-config.json").read_text())["component"].values()]
    assert component["publish"]["region"] == region


def test_without_data_there_is_none_until_it_is_made(tmp_path: Path) -> None:
    project = tmp_path / "project"
    assert fedgrass("new", str(project), "--template", "blank", "--no-data").status == 0
    assert not (project / "data").exists()
    subprocess.run([sys.executable, "make_data.py", "3"], cwd=project, check=True)
    assert len(list((project / "data" / "clients").iterdir())) == 3
    again = subprocess.run([sys.executable, "make_data.py"], cwd=project, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "is there already: remove it to make it anew" in again.stderr


def test_the_same_data_is_made_each_time(projects: dict[str, Path], tmp_path: Path) -> None:
    for name, project in projects.items():
        again = tmp_path / name
        assert fedgrass("new", str(again), "--template", name, "--name", "x").status == 0
        for file in (project / "data").rglob("data.*"):
            assert (again / file.relative_to(project)).read_bytes() == file.read_bytes(), file


@pytest.mark.parametrize("name", [".hidden", "task.py"])
def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    ran = fedgrass("new", str(tmp_path), "--name", "x")
    assert ran.status == 2
    assert f"{tmp_path} is not empty (1 entry: {name})" in ran.error
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / "other").touch()
    assert "(2 entries: " in fedgrass("new", str(tmp_path), "--name", "x").error
    (tmp_path / "other").unlink()
    assert fedgrass("new", str(tmp_path / name), "--name", "x").status == 2
    assert (tmp_path / name).read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert fedgrass("new", str(tmp_path / "there"), "--template", "blank").status == 0


@pytest.mark.parametrize(
    ("folder", "proposed"), [("My Project", "my-project"), ("_x_", "x"), ("李", "my-federation"), ("a" * 60, "a" * 40)]
)
def test_a_name_that_no_federation_can_have_is_refused_with_one_that_it_can(
    tmp_path: Path, folder: str, proposed: str
) -> None:
    ran = fedgrass("new", str(tmp_path / folder))
    assert ran.status == 2
    assert f"such as --name {proposed}" in ran.error
    assert not (tmp_path / folder).exists()
    assert fedgrass("new", str(tmp_path / folder), "--name", "Not this").status == 2
    assert not (tmp_path / folder).exists()
    assert fedgrass("new", str(tmp_path / folder), "--name", proposed, "--no-data").status == 0


def test_data_that_can_t_be_made_is_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    (tmp_path / "modules" / "numpy").mkdir(parents=True)
    (tmp_path / "modules" / "numpy" / "__init__.py").write_text("raise ImportError('numpy is broken')")
    ran = fedgrass("new", str(tmp_path / "project"), "--template", "blank")
    assert ran.status == 1
    assert "make_data.py ended with status 1" in ran.error
    assert "numpy is broken" in ran.error
    assert not (tmp_path / "project" / "data").exists()


def test_templates_name_files_that_exist() -> None:
    text = (TEMPLATES / "common" / "AGENTS.md").read_text()
    for name in ("tasks.md", "data.md", "operating.md"):
        assert f"@FEDGRASS@/docs/{name}" in text
        assert (ROOT / "docs" / name).is_file()
