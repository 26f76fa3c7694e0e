"""operations/fleets/published.py: what is read of a recipe, as this project's recipes are published."""

import json

import yaml

from operations.fleets.published import read_recipe
from tests.paths import ROOT

RECIPES = (ROOT / "recipes" / "com.fedgrass.Client.yaml", ROOT / "components" / "runtime" / "recipe.yaml")


def test_the_keys_the_dependencies_and_the_buckets_of_a_recipe_are_found() -> None:
    written = yaml.safe_load(RECIPES[0].read_text())
    text = json.dumps(written).replace("BUCKET_NAME", "components-1")
    recipe = read_recipe(text.encode())
    assert recipe.configuration["reconcile_s"] == 300
    assert recipe.dependencies["com.fedgrass.Runtime"].startswith(">=")
    assert recipe.buckets == {"components-1"}


def test_the_keys_of_a_recipe_may_be_in_any_case() -> None:
    recipe = read_recipe(
        b'{"componentconfiguration": {"defaultConfiguration": {"accessControl": {"A": 1}, "Key": 2}}, '
        b'"COMPONENTDEPENDENCIES": {"com.Some.One": {"versionRequirement": "^1.0.0"}}, '
        b'"manifests": [{"artifacts": [{"URI": "s3://b/c/d.zip"}, {"Uri": "greengrass:x"}]}]}'
    )
    assert recipe.configuration == {"accessControl": {"A": 1}, "Key": 2}
    assert recipe.dependencies == {"com.Some.One": "^1.0.0"}
    assert recipe.buckets == {"b"}


def test_a_recipe_without_configuration_has_none() -> None:
    recipe = read_recipe(b'{"RecipeFormatVersion": "2020-01-25", "ComponentConfiguration": null}')
    assert (recipe.configuration, recipe.dependencies, recipe.buckets) == ({}, {}, frozenset())


def test_no_key_is_of_two_components() -> None:
    keys = [set(yaml.safe_load(path.read_text())["ComponentConfiguration"]["DefaultConfiguration"]) for path in RECIPES]
    assert not keys[0] & keys[1]
