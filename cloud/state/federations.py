"""The federations table: settings, and the pointer to the current global model."""

from typing import TYPE_CHECKING

from cloud.settings import Federation
from cloud.state.records import FederationRecord, FederationStatus, from_item, to_attribute, to_item
from protocol.messages import ModelReference

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


_TAKEN = "there is already a federation {!r}: choose another name in federation.yaml"


class UnknownFederationError(LookupError):
    """There is no federation of this name."""


class FederationExistsError(Exception):
    """There is already a federation of this name."""


class Federations:
    """The federations of one deployment."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def get(self, federation: str) -> FederationRecord:
        """The federation as it is now.

        Raises:
            UnknownFederationError: there is none of this name.
        """
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"federation": {"S": federation}}, ConsistentRead=True
        )
        if "Item" not in answer:
            raise UnknownFederationError(f"there is no federation {federation!r}: make it with `fedgrass init`")
        return from_item(answer["Item"], FederationRecord)

    def all(self) -> list[FederationRecord]:
        """Every federation of the deployment."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table)
        return [from_item(item, FederationRecord) for page in pages for item in page["Items"]]

    def check_free(self, federation: str) -> None:
        """Passes if there is no federation of this name.

        Raises:
            FederationExistsError: the name is taken.
        """
        try:
            self.get(federation)
        except UnknownFederationError:
            return
        raise FederationExistsError(_TAKEN.format(federation))

    def create(self, settings: Federation, model: ModelReference, schema: str) -> FederationRecord:
        """A new federation, ready to start from its initial model.

        Raises:
            FederationExistsError: the name is taken.
        """
        record = FederationRecord(
            federation=settings.name, settings=settings, status="ready", round=0, model=model, schema=schema
        )
        try:
            self._dynamodb.put_item(
                TableName=self._table, Item=to_item(record), ConditionExpression="attribute_not_exists(federation)"
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise FederationExistsError(_TAKEN.format(settings.name)) from error
        return record

    def set_status(self, federation: str, status: FederationStatus) -> None:
        """Start or finish a federation.

        Raises:
            UnknownFederationError: there is none of this name.
        """
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"federation": {"S": federation}},
                UpdateExpression="SET #status = :status",
                ConditionExpression="attribute_exists(federation)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":status": {"S": status}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise UnknownFederationError(f"there is no federation {federation!r}") from error

    def set_waiting(self, federation: str, waiting: bool) -> None:
        """Note that a round waits for clients, or that it does no more."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"federation": {"S": federation}},
            UpdateExpression="SET waiting = :waiting",
            ExpressionAttributeValues={":waiting": to_attribute(waiting)},
        )
