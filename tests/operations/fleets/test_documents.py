"""operations/fleets/documents.py and configuration.py: what a group's next deployment is, from the one that it has."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from operations.fleets import configuration, documents
from operations.fleets.configuration import UnknownKeyError, Update
from operations.fleets.documents import INTERPOLATION, NUCLEUS, Present, Rollout
from operations.fleets.published import Component, Recipe
from tests.operations.fleets.examples import CLIENT, FOREIGN, GROUP_ARN, RUNTIME, present, wanted

MODEL = botocore.session.get_session().get_service_model("greengrassv2")
OWN = {"federation": "federation.yaml's", "bucket": "the stack's", "accessControl": "the recipe's"}


def update_of(document: dict[str, Any], component: str) -> Update:
    return configuration.read(document["components"][component].get("configurationUpdate"))


def deployed(before: Present, rollout: Rollout | None = None, nucleus: str | None = None, **keys: Any) -> Any:
    plan = documents.planned(before, wanted(**keys), nucleus)
    return documents.deployment(GROUP_ARN, "digits", before, plan, rollout or Rollout())


def as_answered(document: dict[str, Any]) -> Present:
    """What AWS says of a deployment that was made so."""
    return Present(id="d2", name=document["deploymentName"], components=json.loads(json.dumps(document["components"])))


def test_a_group_without_a_deployment_gets_the_client_and_its_runtime() -> None:
    document = deployed(Present(), federation="digits", bucket="b", dataset="/var/lib/digits")
    assert document["targetArn"] == GROUP_ARN
    assert document["deploymentName"] == "digits"
    assert {name: each["componentVersion"] for name, each in document["components"].items()} == {
        "com.fedgrass.Client": "0.2.0",
        "com.fedgrass.Runtime": "0.1.3",
    }
    merge = {"federation": "digits", "bucket": "b", "dataset": "/var/lib/digits"}
    assert update_of(document, CLIENT.name) == Update(merge=merge, reset=frozenset({"/accessControl"}))
    assert "configurationUpdate" not in document["components"][RUNTIME.name]


def test_a_deployment_is_rolled_back_where_it_fails_and_waits_for_rounds() -> None:
    policies = deployed(Present())["deploymentPolicies"]
    assert policies["failureHandlingPolicy"] == "ROLLBACK"
    assert policies["componentUpdatePolicy"]["action"] == "NOTIFY_COMPONENTS"
    assert policies["configurationValidationPolicy"]["timeoutInSeconds"] > 0


@given(
    st.dictionaries(
        st.from_regex(r"com\.other\.[a-z]{1,8}", fullmatch=True),
        st.fixed_dictionaries(
            {"componentVersion": st.just("1.0.0")},
            optional={
                "configurationUpdate": st.fixed_dictionaries(
                    {}, optional={"merge": st.text(), "reset": st.lists(st.text())}
                ),
                "runWith": st.dictionaries(st.sampled_from(["posixUser", "windowsUser"]), st.text()),
            },
        ),
    )
)
def test_components_of_others_stay_as_they_are_to_the_letter(others: dict[str, Any]) -> None:
    before = Present(id="d1", components=others)
    document = deployed(before, federation="digits")
    assert {name: each for name, each in document["components"].items() if name in others} == others


def test_the_name_and_the_tags_of_a_groups_deployment_stay() -> None:
    document = deployed(present())
    assert (document["deploymentName"], document["tags"]) == ("fleet", {"team": "vision"})
    assert FOREIGN.items() <= document["components"].items()


def test_what_is_deployed_again_changes_nothing() -> None:
    keys: dict[str, Any] = {"federation": "digits", "bucket": "b", "threads": 2, "dataset": None}
    first = deployed(present(), **keys)
    plan = documents.planned(as_answered(first), wanted(**keys))
    assert not plan.changes
    assert plan.components == first["components"]


def test_what_no_one_asks_to_change_stays_as_an_earlier_deployment_has_it() -> None:
    first = deployed(present(), federation="digits", dataset="/data", threads=2)
    second = documents.planned(as_answered(first), wanted(federation="digits", threads=3))
    assert [(each.key, each.before, each.after) for each in second.keys] == [("threads", 2, 3)]
    assert configuration.read(second.components[CLIENT.name]["configurationUpdate"]).merge["dataset"] == "/data"


def test_a_key_that_is_null_goes_back_to_what_the_recipe_has_and_can_be_set_again() -> None:
    first = deployed(present(), dataset="/data")
    second = documents.planned(as_answered(first), wanted(dataset=None))
    assert [(each.key, each.before, each.after) for each in second.keys] == [("dataset", "/data", None)]
    update = configuration.read(second.components[CLIENT.name]["configurationUpdate"])
    assert update == Update(reset=frozenset({"/accessControl", "/dataset"}))
    third = documents.planned(Present(components=second.components), wanted(dataset="/other"))
    update = configuration.read(third.components[CLIENT.name]["configurationUpdate"])
    assert update == Update(merge={"dataset": "/other"}, reset=frozenset({"/accessControl"}))


def test_a_component_may_always_do_what_its_own_recipe_says() -> None:
    earlier = {"componentVersion": "0.1.0", "configurationUpdate": {"merge": '{"accessControl": {"mine": {}}}'}}
    plan = documents.planned(present(**{CLIENT.name: earlier}), wanted())
    update = configuration.read(plan.components[CLIENT.name]["configurationUpdate"])
    assert update == Update(reset=frozenset({"/accessControl"}))
    assert [(each.before, each.after) for each in plan.versions] == [("0.1.0", "0.2.0"), ("", "0.1.3")]
    assert ("accessControl", {"mine": {}}, None) in [(each.key, each.before, each.after) for each in plan.keys]


def test_who_a_component_runs_as_stays() -> None:
    earlier = {"componentVersion": "0.1.0", "runWith": {"posixUser": "fl:fl"}}
    document = deployed(present(**{CLIENT.name: earlier}))
    assert document["components"][CLIENT.name]["runWith"] == {"posixUser": "fl:fl"}


def test_the_nucleus_is_told_to_fill_in_variables_and_nothing_else_of_it_changes() -> None:
    nucleus = {"componentVersion": "2.14.0", "configurationUpdate": {"merge": '{"jvmOptions": "-Xmx64m"}'}}
    before = present(**{NUCLEUS: nucleus})
    assert not documents.interpolates(before)
    document = deployed(before, nucleus="2.14.0", dataset="/data/{iot:thingName}")
    assert document["components"][NUCLEUS]["componentVersion"] == "2.14.0"
    assert update_of(document, NUCLEUS).merge == {"jvmOptions": "-Xmx64m", INTERPOLATION: True}
    assert update_of(document, CLIENT.name).has_variables()
    assert documents.interpolates(as_answered(document))


@pytest.mark.parametrize(
    ("value", "has_one"),
    [("/data/{iot:thingName}", True), ("{artifacts:path}", True), ("/data", False), ("{}", False), ("{a}", False)],
)
def test_a_recipe_variable_is_known_by_its_form(value: str, has_one: bool) -> None:
    assert Update(merge={"dataset": value}).has_variables() is has_one
    assert Update(merge={"dataset": {"deep": [value]}}).has_variables() is has_one


def test_a_rollout_has_the_rate_that_was_asked_for_and_stops_when_many_fail() -> None:
    job = deployed(Present(), Rollout(per_minute=50))["iotJobConfiguration"]
    assert job["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 50}
    (criterion,) = job["abortConfig"]["criteriaList"]
    assert (criterion["action"], criterion["failureType"]) == ("CANCEL", "ALL")
    assert "jobExecutionsRolloutConfig" not in deployed(Present())["iotJobConfiguration"]


def test_canaries_get_the_same_on_behalf_of_the_group_and_their_first_failure_ends_it() -> None:
    whole = deployed(present(), Rollout(per_minute=50), federation="digits")
    first = documents.canary(whole, f"{GROUP_ARN}-canary")
    assert (first["targetArn"], first["parentTargetArn"]) == (f"{GROUP_ARN}-canary", GROUP_ARN)
    assert first["components"] == whole["components"]
    (criterion,) = first["iotJobConfiguration"]["abortConfig"]["criteriaList"]
    assert (criterion["minNumberOfExecutedThings"], criterion["thresholdPercentage"]) == (1, 1.0)


@pytest.mark.parametrize("before", [Present(), present()])
def test_aws_takes_the_documents(before: Present) -> None:
    whole = deployed(before, Rollout(per_minute=1), nucleus="2.14.0", federation="digits", dataset=None)
    shape: Any = MODEL.operation_model("CreateDeployment").input_shape
    for document in (whole, documents.canary(whole, f"{GROUP_ARN}-canary")):
        assert not ParamValidator().validate(document, shape).has_errors()


def test_each_key_goes_to_the_component_whose_recipe_has_it() -> None:
    divided = configuration.divided({"threads": 2, "index_url": None}, (CLIENT, RUNTIME), OWN)
    assert divided == {CLIENT.name: {"threads": 2}, RUNTIME.name: {"index_url": None}}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("datset", "no component has a key datset in its configuration: did you mean dataset?"),
        ("zzz", "there are dataset, index_url, threads"),
        ("bucket", "bucket is not to be set: it is the stack's"),
        ("accessControl", "accessControl is not to be set: it is the recipe's"),
    ],
)
def test_a_key_that_is_not_to_be_set_is_refused_by_name(key: str, told: str) -> None:
    with pytest.raises(UnknownKeyError, match=told.replace("?", r"\?")) as refused:
        configuration.divided({"dataset": "/data", key: 1}, (CLIENT, RUNTIME), OWN)
    assert refused.value.path == (key,)


INFERENCE = Component(
    name="com.example.Inference",
    version="1.0.0",
    recipe=Recipe(configuration={"inputs": "/inputs", "dataset": "", "accessControl": {}}),
)
MODEL_COMPONENT = Component(
    name="com.fedgrass.Model.digits", version="1.0.0", recipe=Recipe(configuration={"round": 1}, is_model=True)
)


def test_keys_of_another_component_are_below_its_name() -> None:
    given = {"dataset": "/data", INFERENCE.name: {"dataset": "/other", "inputs": None}}
    divided = configuration.divided(given, (CLIENT, RUNTIME), OWN, (INFERENCE, MODEL_COMPONENT))
    assert divided == {
        CLIENT.name: {"dataset": "/data"},
        RUNTIME.name: {},
        INFERENCE.name: {"dataset": "/other", "inputs": None},
        MODEL_COMPONENT.name: {},
    }


@pytest.mark.parametrize(
    ("given", "told", "path"),
    [
        ({"inputs": "/a"}, "inputs is a key of com.example.Inference: write it below that name", ("inputs",)),
        (
            {INFERENCE.name: {"inptus": "/a"}},
            "com.example.Inference has no key inptus in its configuration: did you mean inputs?",
            (INFERENCE.name, "inptus"),
        ),
        (
            {INFERENCE.name: {"accessControl": {}}},
            "accessControl is not to be set: it is the recipe's",
            (INFERENCE.name, "accessControl"),
        ),
        ({INFERENCE.name: "/a"}, "com.example.Inference needs keys of its configuration", (INFERENCE.name,)),
        ({INFERENCE.name: None}, "com.example.Inference needs keys of its configuration", (INFERENCE.name,)),
        ({"com.example.Other": {"a": 1}}, "name it by --component com.example.Other", ("com.example.Other",)),
        ({MODEL_COMPONENT.name: {"round": 2}}, "is a model, and has no keys to set", (MODEL_COMPONENT.name,)),
    ],
)
def test_a_key_that_another_component_does_not_take_is_refused_with_its_place(
    given: dict[str, Any], told: str, path: tuple[str, ...]
) -> None:
    with pytest.raises(UnknownKeyError) as refused:
        configuration.divided(given, (CLIENT, RUNTIME), OWN, (INFERENCE, MODEL_COMPONENT))
    assert told in str(refused.value)
    assert refused.value.path == path


def test_what_goes_back_to_the_recipe_is_told_only_where_a_device_may_have_something_else() -> None:
    assert not [each for each in documents.planned(Present(), wanted()).keys if each.key == "accessControl"]
    deployed_by_other_means = present(**{CLIENT.name: {"componentVersion": "0.2.0"}})
    plan = documents.planned(deployed_by_other_means, wanted())
    assert [(each.key, each.before, each.after) for each in plan.keys] == [("accessControl", None, None)]
