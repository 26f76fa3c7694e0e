"""The agent's own process, as the nucleus runs it: over a real IPC socket, with a shadow that keeps AWS's rules."""

import functools
import gc
import os
import queue
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from components.client import __main__ as component
from components.client.agent import configuration, last_assignment, outbox, service
from components.client.agent.ipc import Ipc
from protocol import messages, names, tensors
from protocol.messages import Assignment, Hello, Report
from sandbox.embedded_aws import EmbeddedAws
from sandbox.gateway import Request
from sandbox.nucleus.ipc import IpcError
from sandbox.nucleus.personality import CLASSIC, LITE
from sandbox.polling import eventually
from tests.components.client.conftest import TASK, refusal
from tests.components.client.nucleus import FEDERATION, THING, TIMEOUT_S, Nucleus
from tests.components.client.supervised import BUCKET
from tests.conftest import Line
from tests.paths import ROOT

LOOK_S = 1.0
"""The agent looks this often whether a nucleus that has gone is back."""
CONFIGURATION = {"federation": FEDERATION, "bucket": BUCKET, "reconcile_s": "300", "threads": "1"}
LOGS = "def train(model, data, settings):\n    logging.getLogger('task').info('it trains')\n    return {}\n"
SLOW = (
    TASK.replace("nn.Linear(4, 2)", "Model(4, 2)")
    + """
import pathlib, time

class Model(nn.Linear):
    def forward(self, inputs):
        if self.training and (pathlib.Path(__file__).parent / "slow").exists():
            time.sleep(0.1)
        return super().forward(inputs)
"""
)
STUCK = TASK + "def train(model, data, settings):\n    import re\n    re.match('(a+)+$', 'a' * 99 + 'b')\n"
HANGS = TASK + "def train(model, data, settings):\n    import time\n    time.sleep(1000)\n"


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[Nucleus]:
    with Nucleus(tmp_path / "ipc", dict(CONFIGURATION)).running() as running:
        yield running


Start = Callable[..., psutil.Popen]
Serve = Callable[[Nucleus], None]


