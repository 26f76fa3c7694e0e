from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.nucleus.configuration import Configuration
from sandbox.nucleus.recipe import NoMatchingPlatformError, RecipeError, Variables, interpolate, read

LINUX = {"os": "linux", "architecture": "aarch64"}


def recipe(directory: Path, *manifests: dict[str, Any]) -> Path:
    path = directory / "recipe.yaml"
    path.write_text(yaml.safe_dump({"ComponentName": "c", "componentversion": "1.2.3", "Manifests": list(manifests)}))
    return path


def manifest(architecture: str, script: str) -> dict[str, Any]:
    return {"Platform": {"os": "linux", "architecture": architecture, "runtime": "*"}, "Lifecycle": {"run": script}}


def variables(**configuration: Any) -> Variables:
    return Variables(
        thing="thing-1",
        artifacts=Path("/gg/packages/artifacts/c/1.2.3"),
        work=Path("/gg/work/c"),
        root=Path("/gg"),
        configuration=Configuration(configuration),
    )


def test_the_first_manifest_for_the_platform_is_taken(tmp_path: Path) -> None:
    path = recipe(tmp_path, manifest("amd64", "one"), manifest("*", "two"), manifest("aarch64", "three"))
    assert read(path, LINUX).steps["run"].script == "two"


def test_no_manifest_for_the_platform_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoMatchingPlatformError, match="aarch64"):
        read(recipe(tmp_path, manifest("amd64", "one")), LINUX)


def test_steps_are_read_in_each_of_their_forms(tmp_path: Path) -> None:
    lifecycle = {
        "Setenv": {"A": 1, "B": "shared"},
        "install": {"script": "make", "timeout": 3600, "Setenv": {"B": "own"}},
        "Run": "go",
    }
    steps = read(recipe(tmp_path, {"Lifecycle": lifecycle}), LINUX).steps
    assert (steps["install"].script, steps["install"].timeout_s) == ("make", 3600)
    assert steps["install"].environment == {"A": "1", "B": "own"}
    assert (steps["run"].script, steps["run"].timeout_s, steps["run"].environment["B"]) == ("go", 120, "shared")


@pytest.mark.parametrize(
    "lifecycle",
    [{"shutdown": "x"}, {"run": {"Script": "x", "RequiresPrivilege": True}}, {"run": {"Timeout": 1}}, {"run": 5}],
)
def test_what_a_nucleus_would_not_run_is_refused(tmp_path: Path, lifecycle: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        read(recipe(tmp_path, {"Lifecycle": lifecycle}), LINUX)


def test_artifacts_go_by_the_file_names_of_their_uris(tmp_path: Path) -> None:
    path = recipe(tmp_path, {"Artifacts": [{"Uri": "s3://bucket/c/1.2.3/a.zip"}, {"URI": "s3://bucket/b.txt"}]})
    assert read(path, LINUX).artifacts == ("a.zip", "b.txt")


def test_variables_are_filled_in() -> None:
    script = '"{artifacts:path}/a.zip" {work:path}/../x {iot:thingName} $HOME {configuration:/a/b} {configuration:/n}'
    assert interpolate(script, variables(a={"b": "text"}, n=7)) == (
        '"/gg/packages/artifacts/c/1.2.3/a.zip" /gg/work/c/../x thing-1 $HOME text 7'
    )


@pytest.mark.parametrize(
    "script", ["echo ${HOME}", "{artifacts:decompressedPath}/x", "awk '{ print }'", "{configuration:/missing}", "a {"]
)
def test_a_brace_that_nucleus_lite_would_trip_over_is_refused(script: str) -> None:
    with pytest.raises(RecipeError):
        interpolate(script, variables())
