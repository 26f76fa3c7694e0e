"""Tables that an earlier stack has left, as they are."""

import re
from typing import TYPE_CHECKING, Any

from operations.pages import listed
from operations.stack_steps import DeploymentError
from operations.stacks import Outlived

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


def outlived(dynamodb: "DynamoDBClient", stack: str, logical_ids: tuple[str, ...]) -> list[Outlived]:
    """The tables that stacks of this name have left of those with these logical ids. The template gives them no names,
    so they have those that CloudFormation makes: `<stack>-<logical id>-<random>`.

    Raises:
        DeploymentError: there is more than one of the same logical id, so that it is open which one has the data.
    """
    found = []
    for logical_id, names in left(dynamodb, stack, logical_ids).items():
        if len(names) > 1:
            raise DeploymentError(
                f"stack {stack} would take over its {logical_id}, and there are several: {', '.join(sorted(names))}. "
                "Delete those that are not needed: disable their deletion protection first"
            )
        found += [_described(dynamodb, logical_id, name) for name in names]
    return found


def left(dynamodb: "DynamoDBClient", stack: str, logical_ids: tuple[str, ...]) -> dict[str, list[str]]:
    """Logical id -> the tables that there are of it, by name: of a stack of this name, or left by one."""
    names = list(listed(dynamodb, "list_tables", "TableNames"))
    return {
        logical_id: [name for name in names if re.fullmatch(rf"{re.escape(stack)}-{logical_id}-[0-9A-Za-z]+", name)]
        for logical_id in logical_ids
    }


def delete(dynamodb: "DynamoDBClient", name: str) -> None:
    """Delete a table, protected or not."""
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def _described(dynamodb: "DynamoDBClient", logical_id: str, name: str) -> Outlived:
    """An update that follows finds out from this what it has to change. It has to be true: DynamoDB refuses to turn on
    an expiry that is on."""
    table: Any = dynamodb.describe_table(TableName=name)["Table"]
    types = {each["AttributeName"]: each for each in table["AttributeDefinitions"]}
    indexes = table.get("GlobalSecondaryIndexes", [])
    keys = {key["AttributeName"]: None for schema in (table, *indexes) for key in schema["KeySchema"]}
    properties = {
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "DeletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "KeySchema": table["KeySchema"],
        "AttributeDefinitions": [types[name] for name in keys],
    }
    if indexes:
        described = ("IndexName", "KeySchema", "Projection")
        properties["GlobalSecondaryIndexes"] = [{name: index[name] for name in described} for index in indexes]
    expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if expiry["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
        properties["TimeToLiveSpecification"] = {"AttributeName": expiry["AttributeName"], "Enabled": True}
    return Outlived(
        logical_id=logical_id, kind="AWS::DynamoDB::Table", identifier={"TableName": name}, properties=properties
    )