@pytest.fixture
def start(nucleus: Nucleus, artifacts: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts the agent, as the recipe does."""
    work = tmp_path / "work"
    work.mkdir()
    processes: list[psutil.Popen] = []

    def run(stdout: int | None = None, stderr: int | None = None) -> psutil.Popen:
        processes.append(
            psutil.Popen(
                [sys.executable, "-m", "components.client", str(artifacts)],
                cwd=work,
                env=os.environ | nucleus.environment() | {"PYTHONPATH": str(ROOT)},
                stdout=stdout,
                stderr=stderr,
                text=True,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def wanted(assignment: Assignment) -> dict[str, Any]:
    return {"assignment": msgspec.to_builtins(assignment)}


def is_idle(nucleus: Nucleus) -> bool:
    return bool(nucleus.messages("get"))


def training_process(agent: psutil.Popen) -> psutil.Process:
    return next(child for child in agent.children() if "components.client.trainer.process" in child.cmdline())


def test_it_says_hello_and_gets_its_shadow_once_when_there_is_none(nucleus: Nucleus, start: Start) -> None:
    start()
    nucleus.wait_until(is_idle)
    topic, message = nucleus.published[0]
    assert topic == names.hello_topic(FEDERATION, THING)
    hello = messages.convert(message, Hello)
    assert (hello.component_version, hello.cpu_count) == ("0.1.0", os.cpu_count())
    assert hello.memory_bytes > 100_000_000
    assert hello.ready is True
    assert len(nucleus.published) == 2


def test_a_round_from_the_shadow_to_the_update(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    start()
    nucleus.wait_until(is_idle)
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    assert nucleus.shadow is not None
    assert nucleus.shadow.delta == {}
    key = names.update_key(FEDERATION, 1, THING)
    assert as_device.client("s3").head_object(Bucket=BUCKET, Key=key)["ContentLength"] > 0
    nucleus.wait_until(lambda n: any(message.get("examples") == 32 for _, message in n.published))


def test_other_users_of_the_device_see_nothing_of_a_round(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    left = work / "finished.json"  # by a version that let others read it
    left.write_text("{}")
    left.chmod(0o644)
    agent = start()
    nucleus.wait_until(is_idle)
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    seen = " ".join(training_process(agent).cmdline())
    assert seen.endswith("components.client.trainer.process")
    made = [path for path in work.rglob("*") if path != left]
    assert made
    assert [path for path in (work, *made) if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []


def test_an_assignment_that_waits_is_found_when_the_agent_starts(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    nucleus.want(wanted(assign(1)))
    start()
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))


def test_a_lost_get_is_repeated(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    nucleus.want(wanted(assign(1)))
    nucleus.lose = lambda topic, _: topic.endswith("/get") and len(nucleus.messages("get")) <= 1
    start()
    nucleus.wait_until(lambda n: n.reported("progress", round=1))


def test_a_lost_delta_and_a_lost_end_are_repaired_when_the_shadow_is_reconciled(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    nucleus.configuration["reconcile_s"] = "1"
    lost: list[Any] = []

    def lose_the_first_end(topic: str, message: Any) -> bool:
        ended = topic.endswith("/update") and message["state"]["reported"]["progress"]["phase"] == "done"
        if ended:
            lost.append(message)
        return ended and len(lost) == 1

    nucleus.lose = lose_the_first_end
    start()
    nucleus.wait_until(is_idle)
    nucleus.want(wanted(assign(1)), tell=False)
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    assert len(lost) == 2


def test_refused_calls_are_tried_again(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    nucleus.want(wanted(assign(1)))
    nucleus.refusals = [IpcError("ServiceError", "the broker is away")]
    start()
    nucleus.wait_until(is_idle)
    nucleus.refusals = [IpcError("ServiceError", "the broker is away")] * 2
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))


def test_a_missing_permission_is_explained(nucleus: Nucleus, start: Start) -> None:
    nucleus.refusals = [IpcError("UnauthorizedError", "not authorized")]
    process = start(stdout=subprocess.PIPE)
    line = next(line for line in process.stdout if "not authorized" in line)
    assert "interpolateComponentConfiguration" in line
    nucleus.wait_until(is_idle)


def test_a_component_that_is_not_configured_says_so_and_waits(nucleus: Nucleus, start: Start) -> None:
    nucleus.configuration["bucket"] = ""
    process = start(stdout=subprocess.PIPE)
    assert next(line for line in process.stdout if "`bucket`" in line and "configurationUpdate" in line)
    process.terminate()
    assert process.wait(TIMEOUT_S) == 0


def test_a_nucleus_that_goes_away_while_the_agent_waits_ends_it(nucleus: Nucleus, start: Start) -> None:
    nucleus.refusals = [IpcError("ServiceError", "the broker is away")] * 1000
    process = start(stdout=subprocess.PIPE)
    assert next(line for line in process.stdout if "cannot subscribe" in line)
    nucleus.disconnect()
    nucleus.come_back()
    assert process.wait(TIMEOUT_S) == 75


def test_an_idle_agent_has_neither_torch_nor_boto3_and_stays_small(nucleus: Nucleus, start: Start) -> None:
    process = start()
    nucleus.wait_until(is_idle)
    loaded = {Path(region.path).name for region in process.memory_maps()}
    assert not [name for name in loaded if name.startswith(("libtorch", "_multiarray_umath", "libc10"))]
    assert process.memory_info().rss < 45e6


def test_importing_the_agent_imports_neither_torch_nor_numpy_nor_boto3() -> None:
    code = "import sys, components.client.__main__; print(*{name.split('.')[0] for name in sys.modules})"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "awsiot" in output
    assert not {"torch", "numpy", "boto3", "botocore", "hashlib", "ctypes"} & set(output)  # OpenSSL alone is 4 MB


def test_finished_calls_do_not_pile_up_in_the_client(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done") and n.open_streams == 0)


def test_a_restarted_agent_does_not_train_a_finished_round_again(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    process = start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    process.kill()
    process.wait()
    assert nucleus.shadow is not None
    nucleus.shadow.reported.clear()  # as if nothing of it had arrived
    nucleus.published.clear()
    restarted = start()
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    assert len(nucleus.messages("update")) == 1
    assert restarted.children() == []


def test_a_federation_made_anew_is_trained_for_with_the_same_round_and_model_also_after_a_restart(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    process = start(stdout=subprocess.PIPE)
    assignment = assign(1)

    def train(life: str) -> None:
        withdrawn = {"withdrawn": 7, "withdrawn_life": "77777777"}
        nucleus.want(wanted(msgspec.structs.replace(assignment, life=life)) | withdrawn)
        nucleus.wait_until(lambda n: n.reported("progress", round=1, life=life, phase="done"))

    for life in ("9f8e7d6c", "0a1b2c3d"):
        train(life)
        key = names.update_key(FEDERATION, 1, THING, life)
        update = as_device.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        header, _ = tensors.load(update)
        assert messages.decode(header.message, Report).life == life
    line = next(line for line in process.stdout if "dropped what was remembered" in line)
    assert "another life of the federation: 9f8e7d6c" in line
    assert nucleus.shadow is not None
    assert nucleus.shadow.delta == {}
    process.terminate()
    process.wait()
    start()
    train("11111111")


def test_an_end_that_a_full_disk_does_not_take_is_reported_all_the_same_and_the_next_one_is_kept(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws, tmp_path: Path
) -> None:
    (tmp_path / "work" / "finished.new").symlink_to("/dev/full")
    process = start(stdout=subprocess.PIPE)
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    line = next(line for line in process.stdout if "cannot save" in line)
    assert "No space left on device" in line
    nucleus.want(wanted(assign(2)))
    nucleus.wait_until(lambda n: n.reported("progress", round=2, phase="done"))
    kept = last_assignment.load(tmp_path / "work" / "finished.json", FEDERATION, THING)
    assert kept is not None
    assert kept.progress.round == 2


def test_a_device_that_is_not_ready_declines_with_the_condition_and_starts_no_process(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment]
) -> None:
    nucleus.configuration["min_disk_mb"] = "1e12"
    process = start()
    nucleus.want(wanted(assign(1)))
    declined = nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="declined"))
    assert declined["reason"].endswith(" MB of disk available, under 1e+12 (min_disk_mb)")
    assert process.children() == []


def test_a_device_that_is_to_wait_says_so_and_declines_at_the_deadline(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment]
) -> None:
    nucleus.configuration |= {"min_disk_mb": "1e12", "when_not_ready": "wait"}
    start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(
        lambda n: "waiting: " in (n.reported("progress", round=1, phase="accepted") or {}).get("reason", "")
    )
    nucleus.want(wanted(msgspec.structs.replace(assign(1), deadline=time.time() + 1)))
    declined = nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="declined"))
    assert declined["reason"].startswith("deadline passed in phase accepted: waiting: ")


def test_a_task_that_is_not_ready_declines(
    nucleus: Nucleus, start: Start, artifacts: Path, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    (artifacts / "task.py").write_text(TASK + "def ready(device): return device.disk_available_bytes < 0\n")
    start()
    nucleus.want(wanted(assign(1)))
    declined = nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="declined"))
    assert declined["reason"] == "not ready, says the task"


def test_a_withdrawn_round_is_stopped_and_its_process_kept(
    nucleus: Nucleus, start: Start, artifacts: Path, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    (artifacts / "task.py").write_text(HANGS)
    process = start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="training"))
    child = training_process(process)
    nucleus.want({"withdrawn": 1})
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="declined"))
    assert nucleus.shadow is not None
    assert nucleus.shadow.reported["withdrawn"] == 1
    assert child.is_running()


def test_a_killed_training_process_is_reported(
    nucleus: Nucleus, start: Start, artifacts: Path, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    (artifacts / "task.py").write_text(HANGS)
    process = start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="training"))
    training_process(process).kill()
    failed = nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="failed"))
    assert "killed (signal 9)" in failed["reason"]


@pytest.mark.parametrize("task", [HANGS, STUCK])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopping_the_agent_ends_its_training_process(
    nucleus: Nucleus,
    start: Start,
    artifacts: Path,
    assign: Callable[..., Assignment],
    as_device: EmbeddedAws,
    number: signal.Signals,
    task: str,
) -> None:
    (artifacts / "task.py").write_text(task)
    process = start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="training"))
    child = training_process(process)
    process.send_signal(number)
    assert CLASSIC.lifecycle.stop_grace_s - 1 > service.GRACE_S
    assert process.wait(TIMEOUT_S) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    psutil.wait_procs([child], timeout=TIMEOUT_S)
    assert not child.is_running()


def test_a_lost_nucleus_ends_the_agent_when_it_is_back_and_can_start_it_anew(nucleus: Nucleus, start: Start) -> None:
    process = start(stdout=subprocess.PIPE)
    nucleus.wait_until(is_idle)
    nucleus.disconnect()
    assert next(line for line in process.stdout if "the nucleus is not there" in line)
    with pytest.raises(psutil.TimeoutExpired):
        process.wait(2 * LOOK_S)
    nucleus.come_back()
    assert process.wait(TIMEOUT_S) == 75


def test_an_agent_that_is_stopped_while_the_nucleus_is_gone_ends_at_once(nucleus: Nucleus, start: Start) -> None:
    process = start(stdout=subprocess.PIPE)
    nucleus.wait_until(is_idle)
    nucleus.disconnect()
    assert next(line for line in process.stdout if "the nucleus is not there" in line)
    process.terminate()
    assert process.wait(TIMEOUT_S) == 0


def test_a_configuration_that_the_nucleus_does_not_give_is_asked_for_again(
    nucleus: Nucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in nucleus.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(component, "RETRY_S", 0.1)
    nucleus.withheld = [IpcError("ServiceError", "not yet")] * 2
    events: queue.SimpleQueue[service.Event] = queue.SimpleQueue()
    connection = Ipc(events.put)
    assert component._configured(connection, events) == configuration.parse(CONFIGURATION)
    connection.close()
    assert nucleus.withheld == []


def test_a_nucleus_that_does_not_know_the_component_ends_the_agent(
    nucleus: Nucleus, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nucleus, "environment", lambda: Nucleus.environment(nucleus) | {"SVCUID": "old"})
    assert start().wait(TIMEOUT_S) == 75


def test_it_tells_the_nucleus_that_it_runs(nucleus: Nucleus, start: Start) -> None:
    start()
    nucleus.wait_until(lambda n: n.states == ["RUNNING"])


def test_nucleus_lite_which_lacks_much_is_good_enough_for_a_round(
    tmp_path: Path,
    start: Start,
    nucleus: Nucleus,
    assign: Callable[..., Assignment],
    as_device: EmbeddedAws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacks = ("UpdateState", "SubscribeToConfigurationUpdate", "SubscribeToComponentUpdates", "DeferComponentUpdate")
    with Nucleus(tmp_path / "lite", dict(CONFIGURATION), LITE, lacks).running() as lite:
        monkeypatch.setattr(nucleus, "environment", lite.environment)
        start()
        lite.wait_until(is_idle)
        lite.want(wanted(assign(1)))
        lite.wait_until(lambda n: n.reported("progress", round=1, phase="done"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_that_was_stopped_in_a_round_goes_on_with_it_from_the_checkpoint(
    nucleus: Nucleus,
    start: Start,
    artifacts: Path,
    assign: Callable[..., Assignment],
    as_device: EmbeddedAws,
    number: signal.Signals,
) -> None:
    (artifacts / "task.py").write_text(SLOW)
    (artifacts / "slow").touch()
    # Told to end, it saves a checkpoint that is not due; killed, it has the one of the last epoch.
    nucleus.configuration["checkpoint_s"] = "1e9" if number is signal.SIGTERM else "0"
    process = start()
    nucleus.want(wanted(assign(1, epochs=100)))
    nucleus.wait_until(lambda n: (n.reported("progress", round=1, phase="training") or {}).get("epoch", 0) >= 2)
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    (artifacts / "slow").unlink()
    process = start(stderr=subprocess.PIPE)
    assert next(line for line in process.stderr if "training goes on from its checkpoint" in line)
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    update = as_device.client("s3").get_object(Bucket=BUCKET, Key=names.update_key(FEDERATION, 1, THING))
    header, _ = tensors.load(update["Body"].read())
    assert messages.decode(header.message, messages.Report).steps == 400


def test_a_configuration_that_becomes_complete_is_taken_up_at_once(nucleus: Nucleus, start: Start) -> None:
    nucleus.configuration["bucket"] = ""
    start()
    nucleus.configure(bucket=BUCKET)
    nucleus.wait_until(is_idle)


def test_a_changed_configuration_is_taken_up_without_a_restart(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    process = start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))
    child = training_process(process)
    nucleus.configure(threads="2", hours="", min_disk_mb="1e12")
    child.wait(TIMEOUT_S)  # it would have stayed for another round
    nucleus.want(wanted(assign(2)))
    declined = nucleus.wait_until(lambda n: n.reported("progress", round=2, phase="declined"))
    assert declined["reason"].endswith("(min_disk_mb)")
    assert process.is_running()


def test_a_configuration_that_no_longer_lets_it_train_is_told_by_a_hello(nucleus: Nucleus, start: Start) -> None:
    start()
    nucleus.wait_until(is_idle)
    nucleus.configure(min_disk_mb="1e12")
    nucleus.wait_until(lambda n: [m["ready"] for _, m in n.published if "ready" in m] == [True, False])


def test_a_configuration_that_is_wrong_leaves_the_one_that_was(
    nucleus: Nucleus, start: Start, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    process = start(stdout=subprocess.PIPE)
    nucleus.wait_until(is_idle)
    nucleus.configure(hours="at night")
    assert next(line for line in process.stdout if "going on with the configuration that was" in line)
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="done"))


def test_another_federation_is_served_by_the_same_process(nucleus: Nucleus, start: Start) -> None:
    process = start()
    nucleus.wait_until(is_idle)
    nucleus.configure(federation="letters")
    topic = names.hello_topic("letters", THING)
    nucleus.wait_until(lambda n: any(name == topic for name, _ in n.published))
    assert process.is_running()


def test_a_deployment_waits_for_training_but_not_for_an_idle_device(
    nucleus: Nucleus, start: Start, artifacts: Path, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    (artifacts / "task.py").write_text(HANGS)
    start()
    nucleus.wait_until(is_idle)
    nucleus.deploy("first")
    nucleus.wait_until(lambda n: n.deferrals == [("first", 0)])
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="training"))
    nucleus.deploy("second")
    nucleus.wait_until(lambda n: n.deferrals[1:] == [("second", 60_000)])


def test_each_line_of_the_log_says_where_it_was(
    nucleus: Nucleus, start: Start, artifacts: Path, assign: Callable[..., Assignment], as_device: EmbeddedAws
) -> None:
    (artifacts / "task.py").write_text(TASK + "import logging\n" + LOGS)
    process = start(stderr=subprocess.PIPE)
    nucleus.want(wanted(assign(1)))
    line = next(line for line in process.stderr if '"it trains"' in line)
    said = msgspec.json.decode(line)
    assert (said["federation"], said["thing"], said["round"], said["phase"]) == (FEDERATION, THING, 1, "training")


def test_an_update_that_could_not_be_uploaded_in_time_is_reported_and_not_sent(
    nucleus: Nucleus,
    start: Start,
    assign: Callable[..., Assignment],
    as_device: EmbeddedAws,
    line_to_s3: Line,
) -> None:
    key = names.update_key(FEDERATION, 1, THING)
    as_device.client("s3").delete_object(Bucket=BUCKET, Key=key)
    sent: list[bool] = []

    def refuse(request: Request) -> bytes | None:
        if request.method != "PUT":
            return None
        sent.append(True)
        return refusal(503)

    line_to_s3.fault = refuse
    process = start()
    nucleus.want(wanted(assign(1)))
    nucleus.wait_until(
        lambda n: "cannot upload" in ((n.reported("progress", round=1, phase="uploading") or {}).get("reason") or "")
    )
    child = training_process(process)
    nucleus.want(wanted(msgspec.structs.replace(assign(1), deadline=time.time() + 5)))
    failed = nucleus.wait_until(lambda n: n.reported("progress", round=1, phase="failed"))
    assert failed["reason"].startswith("deadline passed in the upload: cannot upload ")
    assert sent
    line_to_s3.fault = None
    nucleus.want(wanted(assign(2)))
    nucleus.wait_until(lambda n: n.reported("progress", round=2, phase="done"))
    assert child.is_running()
    stored = as_device.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=key)
    assert stored["KeyCount"] == 0


@pytest.fixture
def serve(nucleus: Nucleus, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Runs the agent's loop in this process, where the test can shorten its waits, and look at what it keeps."""
    threads: list[threading.Thread] = []
    serving = [nucleus]

    def run(by: Nucleus) -> None:
        serving[0] = by
        for name, value in by.environment().items():
            monkeypatch.setenv(name, value)
        events: queue.SimpleQueue[service.Event] = queue.SimpleQueue()
        connection = Ipc(events.put)
        connection.watch_configuration()
        settings = configuration.parse(by.configuration)

        def live() -> None:
            service.Service(settings, THING, artifacts, tmp_path, connection, events).run()
            connection.close()

        threads.append(threading.Thread(target=live))
        threads[-1].start()

    yield run
    serving[0].configure(federation="letters")  # which ends a service
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Nucleus]:
    lacks = ("SubscribeToComponentUpdates", "DeferComponentUpdate")
    with Nucleus(tmp_path / "lite", CONFIGURATION | {"reconcile_s": "1"}, LITE, lacks).running() as running:
        yield running


