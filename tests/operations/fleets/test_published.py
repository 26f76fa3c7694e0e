"""operations/fleets/published.py: what is read of a recipe, as this project's recipes are published."""

import json
from typing import Any

import boto3
import yaml
from botocore.stub import Stubber

from operations.fleets.published import Registry, read_recipe
from tests.paths import ROOT

RECIPES = (ROOT / "recipes" / "com.fedgrass.Client.yaml", ROOT / "components" / "runtime" / "recipe.yaml")


def test_the_keys_the_dependencies_and_the_artifacts_of_a_recipe_are_found() -> None:
    written = yaml.safe_load(RECIPES[0].read_text())
    text = json.dumps(written).replace("BUCKET_NAME", "components-1")
    recipe = read_recipe(text.encode())
    assert recipe.configuration["reconcile_s"] == 300
    assert recipe.dependencies["{RUNTIME_NAME}"].startswith(">=")
    assert {artifact.partition("/")[0] for artifact in recipe.artifacts} == {"components-1"}
    assert "components-1/COMPONENT_NAME/COMPONENT_VERSION/client.zip" in recipe.artifacts


def test_the_keys_of_a_recipe_may_be_in_any_case() -> None:
    recipe = read_recipe(
        b'{"componentconfiguration": {"defaultConfiguration": {"accessControl": {"A": 1}, "Key": 2}}, '
        b'"COMPONENTDEPENDENCIES": {"com.Some.One": {"versionRequirement": "^1.0.0"}}, '
        b'"manifests": [{"artifacts": [{"URI": "s3://b/c/d.zip"}, {"uri": "S3://b/e.zip"}, {"Uri": "greengrass:x"}]}]}'
    )
    assert recipe.configuration == {"accessControl": {"A": 1}, "Key": 2}
    assert recipe.dependencies == {"com.Some.One": "^1.0.0"}
    assert recipe.artifacts == {"b/c/d.zip", "b/e.zip"}


def test_a_recipe_without_configuration_has_none() -> None:
    recipe = read_recipe(b'{"RecipeFormatVersion": "2020-01-25", "ComponentConfiguration": null}')
    assert (recipe.configuration, recipe.dependencies, recipe.artifacts) == ({}, {}, frozenset())


def test_no_key_is_of_two_components() -> None:
    keys = [set(yaml.safe_load(path.read_text())["ComponentConfiguration"]["DefaultConfiguration"]) for path in RECIPES]
    assert not keys[0] & keys[1]


def test_components_are_looked_for_in_the_partition_of_the_credentials() -> None:
    session = boto3.Session(aws_access_key_id="key", aws_secret_access_key="secret", region_name="cn-north-1")  # noqa: S106
    clients: dict[str, Any] = {"sts": session.client("sts"), "greengrassv2": session.client("greengrassv2")}
    sts, greengrass = Stubber(clients["sts"]), Stubber(clients["greengrassv2"])
    identity = {"Account": "123456789012", "Arn": "arn:aws-cn:iam::123456789012:user/me", "UserId": "me"}
    sts.add_response("get_caller_identity", identity)
    owned = "arn:aws-cn:greengrass:cn-north-1:123456789012:components:com.example.A"
    listed = {"componentVersions": [{"componentName": "com.example.A", "componentVersion": "1.0.0", "arn": owned}]}
    greengrass.add_response("list_component_versions", listed, {"arn": owned})
    recipe = {"recipeOutputFormat": "JSON", "recipe": b"{}"}
    asked = {"arn": f"{owned}:versions:1.0.0", "recipeOutputFormat": "JSON"}
    greengrass.add_response("get_component", recipe, asked)
    with sts, greengrass:
        assert Registry(clients.__getitem__).component("com.example.A", None, "", "").version == "1.0.0"
