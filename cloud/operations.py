"""What an operator does with a deployment: look at its state, start its federations."""

from collections.abc import Callable
from typing import Any

from cloud.deployment import Deployment
from cloud.state.clients import Clients
from cloud.state.federations import Federations
from cloud.state.models import Models
from cloud.state.records import FederationRecord
from cloud.state.rounds import Rounds
from protocol.messages import OpenRound, encode


class Operations:
    """The tables and the bucket of a deployment, as the functions see them. `client` gives a boto3 client by its
    service's name."""

    def __init__(self, client: Callable[[str], Any], deployment: Deployment) -> None:
        dynamodb = client("dynamodb")
        self.federations = Federations(dynamodb, deployment.federations_table)
        self.clients = Clients(dynamodb, deployment.clients_table)
        self.rounds = Rounds(
            dynamodb, deployment.rounds_table, deployment.responses_table, deployment.federations_table
        )
        self.models = Models(client("s3"), deployment.bucket)
        self._sqs = client("sqs")
        self._rounds_queue = deployment.rounds_queue

    def start(self, federation: str) -> FederationRecord:
        """Let a federation's rounds begin, or go on.

        Raises:
            UnknownFederationError: there is none of this name.
        """
        record = self.federations.get(federation)
        self.federations.set_status(federation, "running")
        request = OpenRound(federation=federation, round=record.round + 1)
        self._sqs.send_message(QueueUrl=self._rounds_queue, MessageBody=encode(request).decode())
        return record