def kept(operation: str) -> int:
    """How many operations of AWS's client are in memory."""
    gc.collect()
    return sum(type(each).__name__ == f"{operation}Operation" for each in gc.get_objects())


def test_an_agent_that_hears_nothing_any_more_subscribes_anew_also_in_a_round(
    lite: Nucleus, serve: Serve, monkeypatch: pytest.MonkeyPatch, assign: Callable[..., Assignment]
) -> None:
    monkeypatch.setattr("components.client.agent.connection.FIRST_WAIT_S", 0.5)
    lite.configuration |= {"min_disk_mb": "1e12", "when_not_ready": "wait"}
    lite.want(wanted(assign(1)))
    serve(lite)
    lite.wait_until(lambda n: n.reported("progress", round=1, phase="accepted"))
    topics = lite.subscribed

    def is_whole(nucleus: Nucleus) -> bool:
        return nucleus.subscribed == topics and nucleus.subscription_streams == len(topics)

    for round_number in (2, 3, 4):
        lite.restart_mqtt_daemon()
        lite.want(wanted(assign(round_number)))
        lite.wait_until(functools.partial(Nucleus.reported, field="progress", round=round_number))
        lite.wait_until(is_whole)
    eventually(lambda: kept("SubscribeToIoTCore") == len(topics), "what was given up to be forgotten")


