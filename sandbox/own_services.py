"""An initiator's services in this process, and what it asks of AWS."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.config import Config

from cloud.services import Services
from cloud.state.groups import Groups
from operations.control import Operations
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws


class OwnServices:
    """Its `services`, and what an operator can do by the same clients. `calls` counts calls by operation; `read` is how
    many items DynamoDB has looked at."""

    def __init__(self, aws: EmbeddedAws, deployed: Deployment, threads: int = 1) -> None:
        self.calls: Counter[str] = Counter()
        self.read = 0
        session: Any = aws.session()
        session.events.register("before-send", self._count)
        session.events.register("after-call.dynamodb", self._count_items)
        made: dict[str, Any] = {}

        def client(service: str) -> Any:
            if service not in made:
                config = Config(max_pool_connections=threads, read_timeout=600)
                made[service] = session.client(service, endpoint_url=aws.endpoint, config=config)
            return made[service]

        self.operations = Operations(client, deployed)
        self.services = Services(
            federations=self.operations.federations,
            clients=self.operations.clients,
            groups=Groups(lambda: client("iot")),
            rounds=self.operations.rounds,
            models=self.operations.models,
            notices=self.operations.notices,
            parallel=ThreadPoolExecutor(threads),
            calls=self.calls,
            waited_s={},
            package=Path(),
        )

    def _count(self, event_name: str, **_: Any) -> None:
        self.calls[event_name.rpartition(".")[2]] += 1

    def _count_items(self, parsed: Any, **_: Any) -> None:
        got = sum(len(items) for items in parsed.get("Responses", {}).values()) if "Responses" in parsed else 0
        self.read += parsed.get("ScannedCount", got + ("Item" in parsed))
