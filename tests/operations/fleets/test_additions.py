"""operations/fleets/additions.py: which components a deployment names because an operator does, and what they need."""

from collections.abc import Mapping
from uuid import uuid4

import pytest

from operations import model_component
from operations.fleets import additions
from operations.fleets.additions import Additions
from operations.fleets.published import NotPublishedError, Registry
from operations.model_component import Metadata
from sandbox.embedded_aws import EmbeddedAws
from tests.sandbox.greengrass.publishing import Operator


class Account:
    """Publishes components whose names no other test has."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.suffix = uuid4().hex[:8]
        self._operator = Operator(aws)

    def named(self, name: str) -> str:
        return f"{name}{self.suffix}"

    def publish(self, name: str, version: str, **needs: str) -> None:
        """`needs` is component -> the range that is asked for."""
        dependencies = {
            "aws.greengrass.TokenExchangeService": {"VersionRequirement": "^2.0.0"},
            **{self.named(needed): {"VersionRequirement": wanted} for needed, wanted in needs.items()},
        }
        self._operator.publish(self.named(name), version, dependencies=dependencies)

    def publish_model(self, name: str, version: str) -> None:
        file = model_component.file_of(version.encode())
        about = Metadata(federation="digits", life="", round=1, metrics={}, model=file)
        recipe = model_component.recipe(self.named(name), version, about, [])
        self.aws.client("greengrassv2").create_component_version(inlineRecipe=recipe)

    def find(self, named: Mapping[str, str | None], *ours: str) -> Additions:
        return additions.find(
            Registry(self.aws.client),
            {self.named(name): version for name, version in named.items()},
            [self.named(each) for each in ours],
        )

    def deployed(self, named: Mapping[str, str | None], *ours: str) -> dict[str, str]:
        found = self.find(named, *ours).deployed
        return {each.name.removesuffix(self.suffix): each.version for each in found}


@pytest.fixture
def account(aws: EmbeddedAws) -> Account:
    return Account(aws)


def test_the_newest_model_that_fits_comes_with_what_depends_on_it(account: Account) -> None:
    account.publish("Infer", "1.0.0", Model=">=1.0.0 <2.0.0")
    for version in ("1.0.0", "1.0.10", "1.0.9", "2.0.0"):
        account.publish_model("Model", version)
    assert account.deployed({"Infer": None}) == {"Infer": "1.0.0", "Model": "1.0.10"}
    account.publish_model("Model", "1.1.0")
    assert account.deployed({"Infer": None}) == {"Infer": "1.0.0", "Model": "1.1.0"}


@pytest.mark.parametrize("order", [("Infer", "Model"), ("Model", "Infer")])
def test_a_model_that_is_named_has_the_version_that_is_named_or_one_that_fits(
    account: Account, order: tuple[str, str]
) -> None:
    account.publish("Infer", "1.0.0", Model=">=1.0.0 <2.0.0")
    for version in ("1.0.0", "1.0.1", "2.0.0"):
        account.publish_model("Model", version)
    assert account.deployed(dict.fromkeys(order)) == {"Infer": "1.0.0", "Model": "1.0.1"}
    back = {"Infer": None, "Model": "1.0.0"}
    assert account.deployed({name: back[name] for name in order}) == {"Infer": "1.0.0", "Model": "1.0.0"}
    other = {"Infer": None, "Model": "2.0.0"}
    with pytest.raises(NotPublishedError, match=r"2\.0\.0 does not fit: >=1\.0\.0 <2\.0\.0 is asked for"):
        account.find({name: other[name] for name in order})


def test_what_else_is_needed_is_downloaded_but_left_to_the_nucleus(account: Account) -> None:
    account.publish("Infer", "1.0.0", Library="^1.0.0", Runtime=">=1.0.0")
    account.publish("Library", "1.0.0", Model=">=1.0.0", Infer=">=1.0.0")
    account.publish_model("Model", "1.0.0")
    found = account.find({"Infer": None}, "Runtime")
    assert {each.name for each in found.deployed} == {account.named("Infer"), account.named("Model")}
    assert [each.name for each in found.needed] == [account.named("Library")]
    assert found.ranges[account.named("Runtime")] == [">=1.0.0"]


@pytest.mark.parametrize(
    ("needed", "remedy"),
    [("com.fedgrass.Model.digits", "fedgrass publish-model digits"), ("Library", "gdk component publish`")],
)
def test_what_nobody_has_published_is_named_with_what_needs_it_and_the_remedy(
    account: Account, needed: str, remedy: str
) -> None:
    account.publish("Infer", "1.0.0", **{needed: ">=1.0.0"})
    with pytest.raises(NotPublishedError) as refused:
        account.find({"Infer": None})
    infer, missing = account.named("Infer"), account.named(needed)
    assert str(refused.value).startswith(f"{infer} 1.0.0 depends on {missing}: {missing} >=1.0.0 is not published in")
    assert remedy in str(refused.value)


def test_a_component_of_aws_is_not_taken_for_one_of_the_account(account: Account) -> None:
    with pytest.raises(NotPublishedError, match=r"aws\.greengrass\.Cli is a component of AWS"):
        additions.find(Registry(account.aws.client), {"aws.greengrass.Cli": None}, ())