def test_a_subscription_that_is_refused_when_it_is_renewed_is_tried_again(
    lite: Nucleus, serve: Serve, monkeypatch: pytest.MonkeyPatch, assign: Callable[..., Assignment]
) -> None:
    monkeypatch.setattr("components.client.agent.connection.FIRST_WAIT_S", 0.5)
    serve(lite)
    lite.wait_until(is_idle)
    topics = lite.subscribed
    refuse = IpcError("ServiceError", "the daemon is not there yet")
    lite.restart_mqtt_daemon()
    lite.refused_subscriptions = [refuse] * len(topics)
    lite.want({"withdrawn": 7})
    lite.wait_until(lambda n: not n.refused_subscriptions and n.shadow and n.shadow.reported.get("withdrawn") == 7)
    assert lite.subscribed == topics


def test_a_change_of_the_configuration_that_the_nucleus_does_not_tell_is_found_and_the_next_one_is_told(
    lite: Nucleus, serve: Serve, assign: Callable[..., Assignment]
) -> None:
    serve(lite)
    lite.wait_until(is_idle)
    lite.restart_configuration_daemon()
    lite.configure(min_disk_mb="1e12", reconcile_s="3600")
    lite.wait_until(lambda n: n.watches_configuration())
    lite.want(wanted(assign(1)))
    declined = lite.wait_until(lambda n: n.reported("progress", round=1, phase="declined"))
    assert declined["reason"].endswith("(min_disk_mb)")


