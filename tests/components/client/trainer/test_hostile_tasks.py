"""Tasks that a device should not be given: whatever they do, the round ends with a reason, and the agent lives."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from components.client.agent.supervisor import MAX_STOPS
from components.client.exchange import Entered
from protocol.messages import Assignment, Progress
from tests.components.client.conftest import TASK
from tests.components.client.supervised import TIMEOUT_S, Agent, AgentOf

DOES = TASK + "import os, pathlib, signal, sys, threading, time\ndef train(model, data, settings):\n"
FAILS_ONCE = DOES + "    if settings.epochs != 1: return {{}}\n    {}\n    return {{}}\n"


OTHER = "train() of task.py has made another model of it: tensor "


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("sys.exit(75)", "train() of task.py: SystemExit: 75 (task.py, line 21)"),
        ("raise KeyboardInterrupt", "train() of task.py: KeyboardInterrupt: "),
        ("raise GeneratorExit", "train() of task.py: GeneratorExit: "),
        ("raise ValueError('\\udcff\\0' + 'x' * 10**6)", "train() of task.py: ValueError: ??xxx"),
        ("train(model, data, settings)", "train() of task.py: RecursionError: "),
        (
            "model.half()",
            f"{OTHER}'bias' was F32 [2], now it is F16 [2]",
        ),
        (
            "model.more = nn.Linear(1, 1)",
            f"{OTHER}'more.bias' was missing, now it is F32 [1]",
        ),
        (
            "del model.bias; model.bias = None",
            f"{OTHER}'bias' was F32 [2], now it is missing",
        ),
    ],
)
def test_a_task_that_ends_in_a_strange_way_is_named_and_its_process_kept(
    agent_of: AgentOf, assign: Callable[..., Assignment], deed: str, reason: str
) -> None:
    agent = agent_of(FAILS_ONCE.format(deed))
    agent.train(assign(1))
    ended = agent.end()
    assert ended.phase == "failed"
    assert (ended.reason or "").startswith(reason)
    pid = agent.pid
    agent.train(assign(2, epochs=2))
    assert agent.end() == Progress(round=2, phase="done")
    assert agent.pid == pid


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("os._exit(75)", "training process ended with status 75; the component's log says why"),
        ("os.abort()", "training process crashed (signal 6, SIGABRT)"),
        (
            "os.kill(os.getpid(), signal.SIGTERM); time.sleep(1000)",
            f"training process was told to end (SIGTERM) {MAX_STOPS + 1} times, and not by the agent",
        ),
    ],
)
def test_a_task_that_ends_its_process_is_reported_and_the_next_round_has_another(
    agent_of: AgentOf, assign: Callable[..., Assignment], deed: str, reason: str
) -> None:
    agent = agent_of(FAILS_ONCE.format(deed))
    agent.train(assign(1))
    assert agent.end() == Progress(round=1, phase="failed", reason=reason)
    agent.train(assign(2, epochs=2))
    assert agent.end() == Progress(round=2, phase="done")


@pytest.mark.parametrize("source", ["import sys\nsys.exit(0)\n", "raise KeyboardInterrupt\n"])
def test_a_task_that_ends_when_it_is_imported_is_named(
    agent_of: AgentOf, assign: Callable[..., Assignment], source: str
) -> None:
    agent = agent_of(source)
    agent.train(assign(1))
    ended = agent.end()
    assert ended.phase == "failed"
    assert (ended.reason or "").startswith("task.py cannot be imported: ")


def test_a_process_that_a_task_forks_takes_no_part_when_it_returns(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    agent = agent_of(FAILS_ONCE.format("pid = os.fork(); assert not pid or os.waitpid(pid, 0) == (pid, 0)"))
    agent.train(assign(1))
    assert agent.end() == Progress(round=1, phase="done")
    assert psutil.Process(agent.pid).children() == []


def test_a_crash_is_heard_of_though_what_the_task_has_forked_lives_on_and_that_is_ended_too(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path
) -> None:
    forks = "pid = os.fork(); pid or time.sleep(1000); pathlib.Path(__file__).with_name('pid').write_text(str(pid))"
    agent = agent_of(FAILS_ONCE.format(forks + "; os._exit(3)"))
    agent.train(assign(1))
    assert (agent.end().reason or "").startswith("training process ended with status 3")
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int((artifacts / "pid").read_text())).wait(TIMEOUT_S)


def test_a_task_may_use_and_end_processes_of_its_own(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    pool = (
        "import multiprocessing; from fedgrass.task import report_progress; "
        "pool = multiprocessing.get_context('fork').Pool(2, lambda: report_progress(step=5)); "
        "pool.map(abs, range(9)); pool.terminate(); pool.join()"
    )
    agent = agent_of(FAILS_ONCE.format(pool))
    agent.train(assign(1))
    assert agent.end() == Progress(round=1, phase="done")


@pytest.mark.parametrize(
    "deed",
    [
        "for _ in range(50): print('x' * 100_000)",
        """print('{"type":"ended","number":1,"progress":{"round":1,"phase":"failed"}}', flush=True)""",
        'os.write(1, b\'{"type":"stopped"}\\n\' * 1000)',
        "threading.Thread(target=time.sleep, args=(1000,)).start()",
        "os.chdir('/'); os.environ.clear()",
        "assert sys.stdin.read() == ''",
    ],
)
def test_what_a_task_does_besides_does_not_disturb(
    agent_of: AgentOf, assign: Callable[..., Assignment], deed: str
) -> None:
    agent = agent_of(FAILS_ONCE.format(deed), keep_warm_s=0.0)
    agent.train(assign(1))
    process = psutil.Process(agent.pid)
    assert agent.end() == Progress(round=1, phase="done")
    while agent.supervisor._process is not None:
        agent.turn()
    process.wait(TIMEOUT_S)


def test_a_task_that_tells_its_progress_all_the_time_is_not_listened_to_all_the_time(
    agent_of: AgentOf, assign: Callable[..., Assignment]
) -> None:
    tells = "from fedgrass.task import report_progress\n    for step in range(100_000): report_progress(step=step)"
    agent = agent_of(FAILS_ONCE.format(tells))
    started = time.monotonic()
    agent.train(assign(1))
    heard = 0
    while not (isinstance(outcome := agent.turn(), Progress) and outcome.phase == "done"):
        heard += isinstance(outcome, Progress)
    assert heard < 50 + 10 * (time.monotonic() - started)


def test_numbers_without_end_are_refused_on_the_device(agent_of: AgentOf, assign: Callable[..., Assignment]) -> None:
    agent = agent_of(TASK + "def describe(model, data): return {f'number {i}': 1.0 for i in range(10_000)}\n")
    agent.train(assign(1))
    ended = agent.end()
    assert ended.phase == "failed"
    assert (ended.reason or "").startswith("train(), evaluate() and describe() of task.py make a report of 1")


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("name", ["ready", "build_model", "load_data", "train", "describe"])
def test_where_a_task_hangs_is_known_and_the_process_serves_again_when_it_is_called_off(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path, name: str
) -> None:
    hangs = (
        f"def {name}(*arguments):\n"
        "    import pathlib, time\n"
        "    while pathlib.Path(__file__).with_name('hang').exists(): time.sleep(0.01)\n"
        f"    return well(*arguments)\n"
    )
    well = {"ready": "lambda _: True", "train": "lambda *_: {}", "describe": "lambda *_: {}"}.get(name, name)
    (artifacts / "hang").touch()
    agent = agent_of(TASK + f"well = {well}\n" + hangs)
    agent.train(assign(1))
    while agent.turn() != Entered(1, f"{name}() of task.py"):
        pass
    agent.cancel()
    (artifacts / "hang").unlink()
    pid = agent.pid
    agent.train(assign(2))
    assert agent.end() == Progress(round=2, phase="done")
    assert agent.pid == pid


def test_an_import_that_hangs_is_ended_when_it_takes_longer_than_any_and_the_next_round_is_tried_anew(
    agent_of: AgentOf, assign: Callable[..., Assignment], artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifacts / "hang").touch()
    hangs = "import pathlib, time\nwhile pathlib.Path(__file__).with_name('hang').exists(): time.sleep(0.01)\n"
    agent = agent_of(hangs + TASK)
    agent.train(assign(1))
    first = agent.pid
    while agent.turn() != Entered(1, "the import of torch and task.py"):
        pass
    agent.cancel()
    (artifacts / "hang").unlink()
    (artifacts / "task.py").write_text(TASK)
    agent.train(assign(2))
    assert agent.supervisor.next_wake() > time.monotonic() + TIMEOUT_S
    agent.supervisor.tick(agent.supervisor.next_wake())
    assert agent.end() == Progress(round=2, phase="done")
    assert agent.pid != first


def test_a_process_that_cannot_be_made_is_reported_and_the_next_one_tried(assign: Callable[..., Assignment]) -> None:
    agent = Agent(Path(), command=("/nowhere/python",))
    for round_number in (1, 2):
        agent.train(assign(round_number))
        ended = agent.end()
        assert (ended.round, ended.phase) == (round_number, "failed")
        assert (ended.reason or "").startswith("cannot start a training process: [Errno 2] No such file or directory")
    agent.train(assign(3))
    agent.cancel()
    assert agent.turn() is None
