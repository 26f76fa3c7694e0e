"""What S3, DynamoDB, Greengrass, AWS IoT's jobs and CloudFormation answer."""

import asyncio
import contextlib
import functools
import hashlib
import http.client
import importlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode

LOOPBACK = "127.0.0.1"


def give_ranges_of_versions() -> None:
    """Make ministack's S3 heed a range when a version is asked for as well, as S3 does."""
    from ministack.services import s3

    get_object = s3._get_object

    def get_range(bucket: str, key: str, headers: Any, query: Any = None, *more: Any, **named: Any) -> Any:
        status, answered, body = get_object(bucket, key, headers, query, *more, **named)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        if status != 200 or wanted is None or "versionId" not in (query or {}):
            return status, answered, body
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(body))
        about = {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}", "Content-Length": str(end - start)}
        of_all = {name for name in answered if name.startswith("x-amz-checksum-")}  # they would be wrong of a part
        return 206, {name: value for name, value in answered.items() if name not in of_all} | about, body[start:end]

    s3._get_object = get_range


def read_conditions_once() -> None:
    """Make ministack's DynamoDB read a condition once, not again for each item of a query."""
    from ministack.services import dynamodb

    dynamodb._tokenize = functools.lru_cache(1024)(dynamodb._tokenize)
    dynamodb._condition_syntax_error = functools.lru_cache(1024)(dynamodb._condition_syntax_error)


def pass_greengrass_on(service: dict[str, Any]) -> None:
    """Make ministack authorize the calls of greengrassv2, which it does not have, and pass them on to what has: `port`
    on loopback, where `headers` are asked for."""
    import botocore.session
    from ministack import app
    from ministack.core import iam_actions, router

    def pass_on(method: str, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, service["port"])
        try:
            connection.request(method, target, body, service["headers"])
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()

    async def handle(
        method: str, path: str, _headers: Any, body: bytes, query: Any
    ) -> tuple[int, dict[str, str], bytes]:
        target = quote(path) + (f"?{urlencode(query, doseq=True)}" if query else "")
        return await asyncio.to_thread(pass_on, method, target, body)

    iam_actions.SERVICE_TO_IAM_NAMESPACE["greengrass"] = "greengrass"
    iam_actions._BOTOCORE_SERVICE_MAP["greengrass"] = ["greengrassv2"]
    app.SERVICE_HANDLERS["greengrass"] = handle
    # What ministack has no handler of it would look for in the models of all services, which takes seconds to read.
    services = botocore.session.get_session().get_available_services()
    router._KNOWN_AWS_SERVICE_NAMES = frozenset([*services, "greengrass"])


def roll_out_by(minute_s: float) -> None:
    """Make ministack's IoT jobs take as long for a minute of a rollout, and tell the devices of each batch, as AWS IoT
    does. Ministack looks what a device had to do before when it has made the batch's executions already, so that there
    seems to be no news for it."""
    from ministack.services import iot

    release, first_pending = iot._jobs_rollout_release, iot.jobs_first_pending_job_id

    def release_and_tell(job: dict[str, Any]) -> Any:
        waiting = job["rolloutQueue"]
        batch = waiting[: iot._jobs_rollout_batch_size(job, len(waiting))]
        before = {thing: first_pending(thing) for thing in batch}
        iot.jobs_first_pending_job_id = before.__getitem__
        try:
            return release(job)
        finally:
            iot.jobs_first_pending_job_id = first_pending

    iot._JOB_ROLLOUT_INTERVAL_MS = int(1000 * minute_s)
    iot._jobs_rollout_release = release_and_tell


def take_saved_queries() -> None:
    """Make ministack's CloudFormation take the saved queries of CloudWatch Logs, which it does not have. Nobody can ask
    for them."""
    from ministack.services.cloudformation import provisioners

    def create(_logical_id: str, properties: Any, _stack: str) -> tuple[str, dict[str, Any]]:
        if not properties.get("Name") or not properties.get("QueryString"):
            raise ValueError("AWS::Logs::QueryDefinition needs a Name and a QueryString")
        query = str(uuid.uuid4())
        return query, {"QueryDefinitionId": query}

    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": create,
        "update": lambda query, *_: (query, {"QueryDefinitionId": query}),
        "delete": lambda *_: None,
    }


def expand_templates_once(directory: Path) -> None:
    """Make ministack's CloudFormation take what AWS::Serverless makes of a template from `directory`, once it is there,
    in whichever embedded AWS. What makes it takes longer to import than all else that ministack needs."""
    name, translator = "samtranslator.translator.transform", importlib.metadata.version("aws-sam-translator")

    def transform(template: Any, parameters: Any, policies: Any) -> Any:
        asked = json.dumps([translator, os.environ["AWS_DEFAULT_REGION"], template, parameters], default=str)
        path = directory / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
        with contextlib.suppress(FileNotFoundError, ValueError):  # a power cut may have left it without its bytes
            return json.loads(path.read_text())
        sys.modules.pop(name, None)
        made = importlib.import_module(name).transform(template, parameters, policies)
        sys.modules[name] = module
        directory.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=directory)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file, default=str)
        Path(partial).rename(path)
        return made

    module = ModuleType(name)
    vars(module)["transform"] = transform
    sys.modules[name] = module