def test_looking_at_the_configuration_and_watching_it_anew_leaves_nothing_in_memory(
    lite: Nucleus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lite.environment().items():
        monkeypatch.setenv(name, value)
    connection = Ipc(queue.SimpleQueue[service.Event]().put)
    for _ in range(50):
        assert connection.configuration()["federation"] == FEDERATION
        connection.watch_configuration()
    assert kept("GetConfiguration") < 5
    assert kept("SubscribeToConfigurationUpdate") < 5
    connection.close()


def test_a_delta_ends_the_wait_after_refused_calls(
    lite: Nucleus, serve: Serve, monkeypatch: pytest.MonkeyPatch, assign: Callable[..., Assignment]
) -> None:
    monkeypatch.setattr(outbox, "FIRST_RETRY_S", 2 * TIMEOUT_S)
    monkeypatch.setattr(outbox, "MAX_RETRY_S", 2 * TIMEOUT_S)
    lite.configuration["min_disk_mb"] = "1e12"
    serve(lite)
    lite.wait_until(is_idle)
    lite.refusals = [IpcError("ServiceError", "the broker is away")]
    lite.wait_until(lambda n: not n.refusals)
    lite.want(wanted(assign(1)))
    lite.wait_until(lambda n: n.reported("progress", round=1, phase="declined"))
