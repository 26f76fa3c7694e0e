"""cli/main.py: however a command ends, with --json there is one line on standard output, and its status says how."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import status as status_command
from sandbox.embedded_aws import EmbeddedAws
from tests.cli.running import Ran, fedgrass
from tests.paths import ROOT


def error_of(ran: Ran) -> tuple[int, str]:
    """The status and the code of a failure, which is told in all places alike."""
    envelope = ran.envelope
    assert envelope["v"] == 1
    assert envelope["ok"] is False
    assert envelope["exit_code"] == ran.status
    assert ran.error.startswith("error: " + envelope["error"]["message"].split("\n")[0][:60])
    assert "Traceback" not in ran.error
    return ran.status, envelope["error"]["code"]


def test_a_result_is_in_the_envelope_and_nothing_else_is_printed(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x\n" + "1\n" * 10)
    ran = fedgrass("split", str(tmp_path / "data.csv"), str(tmp_path / "shared"), "--clients", "2", "--json")
    assert (ran.status, ran.error) == (0, "")
    assert ran.envelope.keys() == {"v", "command", "ok", "exit_code", "result"}
    assert (ran.envelope["command"], ran.envelope["ok"], ran.envelope["exit_code"]) == ("split", True, 0)
    assert set(ran.result["clients"]) == {"device-000", "device-001"}


def test_the_versions_are_a_result() -> None:
    versions = fedgrass("--version", "--json").result
    told = fedgrass("--version").out
    assert told == f"fedgrass {versions['fedgrass']} (Python {versions['python']}, {versions['platform']})\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--json",),
        ("--json", "status"),
        ("nothing", "--json"),
        ("status", "--json", "--nothing"),
        ("status", "a", "b", "--json"),
        ("rollback", "digits", "--json"),
        ("plan", "--json", "--clients", "many"),
        ("plan", "--clients", "1", "--json"),
        ("split", "--json"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_an_envelope_too(words: tuple[str, ...]) -> None:
    assert error_of(fedgrass(*words)) == (2, "wrong_usage")


def test_json_behind_two_dashes_or_as_a_value_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = fedgrass("what-leaves", "--", "--json")
    assert (ran.status, ran.out) == (2, "")
    assert "--json" in ran.error
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    ran = fedgrass("abort-round", "digits", "--reason", "--json")
    assert (ran.status, ran.out) == (3, "")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("init", "nowhere"), 2, "invalid_project"),
        (("demo", "nowhere"), 2, "invalid_project"),
        (("deploy", "cloud", "nowhere"), 2, "invalid_project"),
        (("deploy", "cloud"), 3, "endpoint_unreachable"),
        (("what-leaves", "nowhere"), 2, "no_work_directory"),
        (("split", "data.csv", "shared", "--split", "labels:many"), 2, "invalid_split"),
        (("split", "nowhere", "shared"), 2, "invalid_data"),
        (("plan", "--clients", "2", "--model", "task.py"), 2, "invalid_model"),
        (("status",), 3, "endpoint_unreachable"),
        (("expel", "device-7"), 3, "endpoint_unreachable"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_failures_have_their_codes(
    words: tuple[str, ...], status: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody_listens = server.getsockname()[1]
    configured = {
        "ENDPOINT_URL": f"http://127.0.0.1:{nobody_listens}",
        "MAX_ATTEMPTS": "1",
        "DEFAULT_REGION": "eu-west-1",
    }
    for name, value in (configured | {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert error_of(fedgrass(*words, "--json")) == (status, code)


@pytest.mark.parametrize(
    ("environment", "status", "code"),
    [
        ({}, 3, "no_credentials"),
        ({"AWS_PROFILE": "nobody"}, 3, "invalid_aws_configuration"),
        ({"AWS_ENDPOINT_URL": "localhost:4566"}, 3, "invalid_aws_configuration"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}, 3, "invalid_aws_configuration"),
        ({"AWS_ENDPOINT_URL": "ftp://127.0.0.1"}, 3, "invalid_aws_configuration"),
        ({"AWS_DEFAULT_REGION": "no region"}, 3, "invalid_aws_configuration"),
        ({"AWS_DEFAULT_REGION": None}, 3, "no_region"),
        ({"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}, 3, "no_region"),
        ({"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 3, "no_region"),
    ],
)
def test_a_machine_that_is_not_set_up_for_aws_is_told_so(
    environment: dict[str, str | None], status: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nothing = {name: str(tmp_path / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, value in (nothing | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    for name, changed in environment.items():
        if changed is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, changed)
    assert error_of(fedgrass("status", "--json")) == (status, code)


def test_credentials_that_aws_does_not_know_or_that_may_nothing_are_told_so(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    iam = aws.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    assert error_of(fedgrass("status", "--json")) == (3, "access_denied")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert error_of(fedgrass("status", "--json")) == (3, "invalid_credentials")


def test_a_bug_is_an_envelope_with_the_trace_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_command, "operations_of", {}.__getitem__)
    ran = fedgrass("status", "--json")
    assert (ran.status, ran.envelope["error"]) == (1, {"code": "internal_error", "message": "KeyError: 'fedgrass'"})
    assert "Traceback" in ran.error


INTERRUPTED = """
import os, signal, sys
from cli.commands import status
from cli.main import main
def operations_of(stack):
    os.kill(os.getpid(), int(sys.argv[1]))
    signal.pause()
status.operations_of = operations_of
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
main(["status", *sys.argv[2:]])
"""


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_interrupted_command_says_so_in_one_line(name: signal.Signals, options: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(int(name)), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (130, "interrupted\n")
    if options:
        assert json.loads(ran.stdout)["error"] == {"code": "interrupted", "message": "interrupted"}
    else:
        assert ran.stdout == ""


def test_a_closed_output_is_no_trace() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", "--version", "--json"],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_an_output_a_command_does_what_it_does(options: list[str]) -> None:
    command = shlex.join([sys.executable, "-m", "cli.main", "--version", *options])
    ran = subprocess.run(["/bin/sh", "-c", f"{command} >&-"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_output_is_named_without_a_trace(options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "cli.main", "--version", *options],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    told = "error: what is printed can't be written: No space left on device\n"
    assert (ran.returncode, ran.stderr) == (1, told)
