"""What all tests share: the embedded AWS with fedgrass deployed on it, started once, by the first test that asks."""

import contextlib
import gc
import importlib
import itertools
import re
import signal
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from operations import deployment, packaging
from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Fault, Gateway, Request
from tests.cloud.simulated import SimulatedFederation
from tests.forking.popen import Popen, Server

# A busy machine is no failure.
hypothesis.settings.register_profile("fedgrass", deadline=None, print_blob=True)
hypothesis.settings.load_profile("fedgrass")

# What a script starts in the background ignores Ctrl-C, and so would all that the tests start and send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)


# What is imported and collected is here to stay; to look through it for garbage is a fifth of the time of collecting.
gc.disable()

_ALLOCATIONS_BETWEEN_COLLECTIONS = 10_000
"""Python's own 700 cost a twelfth of the time of the tests: what these keep is looked through again and again."""

_numbers = itertools.count(1)

_FIRST = ("test_expulsion.py", "test_expelling.py", "test_doctoring.py", "test_kept_files.py", "test_forking.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Of several processes each imports the tests beginning with others: what one has compiled, the rest find so. They
    would all compile the same ones at the same time, where nothing is compiled yet."""
    process = getattr(session.config, "workerinput", None)
    if process is None:
        return
    files = sorted(file for path in session.config.args for file in Path(path).absolute().rglob("test_*.py"))
    begin = len(files) * int(process["workerid"].removeprefix("gw")) // process["workercount"]
    for file in files[begin:] + files[:begin]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # collecting it tells
            importlib.import_module(".".join(file.relative_to(session.config.rootpath).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what asks for all that there is in the session's AWS, to which most others add, and what looks at this
    process as it is. Then the longest: several processes that take one file after another end at about the same time
    if what comes last is short."""

    def place(item: pytest.Item) -> int:
        return 0 if item.path.name in _FIRST else 1 if item.path.parent.name in ("e2e", "trials") else 2

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What fails on the embedded AWS comes with the errors that this has logged: a function's are nowhere else."""
    report = yield
    aws = getattr(item, "funcargs", {}).get("aws")
    if report.failed and isinstance(aws, EmbeddedAws):
        lines = aws.log_path.read_text(errors="replace").splitlines()
        errors = [line[:500] for line in lines if " ERROR " in line or line.startswith("[ERROR]")]
        report.sections.append(("errors in the embedded AWS's log, the last of them", "\n".join(errors[-20:])))
    return report


class Line:
    """What lies between the functions and AWS. `fault` decides on each of their requests, as long as a test wants."""

    def __init__(self) -> None:
        self.fault: Fault | None = None

    def __call__(self, request: Request) -> bytes | None:
        return self.fault(request) if self.fault else None


@pytest.fixture(scope="session", autouse=True)
def forking() -> Iterator[None]:
    """Processes of tests that begin with the import of torch are forked from one that has it."""
    subprocess.Popen = Popen  # type: ignore[misc]
    Popen.server = Server()
    yield
    Popen.server.stop()
    Popen.server = None


@pytest.fixture(scope="session")
def session_line() -> Line:
    """The line of the session's AWS."""
    return Line()


@pytest.fixture
def line(session_line: Line) -> Iterator[Line]:
    """A line that is whole again after the test."""
    yield session_line
    session_line.fault = None


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory, session_line: Line) -> Iterator[EmbeddedAws]:
    """An AWS for the whole session."""
    directory = tmp_path_factory.mktemp("aws") / "embedded"
    with (
        Gateway(0.0, session_line) as gateway,
        EmbeddedAws(directory, functions_endpoint=gateway.endpoint) as embedded,
    ):
        gateway.upstream = embedded.endpoint
        yield embedded


@pytest.fixture(scope="session")
def deployed(aws: EmbeddedAws) -> Deployment:
    """cloud/template.yaml, deployed as `fedgrass deploy cloud` does it."""
    dependencies = packaging.dependencies(packaging.this_machine(), packaging.cache_directory())
    return deployment.deploy(aws.client, "fedgrass", packaging.code({}), dependencies)


@pytest.fixture
def simulated(aws: EmbeddedAws, deployed: Deployment, request: pytest.FixtureRequest) -> Iterator[SimulatedFederation]:
    """A federation that no other test has; stopped when the test is over."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    federation = SimulatedFederation(aws, deployed, f"{words[:30].strip('-')}-{next(_numbers)}")
    yield federation
    federation.stop()
