"""Components as they are published, and a group that has others already."""

from typing import Any

from operations.fleets.documents import Present, Wanted
from operations.fleets.published import Component, Recipe

GROUP_ARN = "arn:aws:iot:us-east-1:123456789012:thinggroup/digit-readers"

CLIENT = Component(
    name="com.fedgrass.Client",
    version="0.2.0",
    recipe=Recipe(
        configuration={"federation": "", "bucket": "", "dataset": "", "threads": 0, "accessControl": {"a": {}}},
        dependencies={"com.fedgrass.Runtime": ">=0.1.0 <0.2.0"},
        artifacts=frozenset({"components/com.fedgrass.Client/0.2.0/client.zip"}),
    ),
)
RUNTIME = Component(
    name="com.fedgrass.Runtime",
    version="0.1.3",
    recipe=Recipe(
        configuration={"index_url": "https://pypi.org/simple"},
        artifacts=frozenset({f"components/com.fedgrass.Runtime/0.1.3/{file}" for file in ("a.txt", "b.py")}),
    ),
)

FOREIGN: dict[str, Any] = {
    "aws.greengrass.Cli": {"componentVersion": "2.13.0"},
    "com.example.Other": {
        "componentVersion": "1.0.0",
        "configurationUpdate": {"merge": '{ "b":1, "a": {"c": [1, 2]} }', "reset": ["", "/x"]},
        "runWith": {"posixUser": "other:other", "systemResourceLimits": {"memory": 100000, "cpus": 0.5}},
    },
}


def present(**components: Any) -> Present:
    """A group's deployment with components of others, and these besides."""
    return Present(id="d1", name="fleet", components=FOREIGN | components, tags={"team": "vision"})


def wanted(**given: Any) -> list[Wanted]:
    """The client with these keys, and its runtime."""
    return [Wanted(component=CLIENT, given=given), Wanted(component=RUNTIME)]
