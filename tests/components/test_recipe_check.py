"""components/recipe_check.py: the recipes of this checkout pass, and each way to get one wrong is told, with its place,
its value and what to write instead."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from components.client.agent import shadow_events
from components.client.agent.configuration import Configuration
from components.gdk_config import RUNTIME, Config
from components.recipe_check import agents_settings, faults
from components.recipe_text import read
from protocol import names
from tests.paths import ROOT

MQTT = "ComponentConfiguration/DefaultConfiguration/accessControl/aws.greengrass.ipc.mqttproxy"
SUBSCRIBE, PUBLISH = "aws.greengrass#SubscribeToIoTCore", "aws.greengrass#PublishToIoTCore"
GET = "$aws/things/*/shadow/name/fedgrass-*/get"


def recipe(component: str) -> Any:
    """The recipe of a component of this checkout, as a build fills it in, to change."""
    text = (ROOT / "recipes" / f"{component}.yaml").read_text()
    for placeholder, value in {
        "{COMPONENT_NAME}": component,
        "{COMPONENT_VERSION}": "1.0.0",
        "{COMPONENT_AUTHOR}": "me",
        "{RUNTIME_NAME}": "com.fedgrass.Runtime",
    }.items():
        text = text.replace(placeholder, value)
    return read(text)


CLIENT = recipe("com.fedgrass.Client")


def wrong(tree: Any, component: str = "com.fedgrass.Client") -> list[str]:
    return list(faults(tree, Config(component, "1.0.0", "me", None, RUNTIME, "")))


def policies(tree: Any) -> Any:
    return tree["ComponentConfiguration"]["DefaultConfiguration"]["accessControl"]["aws.greengrass.ipc.mqttproxy"]


def of(tree: Any, number: int) -> Any:
    return policies(tree)[f"com.fedgrass.Client:mqttproxy:{number}"]


@pytest.mark.parametrize("component", ["com.fedgrass.Client", "com.fedgrass.Runtime"])
def test_the_recipes_of_this_checkout_have_no_fault(component: str) -> None:
    assert wrong(recipe(component), component) == []


def rename(place: Callable[[Any], Any], key: str, new: str) -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        mapping = place(tree)
        mapping[new] = mapping.pop(key)

    return change


def put(place: Callable[[Any], Any], key: Any, value: Any) -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        place(tree)[key] = value

    return change


def take(place: Callable[[Any], Any], key: Any) -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        del place(tree)[key]

    return change


def top(tree: Any) -> Any:
    return tree


def dependencies(tree: Any) -> Any:
    return tree["ComponentDependencies"]


def runtime(tree: Any) -> Any:
    return tree["ComponentDependencies"]["com.fedgrass.Runtime"]


def defaults(tree: Any) -> Any:
    return tree["ComponentConfiguration"]["DefaultConfiguration"]


def manifest(tree: Any) -> Any:
    return tree["Manifests"][0]


def platform(tree: Any) -> Any:
    return tree["Manifests"][0]["Platform"]


def artifact(tree: Any) -> Any:
    return tree["Manifests"][0]["Artifacts"][0]


def lifecycle(tree: Any) -> Any:
    return tree["Manifests"][0]["Lifecycle"]


def run(tree: Any) -> Any:
    return tree["Manifests"][0]["Lifecycle"]["run"]


def script(text: str) -> Callable[[Any], None]:
    return put(run, "Script", text)


FAULTS = {
    "a key in another case": (rename(top, "Manifests", "manifests"), "manifests: write Manifests: nucleus lite"),
    "a key that is none": (put(top, "Owner", "me"), "Owner: no such key is read here by both nuclei: remove it"),
    "a lifecycle for all": (put(top, "Lifecycle", {}), "Lifecycle: no such key is read here by both nuclei"),
    "no version": (take(top, "ComponentVersion"), "recipe: ComponentVersion is missing: add it"),
    "another format": (put(top, "RecipeFormatVersion", "2021-01-01"), "RecipeFormatVersion: '2021-01-01': write"),
    "a name of its own": (
        put(top, "ComponentName", "com.example.Other"),
        "ComponentName: 'com.example.Other': write \"{COMPONENT_NAME}\", which the build fills in from gdk-config.json",
    ),
    "a version of its own": (put(top, "ComponentVersion", "9.0.0"), "ComponentVersion: '9.0.0': write"),
    "a Lambda function": (put(top, "ComponentType", "aws.greengrass.lambda"), "ComponentType: 'aws.greengrass.lambda'"),
    "a list for a map": (put(top, "ComponentDependencies", []), "ComponentDependencies: []: write a map"),
    "a range with a caret": (
        put(runtime, "VersionRequirement", "^1.0.0"),
        "ComponentDependencies/com.fedgrass.Runtime/VersionRequirement: '^1.0.0': write a range such as",
    ),
    "no range": (take(runtime, "VersionRequirement"), "com.fedgrass.Runtime: VersionRequirement is missing"),
    "a kind of dependency by default": (take(runtime, "DependencyType"), "DependencyType is missing: add"),
    "a dependency in lower case": (
        put(runtime, "DependencyType", "hard"),
        "DependencyType: 'hard': write",
    ),
    "a key of a dependency": (put(runtime, "Version", "1"), "com.fedgrass.Runtime/Version: no such key"),
    "a hard nucleus": (
        put(dependencies, "aws.greengrass.Nucleus", {"VersionRequirement": ">=2.6.0", "DependencyType": "HARD"}),
        "ComponentDependencies/aws.greengrass.Nucleus/DependencyType: 'HARD': write SOFT",
    ),
    "nucleus lite alone": (
        put(dependencies, "aws.greengrass.NucleusLite", {"VersionRequirement": ">=2.0.0", "DependencyType": "SOFT"}),
        "ComponentDependencies/aws.greengrass.NucleusLite: a classic nucleus can't have it",
    ),
    "a runtime that is not depended on": (
        take(dependencies, "com.fedgrass.Runtime"),
        "Manifests/0/Lifecycle/run/Script: the work directory of 'com.fedgrass.Runtime' may not be there: add it to",
    ),
    "a runtime that is not needed": (
        put(runtime, "DependencyType", "SOFT"),
        "Manifests/0/Lifecycle/run/Script: the work directory of 'com.fedgrass.Runtime' may not be there: add it to",
    ),
    "a setting that the agent has not": (
        put(defaults, "reconcile_ss", "300"),
        "ComponentConfiguration/DefaultConfiguration/reconcile_ss: the agent has no such setting, and would ignore it",
    ),
    "a key beside the default": (
        put(lambda tree: tree["ComponentConfiguration"], "Default", {}),
        "ComponentConfiguration/Default: no such key",
    ),
    "no manifest": (put(top, "Manifests", []), "Manifests: []: write a list with one entry for each platform"),
    "a manifest without a platform": (take(manifest, "Platform"), "Manifests/0: Platform is missing"),
    "a manifest without artifacts": (
        take(manifest, "Artifacts"),
        "Manifests/0: Artifacts is missing: add it",
    ),
    "a key of a manifest": (put(manifest, "Selections", ["all"]), "Manifests/0/Selections: no such key"),
    "no runtime": (take(platform, "runtime"), 'Manifests/0/Platform: runtime is missing: add runtime: "*"'),
    "another runtime": (
        put(platform, "runtime", "aws_nucleus_lite"),
        "Platform/runtime: 'aws_nucleus_lite': write \"*\"",
    ),
    "a runtime in another case": (
        rename(platform, "runtime", "Runtime"),
        "Manifests/0/Platform/Runtime: write",
    ),
    "another system": (put(platform, "os", "windows"), "Manifests/0/Platform/os: 'windows': write linux"),
    "32-bit ARM": (
        put(platform, "architecture", "arm"),
        "Platform/architecture: 'arm': write aarch64, amd64",
    ),
    "x86_64 for amd64": (put(platform, "architecture", "x86_64"), "architecture: 'x86_64': write aarch64, amd64"),
    "a platform twice": (
        put(platform, "architecture", "amd64"),
        "Manifests/1/Platform/architecture: 'amd64': remove one: Manifests/0/Platform is chosen before it",
    ),
    "an attribute of platforms": (
        put(platform, "distribution", "debian"),
        "Platform/distribution: no such",
    ),
    "an artifact in another case": (
        rename(artifact, "Uri", "URI"),
        "Manifests/0/Artifacts/0/URI: write Uri: nucleus lite compares keys letter by letter",
    ),
    "an artifact elsewhere": (
        put(artifact, "Uri", "s3://mine/client.zip"),
        "Manifests/0/Artifacts/0/Uri: 's3://mine/client.zip': write s3://BUCKET_NAME/",
    ),
    "an artifact twice": (
        lambda tree: manifest(tree)["Artifacts"].append(artifact(tree)),
        "client.zip': remove it: it is in the list already",
    ),
    "an artifact to unpack": (put(artifact, "Unarchive", "ZIP"), "Artifacts/0/Unarchive: 'ZIP': leave it out"),
    "a digest": (put(artifact, "Digest", "x"), "Manifests/0/Artifacts/0/Digest: no such key"),
    "rights of an artifact": (
        put(artifact, "Permission", {"Read": "owner"}),
        "Manifests/0/Artifacts/0/Permission/Read: 'owner': write NONE, OWNER or ALL",
    ),
    "rights in another case": (
        put(artifact, "Permission", {"read": "OWNER"}),
        "Manifests/0/Artifacts/0/Permission/read: write Read",
    ),
    "a step in another case": (rename(lifecycle, "run", "Run"), "Manifests/0/Lifecycle/Run: write run"),
    "a step that is none": (put(lifecycle, "start", {"Script": "a"}), "Manifests/0/Lifecycle/start: no such key"),
    "a step that lite has not": (put(lifecycle, "shutdown", {"Script": "a"}), "Lifecycle/shutdown: nucleus"),
    "two ways to start": (put(lifecycle, "startup", {"Script": "a"}), "Manifests/0/Lifecycle: it has startup and run"),
    "a script in another case": (rename(run, "Script", "script"), "Manifests/0/Lifecycle/run/script: write Script"),
    "no script": (take(run, "Script"), "Manifests/0/Lifecycle/run: Script is missing"),
    "an empty script": (script(" "), "Manifests/0/Lifecycle/run/Script: ' ': write the script as a text"),
    "a condition": (put(run, "Skipif", "onpath git"), "run/Skipif: nucleus lite runs the step"),
    "root": (put(run, "RequiresPrivilege", "true"), "Lifecycle/run/RequiresPrivilege: 'true': leave it out"),
    "a time in words": (put(run, "Timeout", "1h"), "Manifests/0/Lifecycle/run/Timeout: '1h': write a whole number"),
    "no time": (put(run, "Timeout", "0"), "Manifests/0/Lifecycle/run/Timeout: '0': write a whole number of seconds"),
    "a variable of the shell": (
        script("echo ${HOME}"),
        "run/Script: '${HOME}': write $HOME: nucleus",
    ),
    "a default of the shell": (script("echo ${A:-b}"), "run/Script: '${A:-b}': write it without braces"),
    "a brace that is not closed": (script("echo ${A"), "run/Script: '${A': write it without braces"),
    "a group of the shell": (
        script("{ echo; }"),
        "run/Script: '{ echo; }': nucleus lite takes each brace for a recipe",
    ),
    "a variable that lite has not": (
        script('"{artifacts:decompressedPath}"'),
        "'{artifacts:decompressedPath}'",
    ),
    "a variable of a dependency": (script('"{com.x:work:path}"'), "'{com.x:work:path}': nucleus lite"),
    "a setting that is not there": (
        script('"{configuration:/speed}"'),
        "{configuration:/speed}: add the key to ComponentConfiguration/DefaultConfiguration, which lacks it",
    ),
    "a setting without quotes": (script("echo {configuration:/bucket}"), "put it between double quotes"),
    "a variable in the environment": (
        put(run, "Setenv", {"A": "${B}"}),
        "Manifests/0/Lifecycle/run/Setenv/A: '${B}': write $B",
    ),
    "a brace in the environment": (put(lifecycle, "Setenv", {"A": "{b}"}), "Manifests/0/Lifecycle/Setenv/A: '{b}'"),
    "a variable in the configuration": (
        put(defaults, "dataset", "${HOME}/data"),
        "ComponentConfiguration/DefaultConfiguration/dataset: '${HOME}': write $HOME",
    ),
    "a variable in a description": (put(top, "ComponentDescription", "${A}"), "ComponentDescription: '${A}': write $A"),
    "a policy without the component's name": (
        rename(policies, "com.fedgrass.Client:mqttproxy:1", "com.example.Other:mqttproxy:1"),
        f"{MQTT}/com.example.Other:mqttproxy:1: no two components can have a policy of the same id",
    ),
    "no policies": (take(defaults, "accessControl"), f"{MQTT}: no policy allows {SUBSCRIBE} on "),
    "a topic less": (
        lambda tree: of(tree, 2)["resources"].remove(GET),
        f"{MQTT}: no policy allows {PUBLISH} on '{GET}', which the agent needs: add it",
    ),
    "a topic more": (
        lambda tree: of(tree, 1)["resources"].append("fedgrass/*/round"),
        f"{MQTT}/com.fedgrass.Client:mqttproxy:1/resources/4: 'fedgrass/*/round': the component does not subscribe",
    ),
    "all topics": (
        put(lambda tree: of(tree, 2), "resources", ["*"]),
        "resources/0: '*': the component",
    ),
    "a wildcard of MQTT": (
        lambda tree: of(tree, 1)["resources"].append("$aws/things/+/shadow/name/fedgrass-*/get/accepted"),
        "the component does not subscribe to that: remove it, or write one of $aws/things/*/shadow",
    ),
    "a variable that lite takes literally": (
        lambda tree: of(tree, 2)["resources"].append(GET.replace("things/*", "things/{iot:thingName}")),
        "write * for the thing's name: nucleus lite takes the variable literally",
    ),
    "one operation more": (
        lambda tree: of(tree, 1)["operations"].append(PUBLISH),
        f"resources/0: '{GET}/accepted': the component does not publish to that",
    ),
    "all operations": (
        put(lambda tree: of(tree, 1), "operations", ["*"]),
        "operations: '*': the component",
    ),
    "another service": (
        lambda tree: defaults(tree)["accessControl"].update({"aws.greengrass.ipc.pubsub": {}}),
        "accessControl/aws.greengrass.ipc.pubsub: the component does not use this: remove it",
    ),
    "operations in another case": (
        rename(lambda tree: of(tree, 1), "operations", "Operations"),
        f"{MQTT}/com.fedgrass.Client:mqttproxy:1/Operations: no nucleus reads this key: write operations",
    ),
    "one topic of a federation": (
        lambda tree: of(tree, 2)["resources"].__setitem__(0, GET.replace("fedgrass-*", "fedgrass-digits")),
        f"{MQTT}: no policy allows {PUBLISH} on '{GET}', which the agent needs: add it",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told(name: str) -> None:
    change, told = FAULTS[name]
    tree = copy.deepcopy(CLIENT)
    change(tree)
    found = wrong(tree)
    assert [fault for fault in found if told in fault], found


def test_the_topics_that_are_checked_are_those_that_the_agent_listens_to() -> None:
    assert tuple(shadow_events.handlers("digits", "shed-1")) == names.subscribed_topics("digits", "shed-1")


def test_a_recipe_may_name_its_federations() -> None:
    named = json.loads(
        json.dumps(CLIENT).replace("fedgrass-*", "fedgrass-digits").replace("fedgrass/*", "fedgrass/digits")
    )
    assert wrong(named) == []
    both = copy.deepcopy(named)
    of(both, 2)["resources"].append(GET.replace("fedgrass-*", "fedgrass-letters"))
    assert [fault.partition(" on ")[2] for fault in wrong(both)] == [
        f"'$aws/things/*/shadow/name/fedgrass-letters/{answer}', which the agent needs: add it"
        for answer in ("get/accepted", "get/rejected", "update/delta", "update/rejected")
    ] + [
        "'$aws/things/*/shadow/name/fedgrass-letters/update', which the agent needs: add it",
        "'fedgrass/letters/clients/*/hello', which the agent needs: add it",
    ]


def test_a_component_without_the_agent_may_use_no_topic() -> None:
    tree = recipe("com.fedgrass.Runtime")
    defaults(tree)["accessControl"] = {"aws.greengrass.ipc.mqttproxy": {}}
    assert wrong(tree, "com.fedgrass.Runtime") == [f"{MQTT}: the component does not use this: remove it"]


def test_a_value_of_a_wrong_kind_anywhere_is_told_and_breaks_nothing() -> None:
    def places(tree: Any, path: tuple[Any, ...] = ()) -> Any:
        yield path
        if isinstance(tree, dict | list):
            for key in tree if isinstance(tree, dict) else range(len(tree)):
                yield from places(tree[key], (*path, key))

    for place in places(CLIENT):
        values: list[Any] = ["", "x", [], ["x"], {}, {"x": "y"}, [{}], [[]]]
        for value in values:
            tree = copy.deepcopy(CLIENT)
            if not place:
                assert wrong(value), value
                continue
            inner = tree
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            wrong(tree)


def test_the_settings_of_the_agent_are_those_that_it_has() -> None:
    assert set(agents_settings()) == {field.name for field in msgspec.structs.fields(Configuration)}


def test_a_long_value_is_told_in_short() -> None:
    (told,) = wrong({**CLIENT, "RecipeFormatVersion": "x" * 10_000})
    assert len(told) < 200
