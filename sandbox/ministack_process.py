"""The process that serves the embedded AWS: ministack, on loopback only, and gone when its parent is.

Run as a script (`python ministack_process.py HTTP_PORT`, 0 for a free one), not as a module: the Lambda workers that it
starts inherit its environment, and must find their own code only. It leads a process group of its own, in which
the workers are as well.

Both listeners are bound here before ministack is loaded: a taken port is told at once, and a client that comes early
waits in the backlog instead of being refused. When they are, one line of JSON goes to standard output:
{"http_port": ..., "mqtt_port": ...} or {"error": ...}.

At the end of standard input, or on SIGTERM, the workers are killed and TMPDIR is removed. Nothing is saved.
"""

import asyncio
import gc
import hashlib
import http.client
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
import uuid
import zipfile
from asyncio.base_events import BaseEventLoop
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote, urlencode

import yaml

LOOPBACK = "127.0.0.1"
_BACKLOG = 512


def main() -> None:
    """Serve until the parent goes away."""
    _shut_down_with_parent()
    try:
        http = _listen(int(sys.argv[1]))
        mqtt = _listen(0)
    except OSError as error:
        _tell({"error": str(error)})
        sys.exit(1)
    greengrass = json.loads(os.environ.pop("FEDGRASS_GREENGRASS"))  # the functions are not to have it
    rollout_minute_s = float(os.environ.pop("FEDGRASS_ROLLOUT_MINUTE_S"))
    layers = Path(os.environ.pop("FEDGRASS_LAYERS"))
    ports = {"http_port": http.getsockname()[1], "mqtt_port": mqtt.getsockname()[1]}
    # ministack reads its settings from the environment while it is imported.
    os.environ |= {"GATEWAY_PORT": str(ports["http_port"]), "IOT_MTLS_PORT": str(ports["mqtt_port"])}
    _tell(ports)
    os.dup2(2, 1)  # whatever ministack prints belongs in the log
    _allow_many_connections()
    _force_listeners(mqtt)
    gc.set_threshold(5_000)  # it imports much, which is here to stay
    vars(yaml)["SafeLoader"] = yaml.CSafeLoader  # which takes a tenth of the time for a template

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    _close_ministacks_back_doors()
    _give_ranges_of_versions()
    _let_starting_functions_start()
    _unpack_layers_once(layers)
    _authorize_named_shadows_by_name()
    _tell_policies_of_conditional_writes()
    _tell_policies_of_things()
    _count_policies_of_thing_groups()
    _take_loopback_for_tls()
    _pass_greengrass_on(greengrass)
    _roll_out_by(rollout_minute_s)
    _take_saved_queries()

    config = Config()
    config.bind = [f"fd://{http.detach()}"]
    # hypercorn holds a connection for as long even if its client is gone; AWS closes idle ones after about as long.
    config.keep_alive_timeout = 60
    config.backlog = _BACKLOG
    asyncio.run(serve(app, config, shutdown_trigger=asyncio.Event().wait))


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen(_BACKLOG)
    return listener


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _force_listeners(mqtt: socket.socket) -> None:
    """Make ministack's MQTT listener, which asks for all interfaces, use the socket bound here; send whatever other
    listener it may open to loopback."""
    create_server = BaseEventLoop.create_server
    mqtt_port = mqtt.getsockname()[1]

    async def create_loopback_server(
        loop: BaseEventLoop, factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> asyncio.Server:
        if port == mqtt_port:
            return await create_server(loop, factory, sock=mqtt, **options)
        if port is not None:
            host = LOOPBACK
        return await create_server(loop, factory, host, port, **options)

    BaseEventLoop.create_server = create_loopback_server  # type: ignore[method-assign, assignment]


def _close_ministacks_back_doors() -> None:
    """Make ministack refuse what AWS refuses: a wrong signature by its root key (or the key "test", which it takes for
    that), and an MQTT client without a certificate."""
    from ministack.core import iam_evaluator
    from ministack.services import iot

    iam_evaluator._is_root_key = lambda _access_key_id: False
    build_context = iot._mtls_build_ssl_context

    def build_strict_context() -> ssl.SSLContext:
        context: ssl.SSLContext = build_context()
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    iot._mtls_build_ssl_context = build_strict_context


def _give_ranges_of_versions() -> None:
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


def _let_starting_functions_start() -> None:
    """Make ministack's Lambda finish an invocation that is just starting when its function is updated, with the code
    that it started with, as Lambda does. Ministack would remove the code while it is unpacked and, as that one fails,
    kill all other workers of the function."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    spawn, kill, release = lambda_runtime.Worker._spawn, lambda_runtime.kill_workers, lambda_runtime.release_worker
    starting: set[lambda_runtime.Worker] = set()

    def spawn_undisturbed(worker: lambda_runtime.Worker) -> None:
        starting.add(worker)
        try:
            spawn(worker)
        finally:
            starting.discard(worker)

    def kill_what_has_started(workers: list[lambda_runtime.Worker]) -> None:
        kill([worker for worker in workers if worker not in starting])

    def release_or_kill(worker: lambda_runtime.Worker | None) -> None:
        release(worker)
        with lambda_runtime._lock:
            outdated = worker is not None and not any(worker in pool for pool in lambda_runtime._workers.values())
        if outdated:
            kill([worker])

    lambda_runtime.Worker._spawn = spawn_undisturbed
    lambda_runtime.kill_workers = kill_what_has_started
    lambda_svc.release_worker = release_or_kill


def _unpack_layers_once(directory: Path) -> None:
    """Make ministack's Lambda take a layer from `directory`, where it is unpacked once, in whichever embedded AWS. Each
    process of a function would unpack it, and compile all that it imports of it, anew."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    spawn, unpacking = lambda_runtime.Worker._spawn, threading.Lock()

    def unpacked(data: bytes) -> str:
        layer = directory / hashlib.sha256(data).hexdigest()[:16]
        with unpacking:
            if not layer.exists():
                directory.mkdir(parents=True, exist_ok=True)
                partial = Path(tempfile.mkdtemp(dir=directory))
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    archive.extractall(partial)
                try:
                    partial.rename(layer)
                except OSError:  # another embedded AWS was faster
                    shutil.rmtree(partial)
        return str(layer)

    def spawn_on_unpacked(worker: lambda_runtime.Worker) -> None:
        layers = [unpacked(data) for each in worker.config["Layers"] if (data := lambda_svc._resolve_layer_zip(each))]
        if layers:
            variables = worker.config.get("Environment", {}).get("Variables", {})
            found_there = variables | {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(layers)}
            worker.config = worker.config | {"Layers": [], "Environment": {"Variables": found_there}}
        spawn(worker)

    lambda_runtime.Worker._spawn = spawn_on_unpacked


def _authorize_named_shadows_by_name() -> None:
    """Make ministack's IAM ask for thing/THING/SHADOW where a named shadow is used, as AWS IoT does."""
    from ministack.core import iam_actions

    extract = iam_actions.extract_resource_arn

    def extract_with_shadow(
        service: str, method: str, path: str, headers: Any, body: Any, query: Any, *more: Any
    ) -> Any:
        arn = extract(service, method, path, headers, body, query, *more)
        name = (query or {}).get("name")
        if name and re.fullmatch(r"/things/[^/]+/shadow", path):
            return f"{arn}/{name[0] if isinstance(name, list) else name}"
        return arn

    iam_actions.extract_resource_arn = extract_with_shadow


def _tell_policies_of_conditional_writes() -> None:
    """Make ministack's IAM know of a write whether it makes an object, and on which condition, as S3's does."""
    from ministack.core import iam_actions

    context_of = iam_actions._s3_object_context

    def context_with_condition(action: str, query: Any, path: str, headers: Any) -> Any:
        context = context_of(action, query, path, headers)
        if action == "s3:PutObject":
            is_step = "uploads" in query or "partNumber" in query
            context["s3:ObjectCreationOperation"] = str(not is_step).lower()
            if "if-none-match" in headers:
                context["s3:if-none-match"] = headers["if-none-match"]
        return context

    iam_actions._s3_object_context = context_with_condition


def _tell_policies_of_things() -> None:
    """Make ministack's IAM know of which thing a device's credentials are: the tag that its session has says it."""
    from ministack.core import iam_evaluator

    resolve = iam_evaluator._resolve_condition_key

    def resolve_thing(key: str, request: Any) -> Any:
        if key.lower() == "credentials-iot:thingname":
            return request.principal_keys.get("aws:principaltag/thingname")
        return resolve(key, request)

    iam_evaluator._resolve_condition_key = resolve_thing


def _count_policies_of_thing_groups() -> None:
    """Make ministack's MQTT broker count what is attached to the groups that a thing is in, and to those above them, if
    the client ID is the thing's name and the certificate is the thing's, as AWS IoT does."""
    from ministack.services import iot

    allows = iot._mqtt_policy_allows

    def allows_with_groups(account: str, region: str, certificate: str, context: dict[str, str], *asked: Any) -> bool:
        with iot.request_scope(account, region):
            own = iot._certificates.get(certificate)
            thing = context.get("iot:connection.thing.thingname")
            if own is None or thing is None:
                return bool(allows(account, region, certificate, context, *asked))
            groups = [group for group in iot._thing_groups.values() if thing in group.get("things", [])]
            for group in groups:  # grows by those above
                above = iot._thing_groups.get((group.get("thingGroupMetadata") or {}).get("parentGroupName") or "")
                groups += [above] if above and above not in groups else []
            attached = [policy for group in groups for policy in iot._policies_attached_to(group["thingGroupArn"])]
            names = [*own.get("attachedPolicies", []), *(policy["policyName"] for policy in attached)]
            iot._certificates[certificate] = own | {"attachedPolicies": names}
            try:
                return bool(allows(account, region, certificate, context, *asked))
            finally:
                iot._certificates[certificate] = own

    iot._mqtt_policy_allows = allows_with_groups


def _take_loopback_for_tls() -> None:
    """Make ministack's IAM take every request for one that came by TLS: policies refuse others, and here is no TLS."""
    from ministack import app

    pin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _secure: pin(source_ip, True)


def _pass_greengrass_on(service: dict[str, Any]) -> None:
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


def _roll_out_by(minute_s: float) -> None:
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


def _take_saved_queries() -> None:
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


def _shut_down_with_parent() -> None:
    signal.signal(signal.SIGTERM, _on_terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        _shut_down()  # the main thread may sleep through a signal that comes as it lies down

    threading.Thread(target=wait_for_end, name="parent-watch", daemon=True).start()


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _shut_down()


def _shut_down() -> None:
    os.killpg(0, signal.SIGTERM)
    # From here on no worker can start: it would need a folder in TMPDIR.
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
