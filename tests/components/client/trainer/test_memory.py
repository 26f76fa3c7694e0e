from pathlib import Path

import pytest

from components.client.agent.training_process import memory_kills
from components.client.trainer import memory


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_an_error_tells_whether_there_was_no_memory(error: Exception, out: bool) -> None:
    assert memory.ran_out(error) is out
    outer = ValueError("train() of task.py")
    outer.__cause__ = error
    assert memory.ran_out(outer) is out


def test_the_kills_of_linux_are_counted_where_it_tells(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 7\noom_kill_other 9\n")
    assert memory_kills(tmp_path / "vmstat") == 7
    (tmp_path / "vmstat").write_text("nr_free_pages 1\n")
    assert memory_kills(tmp_path / "vmstat") is None
    assert memory_kills(tmp_path / "nothing") is None
