"""The training process, by the side of the agent that starts it: real processes, real torch, a real S3."""

import os
import queue
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import torch
from torch import nn

from components.client import what_leaves
from components.client.agent import training_process
from components.client.agent.supervisor import CONFIRM_S
from components.client.agent.training_process import Exited, TrainerMessage, TrainingProcess
from components.client.exchange import Began, Cancel, Cancelled, Ended, NotReady
from protocol import encodings, names, tensors
from protocol.messages import Assignment, Progress
from sandbox.embedded_aws import EmbeddedAws
from tests.components.client.conftest import TASK, refusal
from tests.components.client.nucleus import FEDERATION, THING
from tests.components.client.supervised import BUCKET, TIMEOUT_S, Agent, AgentOf, read_update
from tests.conftest import Line

PAUSES = (
    TASK.replace("nn.Linear(4, 2)", "Model(4, 2)")
    + """
import pathlib, time

from fedgrass.task import report_progress

class Model(nn.Linear):
    steps = 0

    def forward(self, inputs):
        if self.training:
            Model.steps += 1
            if Model.steps == 7 and (pathlib.Path(__file__).parent / "pause").exists():
                report_progress(step=1)
                time.sleep(1000)
        return super().forward(torch.dropout(inputs, 0.5, self.training))
"""
)
"""The default training, in which chance plays a part; in the seventh step it waits, if it is told so."""

HANGS = TASK + (
    "import pathlib, time\n"
    "from fedgrass.task import report_progress\n"
    "def train(model, data, settings):\n"
    "    if settings.epochs != 99:\n"
    "        return {}\n"
    "    report_progress(step=1)\n"
    "    while True:\n"
    "        time.sleep(0.01)\n"
)
STUBBORN = HANGS.replace("    report_progress(step=1)\n", "").replace(
    "        time.sleep(0.01)\n",
    "        try:\n"
    "            report_progress(step=1)\n"
    "            time.sleep(0.1)\n"
    "        except BaseException: pass\n",
)


