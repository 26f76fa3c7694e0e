import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.nucleus.personality import CLASSIC, LITE
from sandbox.nucleus.recipe import Artifact, NoMatchingPlatformError, RecipeTraits, read
from sandbox.recipe_keys import RecipeError

LINUX = {"os": "linux", "architecture": "aarch64"}


def recipe(directory: Path, *manifests: dict[str, Any]) -> Path:
    path = directory / "recipe.yaml"
    path.write_text(yaml.safe_dump({"ComponentName": "c", "ComponentVersion": "1.2.3", "Manifests": list(manifests)}))
    return path


def manifest(architecture: str, script: str) -> dict[str, Any]:
    return {"Platform": {"os": "linux", "architecture": architecture, "runtime": "*"}, "Lifecycle": {"run": script}}


def test_the_first_manifest_for_the_platform_is_taken(tmp_path: Path) -> None:
    path = recipe(tmp_path, manifest("amd64", "one"), manifest("*", "two"), manifest("aarch64", "three"))
    assert read(path, CLASSIC.recipes, LINUX).steps["run"].script == "two"


def test_no_manifest_for_the_platform_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoMatchingPlatformError, match="aarch64"):
        read(recipe(tmp_path, manifest("amd64", "one")), CLASSIC.recipes, LINUX)


def test_steps_are_read_in_each_of_their_forms(tmp_path: Path) -> None:
    lifecycle = {
        "Setenv": {"A": 1, "B": "shared"},
        "install": {"script": "make", "timeout": 3600, "Setenv": {"B": "own"}},
        "Run": "go",
    }
    steps = read(recipe(tmp_path, {"Lifecycle": lifecycle}), CLASSIC.recipes, LINUX).steps
    assert (steps["install"].script, steps["install"].timeout_s) == ("make", 3600)
    assert steps["install"].environment == {"A": "1", "B": "own"}
    assert (steps["run"].script, steps["run"].timeout_s, steps["run"].environment["B"]) == ("go", 120, "shared")


@pytest.mark.parametrize(
    "lifecycle",
    [{"bootstrap": "x"}, {"run": {"Script": "x", "RequiresPrivilege": True}}, {"run": {"Timeout": 1}}, {"run": 5}],
)
def test_what_a_nucleus_would_not_run_is_refused(tmp_path: Path, lifecycle: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        read(recipe(tmp_path, {"Lifecycle": lifecycle}), CLASSIC.recipes, LINUX)


def test_artifacts_go_by_the_file_names_of_their_uris(tmp_path: Path) -> None:
    path = recipe(
        tmp_path, {"Artifacts": [{"Uri": "s3://bucket/c/1.2.3/a.zip", "Unarchive": "ZIP"}, {"URI": "s3://b/b.txt"}]}
    )
    assert read(path, CLASSIC.recipes, LINUX).artifacts == (
        Artifact(name="a.zip", uri="s3://bucket/c/1.2.3/a.zip", zipped=True),
        Artifact(name="b.txt", uri="s3://b/b.txt", zipped=False),
    )


def test_classic_finds_keys_in_any_case_and_lite_only_in_their_own(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"componentname": "c", "componentversion": "1.2.3", "manifests": [{}]}))
    assert read(path, CLASSIC.recipes, LINUX).name == "c"
    with pytest.raises(RecipeError):
        read(path, LITE.recipes, LINUX)
    steps = {"Run": "never", "run": {"script": "no", "Script": "yes"}}
    path = recipe(tmp_path, manifest("aarch64", "") | {"Lifecycle": steps})
    assert [step.script for step in read(path, LITE.recipes, LINUX).steps.values()] == ["yes"]


@pytest.mark.parametrize(
    ("platform", "takers"),
    [
        ({"os": "linux"}, [CLASSIC]),
        ({"os": "linux", "runtime": "*"}, [CLASSIC, LITE]),
        ({"os": "linux", "runtime": "aws_nucleus_lite"}, [LITE]),
        ({"runtime": "*"}, [CLASSIC]),
        ({"Os": "linux", "Runtime": "*"}, [CLASSIC]),
    ],
)
def test_lite_takes_manifests_that_name_a_runtime(
    tmp_path: Path, platform: dict[str, str], takers: list[object]
) -> None:
    path = recipe(tmp_path, {"Platform": platform, "Lifecycle": {"run": "x"}})
    for personality in (CLASSIC, LITE):
        if personality in takers:
            assert read(path, personality.recipes, LINUX).steps["run"].script == "x"
        else:
            with pytest.raises(NoMatchingPlatformError, match=f"aws_nucleus_{personality.name}"):
                read(path, personality.recipes, LINUX)


@pytest.mark.parametrize(
    ("traits", "file", "expected"),
    [
        (CLASSIC.recipes, "recipe.yaml", {"a": 7, "b": True, "c": [1.5, "x"]}),
        (LITE.recipes, "recipe.yaml", {"a": "7", "b": "true", "c": ["1.5", "x"]}),
        (LITE.recipes, "recipe.json", {"a": 7, "b": True, "c": [1.5, "x"]}),
    ],
)
def test_lite_makes_texts_of_all_scalars_in_yaml(
    tmp_path: Path, traits: RecipeTraits, file: str, expected: dict[str, object]
) -> None:
    document = {
        "ComponentName": "c",
        "ComponentVersion": "1.2.3",
        "ComponentConfiguration": {"DefaultConfiguration": {"a": 7, "b": True, "c": [1.5, "x"]}},
        "Manifests": [manifest("*", "x")],
    }
    dump = json.dumps if file.endswith("json") else yaml.safe_dump
    (tmp_path / file).write_text(dump(document))
    assert read(tmp_path / file, traits, LINUX).default_configuration == expected


def test_lite_has_no_shutdown_no_recover_and_no_skipif(tmp_path: Path) -> None:
    lifecycle = {"run": {"Script": "x", "Skipif": "onpath sh", "Timeout": 5}, "shutdown": "y", "recover": "z"}
    path = recipe(tmp_path, manifest("*", "") | {"Lifecycle": lifecycle})
    classic, lite = (read(path, personality.recipes, LINUX).steps for personality in (CLASSIC, LITE))
    assert (list(classic), list(lite)) == (["recover", "run", "shutdown"], ["run"])
    assert (classic["run"].skip_if, lite["run"].skip_if) == ("onpath sh", "")
    assert classic["run"].timeout_s == lite["run"].timeout_s == 5
    assert classic["shutdown"].timeout_s == 15


def test_nucleus_lite_passes_over_a_dependency_on_the_classic_one(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    needed = {name: {"VersionRequirement": ">=2.0.0"} for name in ("aws.greengrass.Nucleus", "com.example.Other")}
    text = {"ComponentName": "c", "ComponentVersion": "1.2.3", "Manifests": [manifest("aarch64", "go")]}
    path.write_text(yaml.safe_dump(text | {"ComponentDependencies": needed}))
    assert set(read(path, CLASSIC.recipes, LINUX).dependencies) == set(needed)
    assert set(read(path, LITE.recipes, LINUX).dependencies) == {"com.example.Other"}
