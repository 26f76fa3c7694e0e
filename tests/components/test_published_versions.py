"""A version that is published already is not built again, where AWS can be asked; and where it can't, that is said."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from operations import component_versions
from tests.paths import ROOT

ACCOUNT = "123456789012"
IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws-cn:iam::{ACCOUNT}:user/me</Arn><Account>{ACCOUNT}</Account></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""


class Service(ThreadingHTTPServer):
    """The two calls of AWS that are asked, over HTTP. `versions` is what there is of each component's ARN, in pages."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.versions: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, "text/xml", IDENTITY)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        arn = unquote(path.removeprefix("/greengrass/v2/components/").removesuffix("/versions"))
        self.server.asked.append(arn)
        if arn not in self.server.versions:
            self.send_response(404)
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
            self.end_headers()
            return
        pages = self.server.versions[arn]
        number = int(query.partition("nextToken=")[2] or 0)
        versions = [
            {"componentName": arn.rpartition(":")[2], "componentVersion": one, "arn": arn} for one in pages[number]
        ]
        following = {"nextToken": str(number + 1)} if number + 1 < len(pages) else {}
        self._answer(200, "application/json", json.dumps({"componentVersions": versions, **following}))

    def _answer(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose gdk-config.json names a version."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "recipe.yaml", folder)
    (folder / "task.py").write_text("def build_model(): pass\n")
    set_version(folder, "1.0.1")
    return folder


def set_version(folder: Path, version: str) -> None:
    component = {
        "author": "me",
        "version": version,
        "build": {"build_system": "custom", "custom_build_command": ["python3", "build.py", "--task", "."]},
        "publish": {"bucket": "mine", "region": "cn-north-1"},
    }
    (folder / "gdk-config.json").write_text(json.dumps({"component": {"com.example.Leaves": component}}))


def build(project: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, ROOT / "components" / "build.py", *options],
        cwd=project,
        env=kept
        | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": address, "AWS_CONFIG_FILE": ""},
        capture_output=True,
        text=True,
        check=False,
    )


ARN = f"arn:aws-cn:greengrass:cn-north-1:{ACCOUNT}:components:com.example.Leaves"


def test_a_version_that_is_published_is_not_built_again_and_nothing_is_left_to_publish(
    project: Path, service: Service
) -> None:
    address = f"http://127.0.0.1:{service.server_port}"
    service.versions[ARN] = [["1.0.2"], ["1.0.1", "1.0.0"]]
    set_version(project, "1.0.3")
    assert build(project, address).returncode == 0
    set_version(project, "1.0.1")
    (project / "greengrass-build/artifacts/com.example.Leaves/1.0.3").rename(
        project / "greengrass-build/artifacts/com.example.Leaves/1.0.1"
    )
    refused = build(project, address)
    assert refused.returncode == 1
    assert "version '1.0.1' of com.example.Leaves is published already" in refused.stderr
    assert 'Write "NEXT_PATCH", or a version that is new; --no-check builds it nevertheless' in refused.stderr
    assert [path for path in (project / "greengrass-build").rglob("*") if path.is_file()] == []
    assert build(project, address, "--no-check").returncode == 0


def test_a_version_that_is_not_published_is_built(project: Path, service: Service) -> None:
    address = f"http://127.0.0.1:{service.server_port}"
    for pages in (None, [], ["1.0.0", "1.0.10"]):
        service.versions = {} if pages is None else {ARN: [pages]}
        built = build(project, address)
        assert (built.returncode, "AWS" in built.stderr) == (0, False), built.stderr
    assert set(service.asked) == {ARN}


def test_next_patch_is_built_without_asking(project: Path, service: Service) -> None:
    set_version(project, "NEXT_PATCH")
    built = build(project, f"http://127.0.0.1:{service.server_port}")
    assert (built.returncode, service.asked, "AWS" in built.stderr) == (0, [], False)


def test_where_aws_cannot_be_asked_it_is_built_and_said(project: Path) -> None:
    built = build(project, "http://127.0.0.1:9")
    assert built.returncode == 0
    (warning,) = [line for line in built.stderr.splitlines() if "AWS" in line]
    assert warning.startswith(
        "warning: AWS could not be asked whether com.example.Leaves 1.0.1 is published already (Could"
    )
    assert warning.endswith('"NEXT_PATCH" as version in gdk-config.json never does')


@pytest.mark.parametrize(
    ("versions", "following"),
    [
        ([], "1.0.0"),
        (["1.0.0"], "1.0.1"),
        (["1.0.9", "1.0.10", "1.0.2"], "1.0.11"),
        (["2.0.0-rc.1", "1.9.9"], "2.0.1"),
    ],
)
def test_the_next_patch_is_counted_as_gdk_counts(versions: list[str], following: str) -> None:
    assert component_versions.next_patch(versions) == following