def test_a_round_ends_with_an_update_that_the_averager_can_check(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    agent, assignment = agent_of(), assign(1, epochs=5)
    agent.train(assignment)
    assert agent.end() == Progress(round=1, phase="done")
    header, report = read_update(aws, 1)
    assert header.schema == {"weight": ("F32", (2, 4)), "bias": ("F32", (2,))}
    assert (report.federation, report.round, report.thing) == (FEDERATION, 1, THING)
    assert (report.base, report.examples, report.steps) == (assignment.model.sha256, 32, 20)
    before, after, train_loss = report.before["loss"], report.after["loss"], report.after["train_loss"]
    assert None not in (before, after, train_loss)
    assert before > after > 0 < train_loss  # type: ignore[operator]
    timings = report.timings
    assert timings.accepted_at < timings.downloaded_at < timings.trained_at < timings.uploading_at
    assert 0 < timings.train_s < timings.trained_at - timings.downloaded_at


def test_the_next_round_runs_in_the_same_process(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    agent = agent_of()
    agent.train(assign(1))
    agent.end()
    pid = agent.pid
    torch.manual_seed(5)
    agent.train(assign(2, nn.Linear(4, 2)))
    assert agent.end() == Progress(round=2, phase="done")
    assert agent.pid == pid
    assert read_update(aws, 2)[1].before != read_update(aws, 1)[1].before


def test_numbers_that_are_not_finite_travel_as_none(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    more = (
        "def evaluate(model, data):\n    return {'loss': float('nan'), 'accuracy': 0.5}\n"
        "def describe(model, data):\n    return {'largest': float('inf'), 'least': -1.0}\n"
    )
    agent = agent_of(TASK + more)
    agent.train(assign(1))
    assert agent.end().phase == "done"
    _, report = read_update(aws, 1)
    assert report.before == {"loss": None, "accuracy": 0.5}
    assert report.after.items() >= report.before.items()
    assert report.describe == {"largest": None, "least": -1.0}


def test_the_same_assignment_gives_the_same_update(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    files = []
    for _ in range(2):
        agent = agent_of()
        agent.train(assign(1, seed=9))
        agent.end()
        key = names.update_key(FEDERATION, 1, THING)
        data = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        files.append(data[tensors.parse_header(data, len(data)).length :])
    assert files[0] == files[1]


def test_what_int8_leaves_out_of_one_update_comes_with_the_next(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    agent = agent_of()

    def data_of(assignment: Assignment) -> bytes:
        agent.train(assignment)
        assert agent.end().phase == "done"
        key = names.update_key(FEDERATION, assignment.round, THING)
        file = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return bytes(file[tensors.parse_header(file, len(file)).length :])

    def lossless(assignment: Assignment) -> encodings.Floats:
        return np.frombuffer(data_of(assignment), np.float32)

    first, second = (assign(round_number, seed=9) for round_number in (1, 2))
    expected = encodings.encode(lossless(first), "int8")
    assert expected.residual is not None
    assert expected.residual.any()
    expected_next = encodings.encode(lossless(second), "int8", expected.residual)
    as_int8 = [msgspec.structs.replace(assignment, encoding="int8") for assignment in (first, second)]
    for _ in range(2):  # a device that was cut off trains a round again
        assert data_of(as_int8[0]) == expected.scales.tobytes() + expected.values.tobytes()
    for _ in range(2):
        assert data_of(as_int8[1]) == expected_next.scales.tobytes() + expected_next.values.tobytes()


def tensor_bytes(aws: EmbeddedAws, round_number: int) -> bytes:
    key = names.update_key(FEDERATION, round_number, THING)
    data = aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return bytes(data[tensors.parse_header(data, len(data)).length :])


@pytest.mark.parametrize("told", [True, False])
def test_training_that_was_cut_off_gives_the_same_update_as_if_it_had_not_been(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws, artifacts: Path, told: bool
) -> None:
    assignment = assign(1, epochs=5, momentum=0.9, proximal=0.1, seed=3)
    uninterrupted = agent_of(PAUSES)
    uninterrupted.train(assignment)
    assert uninterrupted.end().phase == "done"
    expected, report = tensor_bytes(aws, 1), read_update(aws, 1)[1]
    aws.client("s3").delete_object(Bucket=BUCKET, Key=names.update_key(FEDERATION, 1, THING))

    (artifacts / "pause").touch()
    interrupted = agent_of(PAUSES)
    interrupted.train(assignment)
    interrupted.training()
    process = psutil.Process(interrupted.pid)
    if told:
        interrupted.supervisor.shut_down(0.0)  # it sleeps: no time to save more than there is
    else:
        process.kill()
    process.wait(TIMEOUT_S)
    (artifacts / "pause").unlink()

    resumed = agent_of(PAUSES)
    resumed.train(assignment)
    epochs = [resumed.until(lambda progress: progress.epoch is not None).epoch]
    assert resumed.end().phase == "done"
    assert epochs == [2]
    assert tensor_bytes(aws, 1) == expected
    again = read_update(aws, 1)[1]
    assert (again.before, again.after, again.steps) == (report.before, report.after, report.steps)
    assert not (artifacts.parent / "round").exists()


def test_a_process_that_is_told_to_end_saves_a_checkpoint_after_its_next_step(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path
) -> None:
    slow = PAUSES.replace("time.sleep(1000)", "time.sleep(0.2)")
    (artifacts / "pause").touch()
    agent = agent_of(slow, checkpoint_s=1e9)
    agent.train(assign(1, epochs=1000))
    agent.training()
    process = psutil.Process(agent.pid)
    agent.supervisor.shut_down(TIMEOUT_S)
    assert not process.is_running()
    assert (artifacts.parent / "round" / "checkpoint").exists()
    resumed = agent_of(slow)
    resumed.train(assign(1, epochs=1000))
    assert resumed.until(lambda progress: progress.epoch is not None).step == 8
    assert resumed.supervisor._process is not None


def test_a_checkpoint_of_another_round_is_not_taken_up(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws, artifacts: Path
) -> None:
    (artifacts / "pause").touch()
    agent = agent_of(PAUSES)
    agent.train(assign(1, epochs=5))
    agent.training()
    psutil.Process(agent.pid).kill()
    agent.end()
    (artifacts / "pause").unlink()
    agent = agent_of(PAUSES)
    agent.train(assign(2, epochs=5))
    assert agent.until(lambda progress: progress.epoch is not None).epoch == 1
    assert agent.end().phase == "done"


def test_an_update_whose_upload_was_cut_off_is_uploaded_without_being_trained_again(
    agent_of: AgentOf,
    assign: Callable[..., Assignment],
    aws: EmbeddedAws,
    artifacts: Path,
    line_to_s3: Line,
) -> None:
    once = TASK + (
        "import pathlib\n"
        "def train(model, data, settings):\n"
        "    (pathlib.Path(__file__).parent / 'trained').touch(exist_ok=False)\n"
        "    return {'steps': 3}\n"
    )
    line_to_s3.fault = lambda request: refusal(503) if request.method == "PUT" else None
    agent = agent_of(once)
    agent.train(assign(1))
    agent.until(lambda progress: progress.phase == "uploading" and progress.reason is not None)
    agent.supervisor.stop()  # the power is cut
    line_to_s3.fault = None
    pending = what_leaves.leaving_of(artifacts.parent).pending
    agent = agent_of(once)
    agent.train(assign(1))
    assert agent.end() == Progress(round=1, phase="done")
    header, report = read_update(aws, 1)
    assert report.steps == 3
    assert pending is not None
    assert pending == what_leaves.leaving_of(artifacts.parent).last_sent
    assert pending.key == names.update_key(FEDERATION, 1, THING)
    assert pending.report == msgspec.json.decode(header.message)
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in pending.tensors} == header.schema
    assert not (artifacts.parent / "round").exists()


def test_a_round_that_is_called_off_leaves_nothing_on_the_disk(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path
) -> None:
    (artifacts / "pause").touch()
    agent = agent_of(PAUSES)
    agent.train(assign(1, epochs=5))
    agent.training()
    assert (artifacts.parent / "round" / "checkpoint").exists()
    agent.cancel()
    agent.train(assign(2, epochs=1))
    assert agent.end() == Progress(round=2, phase="done")
    assert not (artifacts.parent / "round").exists()


def test_training_that_diverges_is_reported(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of()
    agent.train(assign(1, learning_rate=1e6, proximal=1e6, epochs=5))
    assert agent.end() == Progress(
        round=1, phase="failed", reason="training diverged: the loss is nan in epoch 2, at step 8"
    )


def test_a_task_that_raises_is_reported_and_the_next_round_works(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of(TASK + "def train(model, data, settings):\n    return {} if settings.epochs == 2 else 1 / 0\n")
    agent.train(assign(1))
    ended = agent.end()
    assert ended.phase == "failed"
    assert "train() of task.py: ZeroDivisionError: division by zero (task.py, line" in (ended.reason or "")
    agent.train(assign(2, epochs=2))
    assert agent.end().phase == "done"


def test_a_model_of_another_kind_is_reported_by_the_tensors_name(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of()
    agent.train(assign(1, nn.Linear(5, 2)))
    ended = agent.end()
    assert (ended.phase, "'weight'" in (ended.reason or "")) == ("failed", True)


@pytest.mark.parametrize(
    ("load_data", "reason"),
    [
        ("raise FileNotFoundError('no images')", "load_data() of task.py: FileNotFoundError: no images (task.py, line"),
        ("return Data(TensorDataset(torch.zeros(0)))", "load_data() of task.py found no training examples in "),
        (
            "return Data(TensorDataset(torch.zeros(3, 9), torch.zeros(3).long()))",
            "does not take the first training exa",
        ),
    ],
)
def test_a_device_without_usable_data_declines_and_takes_part_when_it_has_some(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path, load_data: str, reason: str
) -> None:
    wrong = (
        "import pathlib\n"
        "good = load_data\n"
        "def load_data(directory, client):\n"
        "    if (directory / 'good').exists(): return good(directory, client)\n"
        f"    {load_data}\n"
    )
    agent = agent_of(TASK + wrong)
    agent.train(assign(1))
    declined = agent.end()
    assert declined.phase == "declined"
    assert (declined.reason or "").startswith(f"dataset {artifacts}: ")
    assert reason in (declined.reason or "")
    (artifacts / "good").touch()
    agent.train(assign(2))
    assert agent.end() == Progress(round=2, phase="done")


def test_a_dataset_that_is_gone_declines(agent_of: AgentOf, assign: Callable[..., Assignment], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    agent = agent_of(dataset=tmp_path / "data")
    agent.train(assign(1))
    assert agent.end().phase == "done"
    (tmp_path / "data").rmdir()
    agent.train(assign(2))
    declined = agent.end()
    assert declined.phase == "declined"
    assert "data is not a directory: set `dataset` in the configuration" in (declined.reason or "")


def test_files_that_vanish_while_they_are_trained_on_are_no_failure_of_the_task(
    agent_of: AgentOf, assign: Callable[..., Assignment], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "image").touch()
    source = TASK + (
        "import pathlib\n"
        f"def train(model, data, settings):\n    image = pathlib.Path({str(tmp_path)!r}) / 'data' / 'image'\n"
        "    image.unlink()\n    return {'size': len(image.read_bytes())}\n"
    )
    agent = agent_of(source, dataset=tmp_path / "data")
    agent.train(assign(1))
    declined = agent.end()
    assert declined.phase == "declined"
    reason = declined.reason or ""
    assert reason.startswith("train() of task.py: FileNotFoundError: ")
    assert reason.endswith("data has changed while the round was under way")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def build_model():\n    open('/weights.pt')\n", "build_model() of task.py: FileNotFoundError: "),
        ("def build_model():\n    pass\n", "build_model() of task.py returned NoneType"),
        ("def load_data(directory, client):\n    return 1, 2\n", "load_data() of task.py returned tuple"),
        (
            (
                "was = load_data\n"
                "def load_data(directory, client):\n"
                "    (directory / 'cache').write_text('1')\n"
                "    return was(directory, client)\n"
                "def train(model, data, settings):\n"
                "    raise KeyError('weights')\n"
            ),
            "train() of task.py: KeyError: 'weights' (task.py, line ",
        ),
    ],
)
def test_what_a_task_does_wrong_is_not_blamed_on_its_data(
    agent_of: AgentOf, assign: Callable[..., Assignment], tmp_path: Path, source: str, reason: str
) -> None:
    (tmp_path / "data").mkdir()
    agent = agent_of(TASK + source, dataset=tmp_path / "data")
    agent.train(assign(1))
    failed = agent.end()
    assert failed.phase == "failed"
    assert (failed.reason or "").startswith(reason)
    assert "dataset" not in (failed.reason or "")


def test_a_task_that_is_not_ready_says_so_and_can_be_asked_again(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path
) -> None:
    ready = "import pathlib\ndef ready(device): return (pathlib.Path(__file__).parent / 'now').exists()\n"
    agent = agent_of(TASK + ready)
    agent.train(assign(1))
    while not isinstance(agent.turn(), NotReady):
        pass
    (artifacts / "now").touch()
    agent.train(assign(1))
    assert agent.end() == Progress(round=1, phase="done")


def test_the_training_process_is_as_nice_as_it_is_told(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of(HANGS, niceness=7)
    agent.train(assign(1, epochs=99))
    agent.training()
    assert psutil.Process(agent.pid).nice() == min(os.nice(0) + 7, 19)


@pytest.mark.parametrize("allocation", ["torch.zeros(1 << 32)", "bytearray(1 << 34)", "nn.Linear(1 << 16, 1 << 16)"])
def test_training_that_needs_more_memory_than_it_may_have_says_so(
    agent_of: AgentOf, assign: Callable[..., Assignment], allocation: str
) -> None:
    source = TASK + f"def train(model, data, settings):\n    if settings.epochs == 1: {allocation}\n    return {{}}\n"
    agent = agent_of(source, memory_mb=3000.0)
    agent.train(assign(1))
    ended = agent.end()
    assert ended.phase == "failed"
    assert (ended.reason or "").startswith("out of memory (memory_mb is 3000, ")
    agent.train(assign(2, epochs=2))
    assert agent.end().phase == "done"


@pytest.mark.parametrize("test_set", ["", ", TensorDataset(inputs[40:], targets[40:])"])
def test_without_a_test_set_the_model_is_not_evaluated(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws, test_set: str
) -> None:
    agent = agent_of(TASK.replace(", TensorDataset(inputs[32:], targets[32:])", test_set))
    agent.train(assign(1))
    assert agent.end().phase == "done"
    _, report = read_update(aws, 1)
    assert (report.before, set(report.after)) == ({}, {"train_loss"})


def test_what_a_task_prints_does_not_disturb(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of("print('{}')\n" + TASK)
    agent.train(assign(1))
    assert agent.end().phase == "done"


@pytest.mark.usefixtures("unhurried")
def test_training_that_is_called_off_stops_and_its_process_is_kept(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of(HANGS)
    agent.train(assign(1, epochs=99))
    agent.training()
    pid = agent.pid
    agent.cancel()
    agent.train(assign(2))
    assert agent.end() == Progress(round=2, phase="done")
    assert agent.pid == pid


def test_a_task_that_does_not_let_itself_be_stopped_is_killed(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of(STUBBORN)
    agent.train(assign(1, epochs=99))
    agent.training()
    process = psutil.Process(agent.pid)
    cancelled = time.monotonic()
    agent.cancel()
    agent.train(assign(2))
    agent.until(lambda progress: progress.round == 2)
    assert time.monotonic() - cancelled > CONFIRM_S
    assert not process.is_running()
    assert agent.end() == Progress(round=2, phase="done")


def test_training_that_is_in_a_long_call_of_c_ends_long_before_the_call_does(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    source = TASK + (
        "import hashlib, threading\n"
        "from fedgrass.task import report_progress\n"
        "def train(model, data, settings):\n"
        "    threading.Timer(0.1, lambda: report_progress(step=1)).start()\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)\n"
    )
    agent = agent_of(source)
    agent.train(assign(1, epochs=99))
    agent.training()
    process = psutil.Process(agent.pid)
    agent.cancel()
    assert agent.supervisor.next_wake() < time.monotonic() + CONFIRM_S < time.monotonic() + 1
    while agent.supervisor._process is not None:
        agent.turn()
    assert not process.is_running()


@pytest.mark.usefixtures("unhurried")
def test_training_that_was_called_off_gives_its_memory_back(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of(HANGS.replace("    report", "    ballast = [torch.ones(1 << 18) for _ in range(300)]\n    report"))
    agent.train(assign(1, epochs=99))
    agent.training()
    process = psutil.Process(agent.pid)
    before = process.memory_info().rss
    agent.cancel()
    while agent.turn() is not None or agent.supervisor._cancelled is not None:
        pass
    assert process.memory_info().rss < before - 250e6


def test_a_request_that_is_called_off_before_it_begins_is_not_worked_on(
    agent_of: AgentOf, assign: Callable[..., Assignment], aws: EmbeddedAws
) -> None:
    agent = agent_of()
    agent.train(assign(51))
    agent.cancel()
    agent.train(assign(52))
    assert agent.end() == Progress(round=52, phase="done")
    prefix = names.update_key(FEDERATION, 51, THING)
    assert aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == 0


def test_a_process_that_is_killed_while_it_trains_is_reported_and_replaced(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of(HANGS)
    agent.train(assign(1, epochs=99))
    agent.training()
    os.kill(agent.pid, signal.SIGKILL)
    assert agent.end() == Progress(
        round=1, phase="failed", reason="training process killed (signal 9), and not by Linux for lack of memory"
    )
    agent.train(assign(2))
    assert agent.end().phase == "done"


def test_what_a_process_says_that_was_killed_already_does_not_count(assign: Callable[..., Assignment]) -> None:
    agent = Agent(Path(), command=(sys.executable, "-c", "import time; time.sleep(1000)"))
    try:
        agent.train(assign(1))
        agent.supervisor.on_event(TrainerMessage(1, Began(1)), 0.0)
        agent.supervisor.cancel(0.0)
        agent.train(assign(2))
        agent.supervisor.tick(CONFIRM_S)
        for late in (Cancelled(1), Began(2), Ended(2, Progress(round=2, phase="failed", reason="killed"))):
            assert agent.supervisor.on_event(TrainerMessage(1, late), CONFIRM_S) is None
        assert agent.supervisor.on_event(Exited(1, -signal.SIGKILL), CONFIRM_S) is None
        assert agent.pid  # the second round is being tried by another process
    finally:
        agent.supervisor.stop()


def test_a_process_that_is_killed_while_it_is_idle_costs_nothing(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of()
    agent.train(assign(1))
    agent.end()
    process = psutil.Process(agent.pid)
    process.kill()
    process.wait(TIMEOUT_S)
    agent.train(assign(2))
    assert agent.end() == Progress(round=2, phase="done")


def test_a_request_that_a_dead_process_did_not_take_is_not_tried_again_when_its_pipe_is_closed() -> None:
    agent = Agent(Path(), command=(sys.executable, "-c", ""))
    ended: queue.SimpleQueue[TrainerMessage | Exited] = queue.SimpleQueue()
    process = TrainingProcess(agent.supervisor._command, agent.supervisor._configuration, 1, ended.put)
    assert isinstance(ended.get(timeout=TIMEOUT_S), Exited)
    process.send(Cancel(1))
    assert process._process.stdin is not None
    process._process.stdin.close()  # as happens, where no error can be caught, when nobody refers to it any more


def test_a_process_that_cannot_start_is_reported(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of(command=(sys.executable, "-c", "raise SystemExit(3)"))
    agent.train(assign(1))
    assert agent.end() == Progress(
        round=1, phase="failed", reason="training process ended with status 3; the component's log says why"
    )


@pytest.mark.parametrize("keep_warm_s", [0.0, 0.2])
def test_an_idle_process_is_ended(agent_of: AgentOf, assign: Callable[..., Assignment], keep_warm_s: float) -> None:
    agent = agent_of(keep_warm_s=keep_warm_s)
    agent.train(assign(1))
    agent.end()
    process = psutil.Process(agent.pid)
    while agent.supervisor._process is not None:
        agent.turn()
    process.wait(TIMEOUT_S)


def test_the_training_process_ends_with_the_agent(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of(HANGS)
    agent.train(assign(1, epochs=99))
    agent.training()
    process = psutil.Process(agent.pid)
    del agent.supervisor._process._process.stdin  # type: ignore[union-attr]  # as when the agent is killed
    process.wait(TIMEOUT_S)


@pytest.mark.usefixtures("unhurried")
def test_a_bucket_that_cannot_be_reached_is_tried_until_the_round_is_called_off(
    agent_of: AgentOf,
    assign: Callable[..., Assignment],
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    agent = agent_of()
    agent.train(assign(1))
    told = agent.until(lambda progress: progress.reason is not None)
    assert told.phase == "training"
    assert (told.reason or "").startswith("cannot download federations/digits/models/00000000.safetensors: Could not")
    pid = agent.pid
    agent.cancel()
    agent.train(assign(2))
    assert agent.until(lambda progress: progress.reason is not None).round == 2
    assert agent.pid == pid


@pytest.mark.parametrize(
    ("status", "kills", "text"),
    [
        (-9, (3, 4), "out of memory: Linux killed the training process"),
        (-9, (3, 3), "not by Linux"),
        (-9, (None, None), "out of memory?"),
        (-11, (3, 3), "SIGSEGV"),
        (1, (3, 3), "status 1"),
    ],
)
def test_an_exit_is_explained(status: int, kills: tuple[int | None, int | None], text: str) -> None:
    assert text in training_process.explain_exit(status, *kills)
