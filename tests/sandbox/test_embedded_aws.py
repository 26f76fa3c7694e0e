import io
import json
import socket
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from awscrt import mqtt5
from awscrt.io import ClientTlsContext, TlsContextOptions
from botocore.exceptions import ClientError

from sandbox.device import Device
from sandbox.embedded_aws import EmbeddedAws, PortTakenError, check_port
from sandbox.polling import eventually

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def create_function(aws: EmbeddedAws, name: str, code: str) -> None:
    """A Python function whose role allows nothing."""
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="handler.handle",
        Role=role,
        Code={"ZipFile": packed(code)},
    )


def packed(code: str) -> bytes:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", code)
    return package.getvalue()


def invoke(aws: EmbeddedAws, name: str) -> Any:
    answer = aws.client("lambda").invoke(FunctionName=name)
    return json.loads(answer["Payload"].read())


def test_every_listener_is_on_loopback(aws: EmbeddedAws, device: Device) -> None:
    listeners = [
        connection.laddr
        for process in (psutil.Process(aws.pid), psutil.Process())
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {aws.mqtt_port, int(aws.endpoint.rpartition(":")[2])} < {address.port for address in listeners}
    assert {address.ip for address in listeners} == {"127.0.0.1"}


@pytest.mark.parametrize("key", ["test", "000000000000", None])
def test_nobody_is_administrator_without_the_secret(aws: EmbeddedAws, key: str | None) -> None:
    session = boto3.Session(
        aws_access_key_id=key or aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="wrong",  # noqa: S106
        region_name=aws.region,
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        session.client("s3", endpoint_url=aws.endpoint).list_buckets()


def test_the_environment_makes_another_process_the_administrator(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    assert boto3.Session().client("sts").get_caller_identity()["Arn"].endswith(":root")


def test_an_mqtt_client_needs_a_certificate(aws: EmbeddedAws) -> None:
    options = TlsContextOptions()
    options.override_default_trust_store(aws.ca_path.read_bytes())
    outcome: Future[bool] = Future()
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="127.0.0.1",
            port=aws.mqtt_port,
            tls_ctx=ClientTlsContext(options),
            connect_options=mqtt5.ConnectPacket(client_id="stranger"),
            on_lifecycle_event_connection_success_fn=lambda _data: outcome.set_result(True),
            on_lifecycle_event_connection_failure_fn=lambda _data: outcome.set_result(False),
        )
    )
    client.start()
    connected = outcome.result(20)
    client.stop()
    assert not connected


def test_functions_run_as_their_role_with_their_own_code_only(aws: EmbeddedAws) -> None:
    create_function(
        aws,
        "loner",
        "import boto3\nimport importlib.util\n"
        "def handle(event, context):\n"
        "    for name in ('sandbox', 'ministack', 'numpy'):\n"
        "        if importlib.util.find_spec(name):\n            return f'found {name}'\n"
        "    try:\n        boto3.client('s3').list_buckets()\n        return 'listed'\n"
        "    except Exception as error:\n        return str(error)\n",
    )
    assert "AccessDenied" in str(invoke(aws, "loner"))


def test_an_invocation_that_starts_while_its_function_is_updated_ends(aws: EmbeddedAws, tmp_path: Path) -> None:
    mark = tmp_path / "starting"
    create_function(
        aws,
        "starter",
        "import pathlib\nimport time\n"
        f"pathlib.Path({str(mark)!r}).touch()\ntime.sleep(1)\n"
        "def handle(e, c): return 'old'",
    )
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(invoke, aws, "starter")
        while not mark.exists():
            assert not starting.done(), starting.result()
        aws.client("lambda").update_function_code(
            FunctionName="starter", ZipFile=packed("def handle(e, c): return 'new'")
        )
        assert starting.result() == "old"
    assert invoke(aws, "starter") == "new"


def test_a_process_of_a_function_finds_what_the_one_before_has_compiled(aws: EmbeddedAws) -> None:
    create_function(aws, "mortal", "import os\ndef handle(e, c): return os.getpid(), __file__, __cached__")
    first, *files = invoke(aws, "mortal")
    process = psutil.Process(first)
    process.kill()

    def has_ended() -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    eventually(has_ended, "the process to end")
    second, *files_of_second = invoke(aws, "mortal")
    assert second != first
    assert files_of_second == files
    assert all(Path(file).exists() for file in files)


def test_a_template_is_expanded_once_in_whichever_embedded_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    resources = {"Table": {"Type": "AWS::Serverless::SimpleTable"}}
    template = json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources})
    made = []
    for name in ("one", "two"):
        with EmbeddedAws(tmp_path / name) as aws:
            stacks = aws.client("cloudformation")
            stacks.create_change_set(StackName=name, ChangeSetName=name, ChangeSetType="CREATE", TemplateBody=template)
            (change,) = stacks.describe_change_set(StackName=name, ChangeSetName=name)["Changes"]
            (path,) = (tmp_path / "fedgrass" / "templates").iterdir()
            made.append((change["ResourceChange"]["ResourceType"], path.name, path.stat().st_mtime_ns))
    assert made[0] == made[1]
    assert made[0][0] == "AWS::DynamoDB::Table"


def test_the_functions_calls_go_where_they_are_told_to(tmp_path: Path) -> None:
    with EmbeddedAws(tmp_path, functions_endpoint="http://127.0.0.1:9") as aws:
        create_function(aws, "teller", "import os\ndef handle(e, c): return os.environ['AWS_ENDPOINT_URL']")
        assert invoke(aws, "teller") == "http://127.0.0.1:9"


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for use in (EmbeddedAws(tmp_path, port=port).start, partial(check_port, port)):
            with pytest.raises(PortTakenError, match=f"port {port} .* ask for port 0"):
                use()
    assert not list(tmp_path.glob("*/"))
    check_port(port)
    with EmbeddedAws(tmp_path, port=port) as aws:
        assert aws.endpoint == f"http://127.0.0.1:{port}"


def test_stop_leaves_the_log_and_nothing_else(tmp_path: Path) -> None:
    aws = EmbeddedAws(tmp_path)
    aws.start()
    create_function(aws, "idle", "def handle(e, c): return 1")
    assert invoke(aws, "idle") == 1
    processes = [psutil.Process(aws.pid), *psutil.Process(aws.pid).children(recursive=True)]
    assert len(processes) == 2
    aws.stop()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive
    assert {path.name for path in tmp_path.iterdir()} == {"ministack.log", "ca.pem"}
    aws.stop()
